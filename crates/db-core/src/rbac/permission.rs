//! The catalogue of permissions. This list is the only one: the seeder writes it, handlers name it in their signatures.

/// A permission as a type, so that a handler's signature can name it.
pub trait Held {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($variant:ident = $name:literal, $scope:ident, $description:literal;)*) => {
        /// A right to do something to a kind of thing, `resource:action`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumIter)]
        pub enum Permission {
            $(#[doc = $description] $variant,)*
        }

        impl Permission {
            /// The name in the database and in the API, such as `card:read`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the right allows, for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }

            /// Whether the right takes effect in the platform domain only.
            pub const fn is_platform(self) -> bool {
                match self { $(Self::$variant => permissions!(@ $scope),)* }
            }

            /// The permission of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        /// Each permission as a type, for the signatures of handlers: `Can<held::CardRead, InCard>`.
        pub mod held {
            $(
                #[doc = $description]
                #[derive(Clone, Copy, Debug)]
                pub struct $variant;
                impl super::Held for $variant {
                    const PERMISSION: super::Permission = super::Permission::$variant;
                }
            )*
        }
    };
    (@ platform) => { true };
    (@ domain) => { false };
}

permissions! {
    DomainCreate = "domain:create", platform, "Create domains.";
    DomainRead = "domain:read", platform, "See all domains.";
    DomainUpdate = "domain:update", platform, "Rename domains and change their host names.";
    DomainSuspend = "domain:suspend", platform, "Suspend and resume domains.";
    BackupRead = "backup:read", platform, "See backups, and when they were proved.";

    JobRead = "job:read", platform, "See the background jobs of all domains, their queues, batches and schedules.";
    JobUpdate = "job:update", platform, "Retry, discard and cancel jobs, pause and resume queues and schedules.";

    UserCreate = "user:create", domain, "Create accounts.";
    UserRead = "user:read", domain, "See accounts.";
    UserUpdate = "user:update", domain, "Change accounts.";
    UserDeactivate = "user:deactivate", domain, "Deactivate and reactivate accounts.";
    SessionRead = "session:read", domain, "See the sessions of others.";
    SessionRevoke = "session:revoke", domain, "End the sessions of others.";
    ApiKeyCreate = "api_key:create", domain, "Create API keys of one's own.";
    ApiKeyRead = "api_key:read", domain, "See the API keys of others.";
    ApiKeyRevoke = "api_key:revoke", domain, "Revoke the API keys of others.";

    RoleCreate = "role:create", domain, "Create roles.";
    RoleRead = "role:read", domain, "See roles and who has them.";
    RoleUpdate = "role:update", domain, "Change roles.";
    RoleDelete = "role:delete", domain, "Delete roles.";
    RoleAssign = "role:assign", domain, "Give roles to users and take them away.";
    ActivityRead = "activity:read", domain, "Read the activity stream.";

    OrganizationCreate = "organization:create", domain, "Create organizations.";
    OrganizationRead = "organization:read", domain, "See organizations.";
    OrganizationUpdate = "organization:update", domain, "Change organizations.";
    OrganizationDelete = "organization:delete", domain, "Delete organizations.";
    MemberCreate = "member:create", domain, "Add members to organizations.";
    MemberRead = "member:read", domain, "See the members of organizations.";
    MemberDelete = "member:delete", domain, "Remove members from organizations.";
    ProjectCreate = "project:create", domain, "Create projects.";
    ProjectRead = "project:read", domain, "See projects.";
    ProjectUpdate = "project:update", domain, "Change projects.";
    ProjectDelete = "project:delete", domain, "Delete projects.";
    BoardCreate = "board:create", domain, "Create boards.";
    BoardRead = "board:read", domain, "See boards and their columns.";
    BoardUpdate = "board:update", domain, "Change boards and their columns.";
    BoardDelete = "board:delete", domain, "Delete boards.";
    CardCreate = "card:create", domain, "Create cards.";
    CardRead = "card:read", domain, "See cards.";
    CardUpdate = "card:update", domain, "Change, move, assign and tag cards.";
    CardDelete = "card:delete", domain, "Delete cards.";
    TagCreate = "tag:create", domain, "Create tags.";
    TagRead = "tag:read", domain, "See tags.";
    TagUpdate = "tag:update", domain, "Change tags.";
    TagDelete = "tag:delete", domain, "Delete tags.";
}
