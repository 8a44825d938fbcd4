//! The jobs of `plinth-ops worker` beside the core's: what only this program can do, such as backups.
//!
//! To add one:
//!
//! 1. A type with a name, in a file of its own, whose fields are what the handler needs to know. `NAME` and fields outlive versions.
//!
//!    ```ignore
//!    #[derive(Debug, Serialize, Deserialize)]
//!    pub struct MakeBackup {}
//!
//!    impl Job for MakeBackup {
//!        const NAME: &'static str = "make_backup";
//!        // This program alone serves it, one job at a time; the server's own worker does not.
//!        const QUEUE: &'static str = queue::OPERATIONS;
//!        // An attempt that takes longer is stopped, and is tried again.
//!        const TIME_LIMIT: Duration = Duration::from_secs(12 * 3600);
//!        const MAX_ATTEMPTS: u32 = 3;
//!    }
//!    ```
//! 2. Its handler, in [`register`]. An error is tried again, with growing pauses; `Failure::fatal` is not. It may run twice. What blocks
//!    its thread goes to `tokio::task::spawn_blocking`; between two portions of work it asks `context.should_stop()`.
//!
//!    ```ignore
//!    let program = Arc::clone(program);
//!    handlers.handle(move |context: JobContext, _: MakeBackup| {
//!        let program = Arc::clone(&program);
//!        async move { Ok(create::run(&program).await?) }
//!    })
//!    ```
//! 3. When it is to happen by itself: a schedule, in [`register`] too. It is written into the database at each start of a worker; where
//!    a setting turns it off, `db_core::jobs::retire` drops what an earlier start wrote.
//!
//!    ```ignore
//!    let schedule = NewSchedule::new("make_backup", PLATFORM_DOMAIN.uuid(), "0 2 * * *", &MakeBackup {})?;
//!    handlers.schedule(schedule.missed(Missed::Once))
//!    ```
//! 4. Where its payload holds nothing but ids, numbers and times: its name in `SHOWN` of `db-core/src/jobs/payload.rs`, so that operators
//!    see it.
//!
//! By hand it is enqueued with `SystemTx::enqueue`. What it did it notes itself, in the activity stream or a table of its own.

use std::sync::Arc;

use db_core::jobs::{Handlers, QueueError, queue};

use crate::backup;
use crate::program::Program;

/// Adds this program's handlers and schedules to those of the core.
///
/// # Errors
/// A schedule whose expression or time zone cannot be read.
pub fn register(handlers: Handlers, program: &Arc<Program>) -> Result<Handlers, QueueError> {
    backup::jobs::register(handlers.serve(queue::OPERATIONS, 1), program)
}
