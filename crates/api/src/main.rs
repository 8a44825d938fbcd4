//! `plinth-api`: the server.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use app_config::{ConfigError, Loaded};
use clap::{Parser, Subcommand};
use db_core::Clock;
use db_core::setup::SetupError;
use telemetry::TelemetryError;
use tokio::signal::unix::{SignalKind, signal};

/// The configuration is not valid: `EX_CONFIG` of BSD's sysexits, as the other programs have it.
const CONFIG: u8 = 78;

#[derive(Debug, Parser)]
#[command(name = "plinth-api", version, about = "Plinth's HTTP server")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Sets one setting, before everything else: --set database.pool_size=20
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    settings: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves requests until it is told to stop (what happens without a command)
    Serve,
    /// Prints the OpenAPI document
    Openapi,
    /// Asks the server of this configuration whether it is ready; for container health checks
    Healthcheck,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(cli.settings),
        Command::Openapi => print_openapi(),
        Command::Healthcheck => healthcheck(cli.settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not through tracing: the log may not be up yet.
            let _ = writeln!(std::io::stderr(), "plinth-api: {error:#}");
            exit_code(&error)
        }
    }
}

/// The table is in docs/OPERATIONS.md.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let misconfigured = error.is::<ConfigError>()
        || error.is::<TelemetryError>()
        || matches!(error.downcast_ref(), Some(SetupError::DemoExposed(_)));
    if misconfigured {
        ExitCode::from(CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

fn load(settings: Vec<String>) -> anyhow::Result<Loaded> {
    Ok(app_config::Loader::from_process().flags(settings).load()?)
}

fn serve(settings: Vec<String>) -> anyhow::Result<()> {
    let Loaded {
        mut config, warnings, ..
    } = load(settings)?;
    let guard = telemetry::init("plinth-api", &config.telemetry)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // Before the runtime: it blocks. Dropped after it: the server's connections are closed by then.
    let local = local_postgres::stand_in(&mut config)?;
    if let Some(server) = &local {
        tracing::info!(data = %server.data_dir().display(), "a private PostgreSQL serves, since no database is configured");
    }
    let metrics = guard.metrics();
    actix_web::rt::System::new().block_on(async move {
        // Heard from here on: a signal that nobody hears ends the process on the spot, and jobs with it.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let state = tokio::select! {
            state = api::start::app_state(config, Clock::System) => state?,
            // Nothing is served yet; what was begun in the database is undone.
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let metrics_bind = state.config.server.metrics_bind;
        let api = api::server::api(state.clone())
            .with_context(|| format!("cannot listen on {}", state.config.server.bind))?;
        let metrics = api::server::metrics(metrics_bind, metrics, state.clone())
            .with_context(|| format!("cannot listen on {metrics_bind} for metrics"))?;
        let stop_metrics = metrics.server.handle();
        actix_web::rt::spawn(metrics.server);
        tracing::info!(
            "listening on http://{}, metrics on http://{}/metrics",
            api.address,
            metrics.address
        );
        if state.db().is_some() {
            tracing::info!("browse the API at http://{}/docs/", api.address);
            if let Some(accounts) = api::start::demo_accounts(&state.config) {
                tracing::info!("{accounts}");
            }
        }
        let (stopping, stop_api) = (state.clone(), api.server.handle());
        actix_web::rt::spawn(async move {
            // Ctrl-C does not wait for requests.
            let graceful = tokio::select! {
                _ = interrupt.recv() => false,
                _ = terminate.recv() => true,
            };
            tracing::info!("told to stop");
            // Jobs come to their ends while requests do.
            stopping.begin_stop_of_jobs();
            stop_api.stop(graceful).await;
        });
        api.server.await?;
        stop_metrics.stop(false).await;
        state.stop_jobs();
        anyhow::Ok(())
    })?;
    tracing::info!("stopped");
    drop(local);
    drop(guard);
    Ok(())
}

fn print_openapi() -> anyhow::Result<()> {
    writeln!(
        std::io::stdout(),
        "{}",
        api::openapi::document().to_pretty_json()?
    )?;
    Ok(())
}

/// One HTTP/1.0 request by hand: a health check must not need a client library in the image.
fn healthcheck(settings: Vec<String>) -> anyhow::Result<()> {
    use std::io::Read as _;
    let mut address = load(settings)?.config.server.bind;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let patience = Duration::from_secs(3);
    let mut stream = std::net::TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split_whitespace().nth(1).unwrap_or("nothing");
    anyhow::ensure!(status == "200", "{address} answers {status}");
    Ok(())
}
