//! `plinth-ops doctor`: looks at everything that an installation needs, step by step, and says of each fault what its cause and its
//! cure are. It changes nothing.
//!
//! Each thing looked at is a value ([`Check`]); what depends on a step that failed is skipped, and says so. docs/DOCTOR.md lists them.

mod backups;
mod catalogue;
mod check;
pub mod display;
mod key;
mod last_backup;
mod logging;
mod pooler;
mod reach;
mod rights;
mod schema;
mod server;
mod version;

use app_config::{ConfigError, Environment, Loaded};
use db_core::Owner;
use serde::Serialize;
use tokio_postgres::{Client, Error};

pub use check::{Check, Status};

use crate::program::NAME;
use check::{Findings, Trouble};

/// Everything that was looked at.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of all: `failed`, `warning` or `ok`.
    pub status: Status,
    /// Where the owner connects to, without the password.
    pub owner: Option<String>,
    /// Where requests connect to, where that is another address.
    pub pooled: Option<String>,
    /// In the order of docs/DOCTOR.md.
    pub checks: Vec<Check>,
}

impl Report {
    fn of(findings: Findings, owner: Option<String>, pooled: Option<String>) -> Self {
        let checks = findings.into_checks();
        let is = |status| checks.iter().any(|check| check.status == status);
        Self {
            status: if is(Status::Failed) {
                Status::Failed
            } else if is(Status::Warning) {
                Status::Warning
            } else {
                Status::Ok
            },
            owner,
            pooled,
            checks,
        }
    }
}

/// The report where the configuration is not valid: nothing else can be looked at.
pub fn misconfigured(error: &ConfigError) -> Report {
    let mut findings = Findings::default();
    findings.failed(
        catalogue::SETTINGS,
        Trouble::new(
            error.problems.join("; "),
            "the configuration is not valid, and no program starts with it",
            "correct it where the message says; plinth-ops config show prints every setting and where it came from",
        ),
    );
    findings.skip_rest(catalogue::ALL.iter().copied(), "the configuration is not valid");
    Report::of(findings, None, None)
}

/// The report where no database is configured and the private one does not start.
pub fn without_database(loaded: &Loaded, environment: &Environment, why: &str) -> Report {
    let mut findings = Findings::default();
    settings(&mut findings, loaded, environment);
    key::look(&mut findings, loaded, None);
    findings.failed(
        catalogue::OWNER_DATABASE,
        Trouble::new(
            why,
            "no database is configured, and the private PostgreSQL of the working directory cannot stand in",
            "set DATABASE_URL (or DATABASE_URL_FILE, or DATABASE_HOST and its kin)",
        ),
    );
    findings.skip_rest(catalogue::ALL.iter().copied(), "there is no database");
    Report::of(findings, None, None)
}

/// Looks at everything. `loaded` has the address of the database, or of the private one. `replicas`: how many servers run.
pub async fn examine(loaded: &Loaded, environment: &Environment, replicas: u32) -> Report {
    let mut findings = Findings::default();
    let config = &loaded.config;
    settings(&mut findings, loaded, environment);
    let owner = config.database.owner_address().map(ToString::to_string);
    let pooled = config
        .database
        .direct
        .as_ref()
        .and(config.database.address.as_ref())
        .map(ToString::to_string);
    let client = match connect(&mut findings, loaded).await {
        Some(client) => Box::pin(connected(&mut findings, loaded, client, replicas)).await,
        None => None,
    };
    if client.is_none() {
        let groups = ["pooler", "server", "rights", "schema", "logging"];
        findings.skip_rest(catalogue::of(&groups), "the owner cannot connect");
        if !findings.has(catalogue::KEY) {
            key::look(&mut findings, loaded, None);
        }
        // Those that ask the server are left out without a client, so that no statement can fail.
        let _ = backups::look(&mut findings, None, config).await;
        findings.skip_rest(
            catalogue::of(&["pooled", "disk", "backup"]),
            "the owner cannot connect",
        );
    }
    Report::of(findings, owner, pooled)
}

