//! Who asks, for which permission, on what: what a tenant transaction is opened with.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::ids::{ApiKeyId, BoardId, CardId, ColumnId, DomainId, OrganizationId, ProjectId, TagId};
use crate::rbac::Permission;
use crate::secrets::token::TokenHash;

/// What a request proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// SHA-256 of a session's token.
    Session(TokenHash),
    /// An API key whose secret this process has verified; see `Pool::verify_api_key`.
    ApiKey(VerifiedKey),
}

/// An API key that `crypt()` has confirmed. Holds for one version of the row, which `enter()` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    /// Domain of the key.
    pub domain: DomainId,
    /// The key.
    pub id: ApiKeyId,
    /// Version of the row that was verified.
    pub version: i32,
}

/// On what a permission is wanted. Roles may be limited to an organization or a project, so that it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The domain itself.
    Domain,
    /// The installation: platform operators only.
    Platform,
    /// Wherever it is held; the query then shows what the actor may see.
    Anywhere,
    /// An organization.
    Organization(OrganizationId),
    /// A project.
    Project(ProjectId),
    /// A board.
    Board(BoardId),
    /// A column.
    Column(ColumnId),
    /// A card.
    Card(CardId),
    /// A tag.
    Tag(TagId),
}

impl Target {
    fn sql(self) -> (&'static str, Option<uuid::Uuid>) {
        match self {
            Self::Domain => ("domain", None),
            Self::Platform => ("platform", None),
            Self::Anywhere => ("anywhere", None),
            Self::Organization(id) => ("organization", Some(id.uuid())),
            Self::Project(id) => ("project", Some(id.uuid())),
            Self::Board(id) => ("board", Some(id.uuid())),
            Self::Column(id) => ("column", Some(id.uuid())),
            Self::Card(id) => ("card", Some(id.uuid())),
            Self::Tag(id) => ("tag", Some(id.uuid())),
        }
    }

    /// Kind and id, as the activity stream has them.
    pub fn describe(self) -> (Option<&'static str>, Option<uuid::Uuid>) {
        let (kind, id) = self.sql();
        (id.is_some().then_some(kind), id)
    }
}

/// Where a request came from; goes into the activity stream.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Id of the request, as in the log and in the answer.
    pub request_id: String,
    /// Address of the client.
    pub ip: Option<IpAddr>,
    /// W3C `traceparent` of the work, where it is traced; jobs that are enqueued are linked to it.
    pub trace: Option<String>,
}

/// Everything that the first message of a tenant transaction says.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who asks.
    pub credential: Credential,
    /// What for; `None` for what every signed-in user may do with their own things.
    pub permission: Option<Permission>,
    /// On what.
    pub target: Target,
    /// Where the request came from.
    pub origin: Origin,
}

impl Access {
    /// `BEGIN` and the call of `enter()` as one simple message.
    ///
    /// The literals are hexadecimal digits, UUIDs, integers and names from our own tables: nothing a client wrote.
    pub(crate) fn begin_sql(&self, read_only: bool, statement_timeout: Duration) -> String {
        let mut sql = String::with_capacity(320);
        sql.push_str(if read_only { "BEGIN READ ONLY;" } else { "BEGIN;" });
        sql.push_str("SELECT enter(");
        // Writing to a String cannot fail.
        let _ = match self.credential {
            Credential::Session(hash) => {
                write!(sql, "'\\x{}',NULL,NULL,NULL,", hex::encode(hash.as_bytes()))
            }
            Credential::ApiKey(key) => write!(sql, "NULL,'{}','{}',{},", key.domain, key.id, key.version),
        };
        let _ = match self.permission {
            Some(permission) => write!(sql, "'{}',", permission.name()),
            None => write!(sql, "NULL,"),
        };
        let (kind, id) = self.target.sql();
        let _ = match id {
            Some(id) => write!(sql, "'{kind}','{id}',"),
            None => write!(sql, "'{kind}',NULL,"),
        };
        let _ = write!(sql, "{})", statement_timeout.as_millis());
        sql
    }
}
