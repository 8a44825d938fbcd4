//! Applies the migrations to a database made for it, and asks after each which rules of tenancy it broke.

use std::collections::BTreeMap;

use db_core::Owner;
use db_core::tenancy::{self, ObjectKind};
use db_migrate::{SERVER_WIDE_CHANGED, Scratch, ServerWide, Way, keep_server_wide};
use migration_lint::{Finding, Object, Script, Violation};
use pg_connect::{Connector, describe};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{Client, Error};

use super::{LintError, Migration};
use crate::failure::Failure;
use crate::program::{Program, block_on};

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

/// In a database made for it, beside the configured one or in the private PostgreSQL.
pub fn examine(
    migrations: &[Migration],
    settings: Vec<String>,
    server_wide: ServerWide,
) -> Result<Examined, Failure> {
    let program = Program::open(settings)?;
    block_on(async {
        let scratch = Scratch::create_on(program.owner.connector(), server_wide)
            .await
            .map_err(LintError::from)?;
        apply_all(scratch.owner(), migrations, server_wide).await
    })
}

async fn apply_all(
    connector: &Connector,
    migrations: &[Migration],
    server_wide: ServerWide,
) -> Result<Examined, Failure> {
    let owner = Owner::from(connector.clone());
    let client = connector.client().await?;

    let mut examined = Examined::default();
    // What appears, and what is there at the end: a later migration may have mended it.
    let mut appeared: Vec<(usize, Vec<tenancy::Violation>)> = Vec::new();
    let mut before = violations(&owner).await?;
    for (index, migration) in migrations.iter().enumerate() {
        let Some(up) = &migration.up else {
            continue;
        };
        if let Err((offset, message)) = apply(&client, up, server_wide).await {
            let _ = client.batch_execute("ROLLBACK").await;
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

/// Runs `up.sql` as the migrator would. On failure with the byte that PostgreSQL points at, and what is wrong.
async fn apply(client: &Client, up: &Script, server_wide: ServerWide) -> Result<(), (Option<usize>, String)> {
    let begin = format!(
        "{}; {}; SET LOCAL row_security = off; SET LOCAL client_min_messages = warning",
        server_wide.begin(),
        server_wide.note()
    );
    let commit = format!("{}; COMMIT", server_wide.check());
    let in_transaction = async |sql: &str| {
        client.batch_execute(&begin).await?;
        client.batch_execute(sql).await?;
        client.batch_execute(&commit).await
    };
    // One that would end our transaction, and with it what keeps others safe, is taken apart.
    let whole = up.transactional() && up.statement_texts().all(|(_, sql)| Way::of(sql) != Way::Control);
    if whole {
        return in_transaction(up.text())
            .await
            .map_err(|error| (place(up.text(), 0, &error), refusal(&error)));
    }
    for (offset, statement) in up.statement_texts() {
        let done = match Way::of(statement) {
            Way::Control => Ok(()),
            Way::Never if server_wide == ServerWide::Kept => {
                let message = "it changes the server that the scratch database is on; lint it with --disposable-server, or with \
                               --no-database";
                return Err((Some(offset), message.to_owned()));
            }
            Way::Transaction => in_transaction(statement).await,
            Way::Alone if server_wide == ServerWide::Kept => {
                keep_server_wide(client, statement, async || client.batch_execute(statement).await).await
            }
            Way::Alone | Way::Never => client.batch_execute(statement).await,
        };
        done.map_err(|error| {
            (
                Some(place(statement, offset, &error).unwrap_or(offset)),
                refusal(&error),
            )
        })?;
    }
    Ok(())
}

fn refusal(error: &Error) -> String {
    if error
        .code()
        .is_some_and(|code| code.code() == SERVER_WIDE_CHANGED)
    {
        return describe(error);
    }
    format!("PostgreSQL refuses it: {}", describe(error))
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
