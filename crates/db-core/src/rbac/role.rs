//! The four system roles, and which permissions each gives.

use strum::IntoEnumIterator;
use uuid::Uuid;

use super::Permission;
use crate::ids::RoleId;

/// A role that stands once, in the platform domain, readable by every domain and immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
pub enum SystemRole {
    /// Everything. In the platform domain: a platform operator.
    Admin,
    /// Runs the work and its people; changes no roles.
    Manager,
    /// Does the work.
    Editor,
    /// Looks on.
    Viewer,
}

impl SystemRole {
    /// All four, most powerful first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Fixed id of the role, the same in every installation.
    pub const fn id(self) -> RoleId {
        let number = match self {
            Self::Admin => 1,
            Self::Manager => 2,
            Self::Editor => 3,
            Self::Viewer => 4,
        };
        RoleId::new(Uuid::from_u128(
            0x0000_0000_0000_7000_8000_0000_0000_0100 + number,
        ))
    }

    /// Name of the role.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::Editor => "Editor",
            Self::Viewer => "Viewer",
        }
    }

    /// What the role is for.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Admin => "Everything in the domain.",
            Self::Manager => "Runs organizations, projects and people; does not change roles.",
            Self::Editor => "Works on boards and cards.",
            Self::Viewer => "Sees the work, changes nothing.",
        }
    }

    /// The permissions that the role gives, in the order of the catalogue.
    pub fn permissions(self) -> Vec<Permission> {
        Permission::iter()
            .filter(|&permission| self.gives(permission))
            .collect()
    }

    fn gives(self, permission: Permission) -> bool {
        use Permission as P;
        let viewer = matches!(
            permission,
            P::UserRead
                | P::RoleRead
                | P::OrganizationRead
                | P::MemberRead
                | P::ProjectRead
                | P::BoardRead
                | P::CardRead
                | P::TagRead
        );
        let editor = matches!(
            permission,
            P::ApiKeyCreate
                | P::BoardUpdate
                | P::CardCreate
                | P::CardUpdate
                | P::CardDelete
                | P::TagCreate
                | P::TagUpdate
                | P::TagDelete
        );
        match self {
            Self::Viewer => viewer,
            Self::Editor => viewer || editor,
            Self::Manager => {
                !permission.is_platform()
                    && !matches!(
                        permission,
                        P::RoleCreate | P::RoleUpdate | P::RoleDelete | P::OrganizationDelete
                    )
            }
            Self::Admin => true,
        }
    }
}
