//! Jobs of the core: what has ended is tidied away. Each works in small transactions of its own, as `plinth_system`.

mod activity;
mod assignments;
mod partitions;
mod sessions;

use app_config::JobsConfig;
use job_queue::{Failure, Missed, NewSchedule};

use super::{Handlers, JobContext};
use crate::ids::PLATFORM_DOMAIN;

pub use activity::DeleteActivity;
pub use assignments::ExpireAssignments;
pub use partitions::MakeActivityPartitions;
pub use sessions::DeleteSessions;

/// Kind of [`ExpireAssignments`].
pub const EXPIRE_ASSIGNMENTS: &str = "expire_assignments";
/// Kind of [`DeleteSessions`].
pub const DELETE_SESSIONS: &str = "delete_sessions";
/// Kind of [`DeleteActivity`].
pub const DELETE_ACTIVITY: &str = "delete_activity";

/// Kind of [`MakeActivityPartitions`].
pub const MAKE_ACTIVITY_PARTITIONS: &str = "make_activity_partitions";

/// Rows of one transaction.
const PORTION: i64 = 1000;

/// Adds the core's handlers and schedules.
pub(super) fn register(handlers: Handlers, config: &JobsConfig) -> Result<Handlers, job_queue::Error> {
    let platform = PLATFORM_DOMAIN.uuid();
    let keep_days = config.keep_activity_days;
    Ok(handlers
        .handle_platform(|context: JobContext, _: ExpireAssignments| async move {
            assignments::run(&context).await
        })
        .handle_platform(
            |context: JobContext, _: DeleteSessions| async move { sessions::run(&context).await },
        )
        .handle_platform(move |context: JobContext, _: DeleteActivity| async move {
            activity::run(&context, keep_days).await
        })
        .handle_platform(|context: JobContext, _: MakeActivityPartitions| async move {
            partitions::make(&context).await
        })
        // Best while the default partition is empty: from the first start on.
        .at_start(&MakeActivityPartitions {})?
        .schedule(once(NewSchedule::new(
            MAKE_ACTIVITY_PARTITIONS,
            platform,
            "13 3 * * *",
            &MakeActivityPartitions {},
        )?))
        .schedule(once(NewSchedule::new(
            EXPIRE_ASSIGNMENTS,
            platform,
            "* * * * *",
            &ExpireAssignments {},
        )?))
        .schedule(once(NewSchedule::new(
            DELETE_SESSIONS,
            platform,
            "17 * * * *",
            &DeleteSessions {},
        )?))
        .schedule(once(NewSchedule::new(
            DELETE_ACTIVITY,
            platform,
            "43 3 * * *",
            &DeleteActivity {},
        )?)))
}

/// However many firings were missed, one run tidies up all that there is.
fn once(schedule: NewSchedule) -> NewSchedule {
    schedule.missed(Missed::Once)
}

/// Between two portions: whether to go on with the next.
fn go_on(context: &JobContext) -> Result<(), Failure> {
    if context.should_stop() {
        return Err(Failure::retry("it was stopped before its end"));
    }
    Ok(())
}
