//! Everything that the doctor looks at, in the order in which it is told. Programs rely on the ids: docs/DOCTOR.md lists them, and
//! a test compares.

/// One thing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `group.name`
    pub id: &'static str,
    /// A few words for people.
    pub title: &'static str,
}

macro_rules! catalogue {
    ($($name:ident = $id:literal, $title:literal;)*) => {
        $(pub const $name: Kind = Kind { id: $id, title: $title };)*
        /// All of them.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

catalogue! {
    SETTINGS = "config.settings", "settings";
    SECRET_FILES = "config.files", "files with secrets";
    OWNER_DNS = "owner.dns", "host name";
    OWNER_TCP = "owner.tcp", "port";
    OWNER_TLS = "owner.tls", "encryption";
    OWNER_LOGIN = "owner.login", "login";
    OWNER_DATABASE = "owner.database", "database";
    POOLED_DNS = "pooled.dns", "host name";
    POOLED_TCP = "pooled.tcp", "port";
    POOLED_TLS = "pooled.tls", "encryption";
    POOLED_LOGIN = "pooled.login", "login";
    POOLED_DATABASE = "pooled.database", "database";
    POOLED_SAME = "pooled.same", "same database";
    POOLER_KIND = "pooler.kind", "PgBouncer";
    POOLER_STATEMENTS = "pooler.statements", "prepared statements";
    POOLER_SETTINGS = "pooler.settings", "its settings";
    VERSION = "server.version", "version";
    SECURITY = "server.security", "security fixes";
    PRIMARY = "server.primary", "takes writes";
    CLOCK = "server.clock", "clock";
    CONNECTIONS = "server.connections", "connections";
    OWNER_RIGHTS = "rights.owner", "owner's privileges";
    ROLE_RIGHTS = "rights.roles", "roles";
    APP_LOGIN = "rights.app_login", "row level security";
    OPEN_DOOR = "rights.connect", "who may connect";
    SCRATCH = "rights.createdb", "scratch databases";
    EXTENSIONS = "schema.extensions", "extensions";
    MIGRATIONS = "schema.migrations", "migrations";
    DRIFT = "schema.drift", "drift";
    TENANCY = "schema.tenancy", "rules of tenancy";
    SET_UP = "schema.set_up", "set up";
    KEY = "key.present", "encryption key";
    KEY_FITS = "key.fits", "the installation's key";
    LOG_STATEMENTS = "logging.statements", "statements";
    LOG_PARAMETERS = "logging.parameters", "parameters";
    LOG_ERRORS = "logging.errors", "errors";
    LOG_AUTO_EXPLAIN = "logging.auto_explain", "auto_explain";
    LOG_STAT_STATEMENTS = "logging.pg_stat_statements", "pg_stat_statements";
    LOG_ROLES = "logging.roles", "settings of roles";
    DISK_DATABASE = "disk.database", "the server's disk";
    DISK_BACKUPS = "disk.backups", "the backups' disk";
    TOOL_DUMP = "backup.pg_dump", "pg_dump";
    TOOL_RESTORE = "backup.pg_restore", "pg_restore";
    BACKUP_PLACE = "backup.place", "place of backups";
    BACKUP_LAST = "backup.last", "last backup";
    BACKUP_PROOF = "backup.proof", "last proof";
}

/// Those of a group, or of several.
pub fn of(groups: &[&str]) -> impl Iterator<Item = Kind> {
    ALL.iter()
        .copied()
        .filter(move |kind| groups.contains(&group(kind.id)))
}

/// What stands before the dot.
pub fn group(id: &str) -> &str {
    id.split_once('.').map_or(id, |(group, _)| group)
}

/// A heading for people.
pub fn heading(group: &str) -> &str {
    match group {
        "config" => "Configuration",
        "owner" => "Connection of the owner",
        "pooled" => "Connection of requests",
        "pooler" => "Pooler",
        "server" => "Server",
        "rights" => "Privileges",
        "schema" => "Schema",
        "key" => "Encryption key",
        "logging" => "What reaches the server's log",
        "disk" => "Disk",
        "backup" => "Backups",
        other => other,
    }
}
