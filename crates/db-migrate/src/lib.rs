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
mod generate;
mod hints;
mod history;
mod home;
mod index;
mod journal;
mod kind;
mod lock;
mod migration;
mod other_tools;
mod plan;
mod privileges;
mod progress;
mod prove;
mod random;
mod requirements;
mod rows;
mod run;
mod sample_rows;
mod schema_rs;
mod scratch;
mod server_wide;
mod session;
mod split;
mod stepwise;
mod surroundings;
mod trace;
mod verify;
mod waits;
mod workshop;

pub use baseline::{Baseline, Baselined};
pub use desired::{Desired, desired_difference};
pub use drift::{ComparedWith, Drift};
pub use error::MigrateError;
pub use fingerprint::Standing;
pub use folder::{FolderError, runs_in_transaction};
pub use generate::{Generate, Generated, GeneratedMigration, generate};
pub use history::{BOOKKEEPING, Entry, State, Status};
pub use journal::HalfDone;
pub use lock::LOCK;
pub use migration::{Direction, MIGRATIONS, Migration};
pub use other_tools::Tool;
pub use plan::{Plan, PlannedMigration, PlannedStatement};
pub use progress::{Log, Progress, Watch};
pub use run::{Applied, Migrator, Task};
pub use sample_rows::{Empty, Seeded};
pub use schema_rs::schema_rs;
pub use scratch::Scratch;
pub use server_wide::{SERVER_WIDE_CHANGED, ServerWide, Way, keep as keep_server_wide};
pub use split::{SplitError, Statement, split};
pub use surroundings::Deviation;
pub use trace::{LockMode, LockTrace, RelationLock, Traced};
pub use verify::{Verified, verify};
