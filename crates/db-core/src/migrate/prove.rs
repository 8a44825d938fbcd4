//! Proof that generated migrations do what they were generated for, and harm no row.

use std::collections::BTreeSet;

use pg_catalog::Catalog;

use super::fingerprint::options;
use super::generate::schema_rs_of;
use super::rows::Rows;
use super::seed::{Seeded, seed};
use super::verify::{PATIENCE, fresh};
use super::{MigrateError, Migration, Migrator};
use crate::owner::Owner;

/// What the proof shows besides.
pub(super) struct Proof {
    /// What was in the tables.
    pub seeded: Seeded,
    /// `schema.rs` for the new schema.
    pub schema_rs: Result<String, MigrateError>,
}

/// Rows in each table.
const ROWS: usize = 5;

/// Applies what is in `after` and not in `before` to a scratch database with rows, compares with `want`, takes it back, and compares
/// with `have`. Tables of which something is lost knowingly may lose it.
pub(super) async fn prove(
    owner: &Owner,
    before: &[Migration],
    after: &[Migration],
    have: &Catalog,
    want: &Catalog,
    loses: &[String],
) -> Result<Proof, MigrateError> {
    let scratch = fresh(owner).await?;
    let migrator = Migrator::new(scratch.owner(), PATIENCE);
    migrator.clone().with(before).run().await?;
    let migrator = migrator.with(after);
    let client = scratch.owner().connect().await?;
    let seeded = seed(&client, have, ROWS).await?;
    let rows = Rows::read(&client, have).await?;
    let may_change: BTreeSet<String> = have
        .tables
        .keys()
        .filter(|name| loses.iter().any(|what| what.contains(&name.to_string())))
        .map(|name| name.name.clone())
        .collect();
    let failed = |what: String| {
        Err(MigrateError::Desired(format!(
            "the generated migration does not pass: {what}"
        )))
    };

    migrator.run().await?;
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
