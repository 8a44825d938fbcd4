//! The advisory locks of this program: all of them, so that no two have one number. Advisory locks are per database.

/// That of migrations, which take it for themselves; taken shared, nobody's table comes or goes meanwhile.
pub(super) use db_migrate::LOCK as MIGRATIONS;

/// One backup of a database at a time.
pub(super) const BACKUP: i64 = 0x506c_696e_7468_426b; // "PlinthBk"

/// One drill at a time.
pub(super) const DRILL: i64 = 0x506c_696e_7468_4472; // "PlinthDr"

/// In the maintenance database: whoever makes or sweeps a scratch database, or gives one its name, has it.
pub(super) const SCRATCH: i64 = 0x506c_696e_7468_5363; // "PlinthSc"

/// One restore, copy or erasure of a domain at a time.
pub(super) const DOMAIN: i64 = 0x506c_696e_7468_446d; // "PlinthDm"
