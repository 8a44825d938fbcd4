//! Extensions, migrations, drift, the rules of tenancy, and whether the installation is set up.

use std::time::Duration;

use db_core::{Owner, tenancy};
use db_migrate::{Entry, MIGRATIONS, Migrator, Standing, State, Status};
use tokio_postgres::{Client, Error};

use super::catalogue::{DRIFT, EXTENSIONS, MIGRATIONS as MIGRATIONS_CHECK, SET_UP, TENANCY};
use super::check::{Findings, Trouble};

/// Those that the schema needs.
const NEEDED: [&str; 2] = ["pgcrypto", "uuid-ossp"];
/// How many names are listed before the rest is counted.
const LISTED: usize = 3;

/// What the installation says of itself.
pub struct Installation {
    /// Fingerprints of the keys that data may be encrypted with; `None` while it is not set up.
    pub fingerprints: Option<Vec<String>>,
}

/// All of it.
pub async fn look(findings: &mut Findings, client: &Client, owner: &Owner) -> Result<Installation, Error> {
    let migrated: bool = client
        .query_one(
            "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL",
            &[],
        )
        .await?
        .get(0);
    extensions(findings, client, migrated).await?;
    migrations(findings, owner).await;
    if migrated {
        drift(findings, owner).await;
        rules(findings, owner).await;
    } else {
        findings.skipped(DRIFT, "no migration is applied");
        findings.skipped(TENANCY, "no migration is applied");
    }
    set_up(findings, client).await
}

async fn extensions(findings: &mut Findings, client: &Client, migrated: bool) -> Result<(), Error> {
    let rows = client
        .query(
            "SELECT n, e.extversion::text, a.default_version IS NOT NULL,
                    coalesce((SELECT bool_or(v.trusted) FROM pg_available_extension_versions v
                               WHERE v.name = n AND v.version = a.default_version), false)
                    AND has_database_privilege(current_database(), 'CREATE')
                    OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
               FROM unnest($1::text[]) n LEFT JOIN pg_extension e ON e.extname = n
               LEFT JOIN pg_available_extensions a ON a.name = n",
            &[&NEEDED.as_slice()],
        )
        .await?;
    let mut there = Vec::new();
    let (mut missing, mut uninstalled, mut forbidden) = (Vec::new(), false, false);
    for row in &rows {
        let name: String = row.get(0);
        match row.get::<_, Option<String>>(1) {
            Some(version) => there.push(format!("{name} {version}")),
            None => {
                uninstalled |= !row.get::<_, bool>(2);
                forbidden |= !row.get::<_, bool>(3);
                missing.push(name);
            }
        }
    }
    if missing.is_empty() {
        findings.ok(EXTENSIONS, there.join(", "));
        return Ok(());
    }
    let statements: Vec<String> = missing
        .iter()
        .map(|name| format!("CREATE EXTENSION \"{name}\""))
        .collect();
    let statements = statements.join("; ");
    let found = format!("missing in this database: {}", missing.join(", "));
    let trouble = if uninstalled {
        Trouble::new(
            found,
            "the server has no files of it: PostgreSQL's contrib modules are not installed there",
            format!(
                "install postgresql-contrib on the server (in Debian's postgresql-15 and later it is included; with a managed server, \
                 allow the extension in its settings), then: {statements}"
            ),
        )
    } else if forbidden {
        Trouble::new(
            found,
            "the owner may not make it: the login has no CREATE on this database",
            format!("as an administrator, connected to this database: {statements}"),
        )
    } else if migrated {
        Trouble::new(
            found,
            "the schema is there and an extension that it needs is not: it was dropped, or not restored",
            format!("plinth-ops migrate run makes it again; by hand: {statements}"),
        )
    } else {
        findings.ok(
            EXTENSIONS,
            format!(
                "{} not there yet; the first migration makes them",
                missing.join(", ")
            ),
        );
        return Ok(());
    };
    findings.failed(EXTENSIONS, trouble);
    Ok(())
}

async fn migrations(findings: &mut Findings, owner: &Owner) {
    match Migrator::new(owner.connector(), Duration::ZERO).status().await {
        Ok(status) => judge(findings, &status),
        Err(error) => findings.failed(
            MIGRATIONS_CHECK,
            Trouble::new(
                error.to_string(),
                "the history of migrations cannot be read",
                "plinth-ops migrate show",
            ),
        ),
    }
}

