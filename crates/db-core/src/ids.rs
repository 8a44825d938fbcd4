//! Ids as types, so that a card's id cannot stand where a board's is wanted.

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that this UUID stands for.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                <Uuid as diesel::serialize::ToSql<diesel::sql_types::Uuid, diesel::pg::Pg>>::to_sql(&self.0, out)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                <Uuid as diesel::deserialize::FromSql<diesel::sql_types::Uuid, diesel::pg::Pg>>::from_sql(value)
                    .map(Self)
            }
        }
    )*};
}

ids! {
    /// Id of a domain, a tenant.
    DomainId;
    /// Id of a user, an account inside one domain.
    UserId;
    /// Id of a session, a sign-in.
    SessionId;
    /// Id of an API key.
    ApiKeyId;
    /// Id of a role.
    RoleId;
    /// Id of a role assignment, a row of `user_roles`.
    AssignmentId;
    /// Id of a row of the activity stream.
    ActivityId;
    /// Id of a run of a backup, a drill or a restore.
    BackupRunId;
    /// Id of an organization.
    OrganizationId;
    /// Id of a project.
    ProjectId;
    /// Id of a board.
    BoardId;
    /// Id of a column of a board.
    ColumnId;
    /// Id of a card.
    CardId;
    /// Id of a tag.
    TagId;
    /// Id of a job in a queue.
    JobId;
    /// Id of a batch of jobs.
    BatchId;
}

/// The reserved domain of the installation itself; `platform_domain_id()` in SQL.
pub const PLATFORM_DOMAIN: DomainId =
    DomainId::new(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000));
