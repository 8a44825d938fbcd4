//! `plinth-ops worker`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use command_line::ProgramError;
use db_core::jobs::{Handlers, WorkerName};
use db_core::provision::ProvisionError;
use db_core::setup::KeySource;
use db_core::{Clock, Db};
use db_migrate::{MigrateError, Migrator};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Worker;
use crate::failure::Failure;
use crate::program::{NAME, Program};
use crate::{jobs, metrics_server};

/// How long after a look at a database that cannot be served the next one is taken.
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(options: Worker, settings: Vec<String>) -> Result<(), Failure> {
    if options.healthcheck {
        let bind = command_line::load(settings)?.config.jobs.metrics_bind;
        return metrics_server::ask(bind).map_err(Failure::Unhealthy);
    }
    let config = crate::program::load(settings.clone())?.config;
    if config.backup.url.is_some() {
        super::backup::require_database(&config)?;
    }
    let mut program = Program::open_service(settings)?;
    if let Some(concurrency) = options.concurrency {
        program.config_mut().jobs.concurrency = usize::from(concurrency);
    }
    // More than one thread, so that no handler holds up the heartbeats.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)?;
    runtime.block_on(work(&Arc::new(program), &options))
}

async fn work(program: &Arc<Program>, options: &Worker) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let interrupt = signal(SignalKind::interrupt()).map_err(ProgramError::Runtime)?;
    let terminate = signal(SignalKind::terminate()).map_err(ProgramError::Runtime)?;
    tokio::spawn(stop_on(interrupt, terminate, stop.clone()));

    let ready = Arc::new(AtomicBool::new(false));
    let bind = program.config.jobs.metrics_bind;
    match TcpListener::bind(bind).await {
        Ok(listener) => {
            let address = listener.local_addr().unwrap_or(bind);
            tracing::info!("metrics on http://{address}/metrics");
            tokio::spawn(metrics_server::serve(
                listener,
                program.metrics(),
                program.owner.clone(),
                Arc::clone(&ready),
            ));
        }
        // Two workers on one machine, say: they are there for the jobs.
        Err(error) => tracing::warn!(%error, %bind, "no metrics: set PLINTH_JOBS_METRICS_BIND"),
    }

    let Some(db) = wait_for_database(program, &stop).await? else {
        return Ok(());
    };
    db.start_notifier(&program.owner);
    let broken = |error: db_core::jobs::QueueError| Failure::Jobs(error.to_string());
    let core = Handlers::core(&program.owner, &db, &program.config.jobs, telemetry::link_trace);
    let handlers = jobs::register(core.map_err(broken)?, program).map_err(broken)?;
    if let Err(error) = crate::backup::jobs::retire_schedules(program).await {
        tracing::warn!(%error, "schedules that the settings do not have any more were not dropped");
    }
    let handlers = handlers.only(&options.queue).map_err(Failure::Usage)?;
    ready.store(true, Ordering::Relaxed);
    handlers.run(WorkerName::of(NAME), stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// The first signal lets running jobs end; the second one does not wait for them: others run them again.
async fn stop_on(mut interrupt: Signal, mut terminate: Signal, stop: CancellationToken) {
    for again in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if again {
            tracing::warn!("told to stop twice: running jobs are left behind; their leases run out");
            std::process::exit(130);
        }
        tracing::info!("stops when the running jobs have ended");
        stop.cancel();
    }
}

/// Waits until the database is there, set up and migrated: a worker may be started before all of that. `None` when it is to stop first.
///
/// # Errors
/// What a person must mend.
async fn wait_for_database(program: &Program, stop: &CancellationToken) -> Result<Option<Db>, Failure> {
    let mut said = String::new();
    loop {
        let obstacle = match open(program).await {
            Ok(db) => return Ok(Some(db)),
            Err(failure) if may_pass(&failure) => failure.to_string(),
            Err(failure) => return Err(failure),
        };
        if obstacle != said {
            tracing::warn!("waiting: {obstacle}");
            said = obstacle;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn open(program: &Program) -> Result<Db, Failure> {
    if !db_core::setup::is_initialized(&program.owner).await? {
        return Err(ProvisionError::NotSetUp.into());
    }
    let migrator = Migrator::new(program.owner.connector(), Duration::ZERO);
    migrator.status().await?.require_current()?;
    let keyring = KeySource::from_config(&program.config).load()?;
    let (database, security) = (&program.config.database, &program.config.security);
    Ok(Db::open(&program.owner, database, security, &keyring, Clock::System).await?)
}

fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Program(ProgramError::Connect(error)) => error.is_transient(),
        Failure::Domain(ProvisionError::NotSetUp)
        | Failure::Migrate(MigrateError::Pending { .. } | MigrateError::HalfDone { .. }) => true,
        Failure::Migrate(error) => error.is_transient(),
        Failure::Open(error) => error.is_transient(),
        Failure::Setup(error) => error.is_transient(),
        _ => false,
    }
}
