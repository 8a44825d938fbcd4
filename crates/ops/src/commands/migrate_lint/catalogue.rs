//! Applies the migrations to a database made for it, and asks after each which rules of tenancy it broke.

use std::collections::BTreeMap;

use db_core::Owner;
use db_core::tenancy::{self, ObjectKind};
use migration_lint::{Finding, Object, Script, Violation};
use pg_connect::Connector;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{Client, Error};

use super::{LintError, Migration};
use crate::failure::Failure;
use crate::program::{Program, block_on, runtime};

/// What the catalogue says.
#[derive(Default)]
pub struct Examined {
    /// Violations that appeared with a migration, by its place among all.
    pub violations: BTreeMap<usize, Vec<Violation>>,
    /// The migration that the database refused.
    pub failed: Option<Finding>,
    /// Why nobody looked, or not to the end.
    pub skipped: Option<String>,
}

impl Examined {
    /// Nobody looks.
    pub fn skipped(why: &str) -> Self {
        Self {
            skipped: Some(why.to_owned()),
            ..Self::default()
        }
    }
}

/// Makes a database beside the configured one, or in the private PostgreSQL, and drops it again.
pub fn examine(migrations: &[Migration], settings: Vec<String>) -> Result<Examined, Failure> {
    let program = Program::open(settings)?;
    let name = format!("plinth_lint_{}", hex::encode(db_core::random_bytes::<8>()));
    let sql = |sql: String| {
        let (program, name) = (&program, program.owner.address().database.clone());
        async move {
            let client = connect(program, &name).await?;
            client
                .batch_execute(&sql)
                .await
                .map_err(|error| LintError::Scratch(describe(&error)).into())
        }
    };
    // From template0, which nobody is connected to: two of these may run at once.
    block_on(sql(format!("CREATE DATABASE {name} TEMPLATE template0")))?;
    let examined = block_on(apply_all(&program, &name, migrations));
    // On a runtime of its own, so that it is dropped after Ctrl-C too.
    let dropped = runtime()?.block_on(sql(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
    let examined = examined?;
    dropped?;
    Ok(examined)
}

async fn connect(program: &Program, database: &str) -> Result<Client, Failure> {
    let mut address = program.owner.address().clone();
    database.clone_into(&mut address.database);
    let options = db_core::connect_options(&program.config.database, crate::program::NAME);
    let connected = Connector::new(&address, options)?.connect().await?;
    tokio::spawn(async move {
        if let Err(error) = connected.driver.await {
            tracing::debug!(%error, "the connection ended");
        }
    });
    Ok(connected.client)
}

async fn apply_all(program: &Program, database: &str, migrations: &[Migration]) -> Result<Examined, Failure> {
    let mut address = program.owner.address().clone();
    database.clone_into(&mut address.database);
    let options = db_core::connect_options(&program.config.database, crate::program::NAME);
    let owner = Owner::new(&address, options)?;
    let client = connect(program, database).await?;

    let mut examined = Examined::default();
    // What appears, and what is there at the end: a later migration may have mended it.
    let mut appeared: Vec<(usize, Vec<tenancy::Violation>)> = Vec::new();
    let mut before = violations(&owner).await?;
    for (index, migration) in migrations.iter().enumerate() {
        let Some(up) = &migration.up else {
            continue;
        };
        if let Err((offset, error)) = apply(&client, up).await {
            let _ = client.batch_execute("ROLLBACK").await;
            let message = format!("PostgreSQL refuses it: {}", describe(&error));
            examined.failed = Some(Finding::does_not_apply(up, message, offset));
            examined.skipped = Some(format!("{} does not apply", migration.directory.display()));
            break;
        }
        let after = violations(&owner).await?;
        if migration.chosen {
            let new = after
                .iter()
                .filter(|violation| !contains(&before, violation))
                .cloned();
            appeared.push((index, new.collect()));
        }
        before = after;
    }
    for (index, violations) in appeared {
        let there = violations
            .iter()
            .filter(|violation| contains(&before, violation))
            .map(translate);
        examined.violations.insert(index, there.collect());
    }
    Ok(examined)
}

/// Whether the object breaks the rule, in whatever way.
fn contains(violations: &[tenancy::Violation], wanted: &tenancy::Violation) -> bool {
    violations
        .iter()
        .any(|violation| violation.rule == wanted.rule && violation.object == wanted.object)
}

/// All violations; of a policy that is another than the expected one, one is enough.
async fn violations(owner: &Owner) -> Result<Vec<tenancy::Violation>, LintError> {
    let mut violations = tenancy::examine(owner).await?.violations;
    let changed: Vec<_> = violations
        .iter()
        .filter(|violation| violation.rule.id == "policy-unlisted")
        .map(|violation| violation.object.clone())
        .collect();
    violations
        .retain(|violation| violation.rule.id != "policy-missing" || !changed.contains(&violation.object));
    Ok(violations)
}

/// Runs `up.sql` as the migrator would. On failure with the byte that PostgreSQL points at.
async fn apply(client: &Client, up: &Script) -> Result<(), (Option<usize>, Error)> {
    if up.transactional() {
        let whole = async {
            client
                .batch_execute("BEGIN; SET LOCAL row_security = off; SET LOCAL client_min_messages = warning")
                .await?;
            client.batch_execute(up.text()).await?;
            client.batch_execute("COMMIT").await
        };
        return whole.await.map_err(|error| (place(up.text(), 0, &error), error));
    }
    for (offset, statement) in up.statement_texts() {
        client
            .batch_execute(statement)
            .await
            .map_err(|error| (Some(place(statement, offset, &error).unwrap_or(offset)), error))?;
    }
    Ok(())
}

/// PostgreSQL counts characters from 1.
fn place(sql: &str, offset: usize, error: &Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(position) => {
            let index = usize::try_from(*position).ok()?.checked_sub(1)?;
            sql.char_indices().nth(index).map(|(byte, _)| offset + byte)
        }
        ErrorPosition::Internal { .. } => None,
    }
}

fn describe(error: &Error) -> String {
    let Some(server) = error.as_db_error() else {
        return error.to_string();
    };
    let mut text = format!("{} (SQLSTATE {})", server.message(), server.code().code());
    for part in [server.detail(), server.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(part);
    }
    text
}

fn translate(violation: &tenancy::Violation) -> Violation {
    Violation {
        rule: violation.rule.id.to_owned(),
        message: violation.to_string(),
        object: match violation.object.kind {
            ObjectKind::Table => Object::Table,
            ObjectKind::Column => Object::Column,
            ObjectKind::Index => Object::Index,
            ObjectKind::Constraint => Object::Constraint,
            ObjectKind::Policy => Object::Policy,
            ObjectKind::View => Object::View,
            ObjectKind::Function => Object::Function,
            ObjectKind::Schema => Object::Schema,
        },
        table: violation.object.table.clone(),
        name: violation.object.name.clone(),
    }
}
