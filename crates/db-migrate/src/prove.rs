//! Proof that generated migrations do what they were generated for, and harm no row.

use std::collections::BTreeSet;

use pg_catalog::Catalog;

use super::fingerprint::options;
use super::generate::{LATER, schema_rs_of};
use super::rows::Rows;
use super::sample_rows::{Seeded, seed_for};
use super::verify::fresh;
use super::{MigrateError, Migration, Migrator, ServerWide};
use pg_connect::Connector;

/// What the proof shows besides.
pub(super) struct Proof {
    /// What was in the tables.
    pub seeded: Seeded,
    /// `schema.rs` for the new schema.
    pub schema_rs: Result<String, MigrateError>,
}

/// Rows in each table.
const ROWS: usize = 5;

/// What a failure on rows may come of.
const MADE_UP: &str = "\
The rows in the tables were made up for this proof, from the schema before and, as far as it can tell, the wanted one: of yours nothing is \
known. If it is rows that do not fit, and yours may not either, make them fit in a migration before this one (make migrate-create) and \
generate again. If yours do, --keep leaves the files there, marked as not proved.";

/// Applies what is in `after` and not in `before` to a scratch database with rows, compares with `want`, takes it back, and compares
/// with `have`. Tables of which something is lost knowingly may lose it.
pub(super) async fn prove(
    owner: &Connector,
    before: &[Migration],
    after: &[Migration],
    have: &Catalog,
    want: &Catalog,
    loses: &[String],
    server_wide: ServerWide,
) -> Result<Proof, MigrateError> {
    let scratch = fresh(owner, server_wide).await?;
    let migrator = Migrator::on_scratch(&scratch);
    migrator.clone().with(before).run().await?;
    let migrator = migrator.with(after);
    let client = scratch.owner().client().await?;
    let seeded = seed_for(&client, have, want, ROWS).await?;
    let rows = Rows::read(&client, have).await?;
    let may_change: BTreeSet<String> = have
        .tables
        .keys()
        .filter(|name| {
            loses
                .iter()
                .any(|what| !what.ends_with(LATER) && names(what, &name.to_string()))
        })
        .map(|name| name.name.clone())
        .collect();
    let failed = |what: String| {
        Err(MigrateError::Desired(format!(
            "the generated migration does not pass: {what}"
        )))
    };

    if let Err(error) = migrator.run().await {
        return match error {
            MigrateError::Failed { .. } | MigrateError::StatementFailed { .. } => {
                failed(format!("{error}\n{MADE_UP}"))
            }
            error => Err(error),
        };
    }
    let now = Catalog::read(&client, &options(true)).await?;
    let difference = now.diff(want);
    if !difference.is_empty() {
        return failed(format!(
            "applied, the schema is not the desired one:\n{difference}"
        ));
    }
    let harmed = rows.harmed(&Rows::read(&client, &now).await?, &may_change);
    if !harmed.is_empty() {
        return failed(format!("applied, it harms rows:\n{}", harmed.join("\n")));
    }
    let schema_rs = schema_rs_of(scratch.owner()).await;

    migrator.revert(after.len() - before.len()).await?;
    let now = Catalog::read(&client, &options(true)).await?;
    let difference = now.diff(have);
    if !difference.is_empty() {
        return failed(format!("reverted, the schema is not what it was:\n{difference}"));
    }
    let harmed = rows.harmed(&Rows::read(&client, &now).await?, &may_change);
    if !harmed.is_empty() {
        return failed(format!("reverted, it has harmed rows:\n{}", harmed.join("\n")));
    }
    Ok(Proof { seeded, schema_rs })
}

/// Whether a loss is one of this table, or of a part of it.
fn names(what: &str, table: &str) -> bool {
    what.match_indices(table).any(|(at, _)| {
        let rest = what.get(at + table.len()..).unwrap_or_default();
        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}