fn judge(findings: &mut Findings, status: &Status) {
    let trouble = |state: State, what: &str, cause: &str, cure: &str| {
        let those: Vec<&Entry> = status
            .migrations
            .iter()
            .filter(|entry| entry.state == state)
            .collect();
        (!those.is_empty()).then(|| {
            let found = format!(
                "{} {what}: {}",
                crate::output::count(those.len(), "migration"),
                names(&those)
            );
            Trouble::new(found, cause, cure)
        })
    };
    let first = trouble(
        State::Edited,
        "edited",
        "the file is another than the one that was applied: databases of the same version differ",
        "undo the edit, and put the change into a new migration (plinth-ops migrate show has the checksums)",
    )
    .or_else(|| {
        trouble(
            State::Unknown,
            "unknown",
            "a newer version of Plinth has migrated this database, or another branch",
            "use that version: this one may misread the schema",
        )
    })
    .or_else(|| {
        trouble(
            State::HalfDone,
            "half done",
            "a migration without a transaction was broken off between two statements",
            "plinth-ops migrate run goes on with it; plinth-ops migrate revert goes back",
        )
    })
    .or_else(|| {
        trouble(
            State::OutOfOrder,
            "pending, but older than an applied one",
            "it was merged late, and would be applied in another order than elsewhere",
            "give it a new version",
        )
    })
    .or_else(|| {
        trouble(
            State::Pending,
            "pending",
            "the schema is older than this program; the server does not serve before they are applied",
            "plinth-ops migrate run (--dry-run shows what it would do, and which locks it takes)",
        )
    });
    match first {
        Some(trouble) => findings.failed(MIGRATIONS_CHECK, trouble),
        None => findings.ok(MIGRATIONS_CHECK, format!("all {} applied", MIGRATIONS.len())),
    }
}

fn names(entries: &[&Entry]) -> String {
    let mut names: Vec<String> = entries
        .iter()
        .take(LISTED)
        .map(|entry| format!("{}_{}", entry.version, entry.name))
        .collect();
    if entries.len() > LISTED {
        names.push(format!("and {} more", entries.len() - LISTED));
    }
    names.join(", ")
}

async fn drift(findings: &mut Findings, owner: &Owner) {
    match Migrator::new(owner.connector(), Duration::ZERO).standing().await {
        Ok(Standing::Clean) => findings.ok(DRIFT, "none since the last migration"),
        Ok(Standing::Drifted) => findings.failed(
            DRIFT,
            Trouble::new(
                "the schema is not what the migrations left",
                "somebody has changed tables, indexes, policies or grants by hand; what the next migration expects may not be there",
                "plinth-ops migrate drift names every difference",
            ),
        ),
        Ok(Standing::Unknown(why)) => findings.skipped(
            DRIFT,
            format!("{why}: plinth-ops migrate drift compares with a scratch database"),
        ),
        Err(error) => findings.warning(
            DRIFT,
            Trouble::new(error.to_string(), "the fingerprint cannot be read", "plinth-ops migrate drift"),
        ),
    }
}

async fn rules(findings: &mut Findings, owner: &Owner) {
    let report = match tenancy::examine(owner).await {
        Ok(report) => report,
        Err(error) => {
            return findings.warning(
                TENANCY,
                Trouble::new(
                    error.to_string(),
                    "the catalogue cannot be read",
                    "plinth-ops migrate lint",
                ),
            );
        }
    };
    let Some(first) = report.violations.first() else {
        return findings.ok(
            TENANCY,
            format!(
                "kept: {} tenant tables, {} foreign keys",
                report.tenant_tables, report.foreign_keys
            ),
        );
    };
    findings.failed(
        TENANCY,
        Trouble::new(
            format!(
                "{}, the first: {first}",
                crate::output::count(report.violations.len(), "broken rule")
            ),
            first.rule.why,
            format!("{} (docs/TENANCY.md)", first.rule.safe_form),
        ),
    );
}

async fn set_up(findings: &mut Findings, client: &Client) -> Result<Installation, Error> {
    let there: bool = client
        .query_one("SELECT to_regclass('public.installation') IS NOT NULL", &[])
        .await?
        .get(0);
    let row = if there {
        client
            .query_opt(
                "SELECT key_fingerprints, set_up_at::date::text FROM public.installation",
                &[],
            )
            .await?
    } else {
        None
    };
    let Some(row) = row else {
        findings.warning(
            SET_UP,
            Trouble::new(
                "not set up yet",
                "until then the server answers 503 to everything but health and setup",
                "plinth-ops setup --operator-email you@example.com, or open /setup in a browser",
            ),
        );
        return Ok(Installation { fingerprints: None });
    };
    findings.ok(SET_UP, format!("on {}", row.get::<_, String>(1)));
    Ok(Installation {
        fingerprints: Some(row.get(0)),
    })
}