fn settings(findings: &mut Findings, loaded: &Loaded, environment: &Environment) {
    key::files(findings, loaded, environment);
    // The one about the certificate of a server elsewhere is told where the connection is.
    let warnings: Vec<&str> = loaded
        .warnings
        .iter()
        .map(String::as_str)
        .filter(|warning| !warning.contains("does not verify its certificate"))
        .collect();
    if warnings.is_empty() {
        let given = loaded
            .entries
            .iter()
            .filter(|entry| entry.origin.source != app_config::Source::Default)
            .count();
        return findings.ok(
            catalogue::SETTINGS,
            format!("valid; {given} given, the rest are defaults"),
        );
    }
    findings.warning(
        catalogue::SETTINGS,
        Trouble::new(
            warnings.join("; "),
            "it is allowed, and worth a look",
            "plinth-ops config show prints every setting and where it came from",
        ),
    );
}

/// The owner's connection.
async fn connect(findings: &mut Findings, loaded: &Loaded) -> Option<Client> {
    let database = &loaded.config.database;
    let options = db_core::connect_options(database, NAME);
    reach::go(findings, reach::OWNER, database.owner_address()?, options).await
}

/// What can be asked once the owner is in; `None` when the connection was lost on the way.
async fn connected(
    findings: &mut Findings,
    loaded: &Loaded,
    client: Client,
    replicas: u32,
) -> Option<Client> {
    if let Err(error) = ask(findings, loaded, &client, replicas).await {
        // Never passed over: what was not looked at is not in order.
        let unanswered = catalogue::ALL.iter().copied().find(|kind| !findings.has(*kind));
        findings.failed(
            unanswered.unwrap_or(catalogue::OWNER_DATABASE),
            Trouble::new(
                pg_connect::describe(&error),
                "the server did not answer a question: it went away, or is locked or overloaded",
                "look into the server's log, and run the doctor again",
            ),
        );
        findings.skip_rest(
            catalogue::ALL.iter().copied(),
            "an earlier question was not answered",
        );
    }
    Some(client)
}

async fn ask(findings: &mut Findings, loaded: &Loaded, client: &Client, replicas: u32) -> Result<(), Error> {
    let config = &loaded.config;
    let database = &config.database;
    // A report is short work: nothing of it waits for long, whatever is locked. And it changes nothing.
    client
        .batch_execute(
            "SET statement_timeout = '30s'; SET lock_timeout = '5s'; SET default_transaction_read_only = on",
        )
        .await?;
    let options = db_core::connect_options(database, NAME);
    let (mut pool_size, mut requests) = (None, None);
    match (&database.direct, &database.address) {
        (Some(_), Some(address)) => {
            if let Some(pooled) = reach::go(findings, reach::POOLED, address, options.clone()).await {
                pool_size = pooler::look(findings, &pooled, client, address, &options)
                    .await?
                    .pool_size;
                requests = Some(logging::view(&pooled).await?);
            } else {
                findings.skip_rest(catalogue::of(&["pooled", "pooler"]), "requests cannot connect");
            }
        }
        _ => findings.skip_rest(
            catalogue::of(&["pooled", "pooler"]),
            "DATABASE_URL and DATABASE_DIRECT_URL are one address",
        ),
    }
    server::look(findings, client, database, replicas, pool_size).await?;
    let login = database
        .direct
        .as_ref()
        .and(database.address.as_ref())
        .map(|address| address.user.as_str())
        .filter(|user| database.owner_address().is_some_and(|owner| owner.user != *user));
    let logins = rights::look(findings, client, login).await?;
    match Owner::from_config(database, NAME) {
        Ok(owner) => {
            let installation = Box::pin(schema::look(findings, client, &owner)).await?;
            key::look(findings, loaded, Some(installation.fingerprints.as_deref()));
        }
        Err(error) => findings.skip_rest(catalogue::of(&["schema"]), &error.to_string()),
    }
    logging::look(findings, client, requests, &logins).await?;
    backups::look(findings, Some(client), config).await
}
