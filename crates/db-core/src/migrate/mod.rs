//! Applies and reverts migrations: those that the binary carries, or those of a directory.
//!
//! Diesel's history table is kept, so that the `diesel` command line goes on working; a ledger beside it remembers
//! checksum, duration, version and author. Fifty processes may run this at once: a try-lock on an advisory lock lets
//! one through, and the others find nothing left to do.

mod baseline;
mod desired;
mod drift;
mod error;
mod fingerprint;
mod folder;
mod foreign;
mod generate;
mod history;
mod index;
mod journal;
mod kind;
mod lock;
mod migration;
mod plan;
mod progress;
mod prove;
mod requirements;
mod rows;
mod run;
mod schema_rs;
mod scratch;
mod seed;
mod session;
mod split;
mod stepwise;
mod trace;
mod verify;

pub use baseline::{Baseline, Baselined};
pub use desired::{Desired, desired_difference};
pub use drift::{ComparedWith, Drift};
pub use error::MigrateError;
pub(crate) use error::{connection_lost, describe};
pub use fingerprint::Standing;
pub use folder::FolderError;
pub use foreign::Tool;
pub use generate::{Generate, Generated, GeneratedMigration, generate};
pub use history::{BOOKKEEPING, Entry, State, Status};
pub use journal::HalfDone;
pub use migration::{Direction, MIGRATIONS, Migration};
pub use plan::{Plan, PlannedMigration, PlannedStatement};
pub use progress::{Log, Progress, Watch};
pub use run::{Applied, Migrator, Task};
pub use schema_rs::schema_rs;
pub use scratch::Scratch;
pub use seed::{Empty, Seeded};
pub use split::{SplitError, Statement, split};
pub use trace::{LockMode, LockTrace, RelationLock, Traced};
pub use verify::{Verified, verify};
