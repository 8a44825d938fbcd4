//! Backups by themselves: jobs of `plinth-ops worker`, with a schedule for each.

use std::sync::Arc;
use std::time::Duration;

use db_core::jobs::{
    Backoff, Failure, Handlers, Job, JobContext, Missed, NewSchedule, QueueError, Times, queue, retire,
};
use db_core::{PLATFORM_DOMAIN, SystemError};
use serde::{Deserialize, Serialize};

use super::{
    BackupError, Context, Name, Policy, Progress, Stop, Store, create, drill, find, installation, lost,
    prune, server,
};
use crate::program::Program;

/// All kinds of jobs of the queue `operations`.
pub const KINDS: [&str; 3] = [MakeBackup::NAME, ProveBackup::NAME, PruneBackups::NAME];

/// Nothing of it may take longer.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A store or a server that is away may be back in some minutes.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(60),
    longest: Duration::from_secs(3600),
    jitter: 0.25,
};

/// Makes a backup, and has it proved.
#[derive(Debug, Serialize, Deserialize)]
pub struct MakeBackup {}

impl Job for MakeBackup {
    const NAME: &'static str = "make_backup";
    const QUEUE: &'static str = queue::OPERATIONS;
    const TIME_LIMIT: Duration = TIME_LIMIT;
    const MAX_ATTEMPTS: u32 = 5;
    const BACKOFF: Backoff = BACKOFF;
}

/// Proves a backup by a drill.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProveBackup {
    /// Its name; the newest where there is none.
    pub backup: Option<String>,
}

impl Job for ProveBackup {
    const NAME: &'static str = "prove_backup";
    const QUEUE: &'static str = queue::OPERATIONS;
    const TIME_LIMIT: Duration = TIME_LIMIT;
    const MAX_ATTEMPTS: u32 = 5;
    const BACKOFF: Backoff = BACKOFF;
}

/// Deletes the backups that are not kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct PruneBackups {}

impl Job for PruneBackups {
    const NAME: &'static str = "prune_backups";
    const QUEUE: &'static str = queue::OPERATIONS;
    const TIME_LIMIT: Duration = TIME_LIMIT;
    const MAX_ATTEMPTS: u32 = 5;
    const BACKOFF: Backoff = BACKOFF;
}

/// Adds the handlers, and the schedules where there is a place for backups.
///
/// # Errors
/// A schedule whose fields or time zone cannot be read.
pub fn register(handlers: Handlers, program: &Arc<Program>) -> Result<Handlers, QueueError> {
    let (making, proving, pruning) = (Arc::clone(program), Arc::clone(program), Arc::clone(program));
    let mut handlers = handlers
        .handle_platform(move |context: JobContext, _: MakeBackup| {
            let program = Arc::clone(&making);
            async move { Box::pin(make(&program, &context)).await }
        })
        .handle_platform(move |context: JobContext, job: ProveBackup| {
            let program = Arc::clone(&proving);
            async move { Box::pin(prove(&program, &context, job)).await }
        })
        .handle_platform(move |context: JobContext, _: PruneBackups| {
            let program = Arc::clone(&pruning);
            async move { Box::pin(thin_out(&program, &context)).await }
        });
    let config = &program.config.backup;
    let domain = PLATFORM_DOMAIN.uuid();
    let any = ProveBackup { backup: None };
    let crons = [&config.schedule, &config.drill_schedule, &config.prune_schedule];
    for (name, cron) in [MakeBackup::NAME, ProveBackup::NAME, PruneBackups::NAME]
        .into_iter()
        .zip(crons)
    {
        let Some(cron) = cron.as_ref().filter(|_| config.url.is_some()) else {
            continue;
        };
        // Better now than at the first firing.
        Times::parse(cron, &config.time_zone)?;
        let schedule = match name {
            MakeBackup::NAME => NewSchedule::new(name, domain, cron, &MakeBackup {}),
            ProveBackup::NAME => NewSchedule::new(name, domain, cron, &any),
            _ => NewSchedule::new(name, domain, cron, &PruneBackups {}),
        }?;
        handlers = handlers.schedule(schedule.time_zone(&config.time_zone).missed(Missed::Once));
    }
    Ok(handlers)
}

/// Drops the schedules that the settings do not have any more.
///
/// # Errors
/// The database is away, or a statement fails.
pub async fn retire_schedules(program: &Program) -> Result<(), SystemError> {
    let config = &program.config.backup;
    for (name, cron) in [
        (MakeBackup::NAME, &config.schedule),
        (ProveBackup::NAME, &config.drill_schedule),
        (PruneBackups::NAME, &config.prune_schedule),
    ] {
        if config.url.is_none() || cron.is_none() {
            retire(&program.owner, PLATFORM_DOMAIN, name).await?;
        }
    }
    Ok(())
}

async fn make(program: &Program, job: &JobContext) -> Result<(), Failure> {
    let name = with(program, job, true, async |context| create(context).await).await?;
    tracing::info!(backup = %name, "made a backup");
    // A job of its own: when the drill fails, it is not the backup that is made again.
    let prove = ProveBackup {
        backup: Some(name.to_string()),
    };
    job.system(async |tx| tx.enqueue(job.new_id(), PLATFORM_DOMAIN, &prove).await)
        .await?;
    Ok(())
}

async fn prove(program: &Program, job: &JobContext, what: ProveBackup) -> Result<(), Failure> {
    let named: Option<Name> = match what.backup.map(|name| name.parse()).transpose() {
        Ok(named) => named,
        Err(problem) => {
            let problem: String = problem;
            return Err(Failure::fatal(problem));
        }
    };
    let proved = with(program, job, false, async |context| {
        let name = match &named {
            Some(name) => name.clone(),
            None => find(&context.store, None).await?.backup,
        };
        drill(context, &name).await
    });
    let proved = proved.await?;
    tracing::info!(backup = %proved.backup, rows = proved.rows, "proved a backup");
    Ok(())
}

async fn thin_out(program: &Program, job: &JobContext) -> Result<(), Failure> {
    let config = &program.config.backup;
    let policy = Policy {
        daily: config.keep_daily,
        weekly: config.keep_weekly,
        monthly: config.keep_monthly,
    };
    let decisions = with(program, job, false, async |context| {
        let client = server::connect(program, program.owner.address()).await?;
        let ours = installation::of(&client).await?;
        lost::require_last(&client, &context.store).await?;
        prune(&context.store, context.stop, ours, policy, false).await
    })
    .await?;
    for gone in decisions.iter().filter(|decision| decision.deleted) {
        tracing::info!(backup = %gone.backup, why = gone.why, "deleted a backup");
    }
    Ok(())
}

async fn with<T>(
    program: &Program,
    job: &JobContext,
    make: bool,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, BackupError>,
) -> Result<T, Failure> {
    let done = async {
        let context = Context {
            program,
            store: Store::open(&program.config, None, make)?,
            unauthenticated: false,
            progress: &Progress::logged(),
            stop: &Stop::from(job.job().cancellation().clone()),
        };
        context.progress.during(Box::pin(work(&context))).await
    };
    done.await.map_err(|error| match error {
        // Those another attempt does not mend.
        BackupError::Config(_)
        | BackupError::Tools(_)
        | BackupError::Damaged { .. }
        | BackupError::NotAuthentic { .. }
        | BackupError::OtherInstallation(_)
        | BackupError::Differs { .. } => Failure::fatal(error.to_string()),
        error => Failure::retry(error.to_string()),
    })
}
