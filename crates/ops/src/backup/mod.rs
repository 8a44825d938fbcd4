//! Backups: made, listed, verified, proved by restoring them, restored, and thinned out.
//!
//! A backup is a folder of the store, named after the moment it was begun: pg_dump's dump, the rows in chunks and where those
//! are, the cells (row count and hash for each table and domain), the manifest, and a proof once a drill has restored it. The manifest is written last:
//! a folder without one is an unfinished backup and taken for nothing else. `docs/BACKUPS.md` has the format.
//!
//! | what | files |
//! |---|---|
//! | the commands | `create`, `listing`, `verify`, `prune` with `retention`, `drill`, `restore`, `domain/`; `jobs` runs them on a schedule |
//! | the place | `store`, `local`; `outlet` and `intake` stream to it and from it, `ranges` reads parts, `archive` packs, `unlinked`, `channel` |
//! | the files | `manifest`, `proof`, `seal`, `cells`, `index`, `chunk`, `row`; `bounds` limits what they unpack to |
//! | reading a database | `shape`, `scan`, `census`, `frame`, `schema`, `server` |
//! | putting it back | `load`, `restore_rows`, `check`, `scratch`, `swap`, `takeover` |
//! | beside it | `runs`, `lost`, `installation`, `locks`, `stop`, `progress`, `tools`, `error` |

mod archive;
mod bounds;
mod cells;
mod census;
mod channel;
mod check;
mod chunk;
mod create;
pub mod domain;
mod drill;
mod error;
mod frame;
mod index;
mod installation;
mod intake;
pub mod jobs;
mod listing;
mod load;
mod local;
mod locks;
mod lost;
mod manifest;
mod outlet;
mod progress;
mod proof;
mod prune;
mod ranges;
mod restore;
mod restore_rows;
mod retention;
mod row;
mod runs;
mod scan;
mod schema;
mod scratch;
mod seal;
mod server;
mod shape;
mod stop;
mod store;
mod swap;
mod takeover;
mod tools;
mod unlinked;
mod verify;

pub use create::create;
pub use drill::{Drilled, drill};
pub use error::BackupError;
pub use installation::configured as configured_installation;
pub use listing::{Listed, Standing, find, list};
pub use manifest::Name;
pub use progress::{Progress, size};
pub use prune::{Pruned, prune};
pub use restore::{Options as RestoreOptions, Restored, restore};
pub use retention::Policy;
pub use stop::Stop;
pub use store::Store;
pub use tools::version as tool_version;
pub(crate) use unlinked::way_to;
pub use verify::{Verified, verify};

/// What every one of them works with.
pub struct Context<'a> {
    /// Settings, and the owner of the database.
    pub program: &'a crate::program::Program,
    /// Where backups are.
    pub store: Store,
    /// Whether backups are taken that nobody with the key of the installation has signed, or that cannot be told from such: then
    /// whoever can write to the store says what is restored, and what runs as the owner.
    pub unauthenticated: bool,
    /// Who is told how it goes.
    pub progress: &'a Progress,
    /// Whether somebody wants it to end.
    pub stop: &'a Stop,
}
