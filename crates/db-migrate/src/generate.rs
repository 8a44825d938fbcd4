//! From the desired schema to the migration that leads there.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use pg_catalog::{Catalog, Hints, Part, Plan, PlanOptions, Rename};
use serde::Serialize;

use super::desired::migrated;
use super::fingerprint::options;
use super::folder::FolderError;
use super::prove::prove;
use super::sample_rows::Seeded;
use super::workshop::{Draft, Workshop};
use super::{Desired, Direction, MigrateError, Migration, ServerWide, schema_rs};
use pg_connect::Connector;

/// What to generate.
#[derive(Clone)]
pub struct Generate<'a> {
    /// Name of the migration. Where it takes several, they are numbered behind it.
    pub name: &'a str,
    /// The time, of which its version is made.
    pub now: DateTime<Utc>,
    /// What was renamed: `table:public.old=new`, `column:public.cards.old=new`. See [`Rename`].
    pub renames: &'a [String],
    /// Whether data may be lost.
    pub allow_destructive: bool,
    /// Directory of the desired schema.
    pub schema: &'a Path,
    /// Directory of the migrations.
    pub migrations: &'a Path,
    /// Whether to leave the files there when they do not pass the proof.
    pub keep: bool,
    /// Whether the text of `schema.rs` has to be had: without it, nothing is written.
    pub schema_rs: bool,
    /// What is made of the SQL of a file before it is written: of the text, its direction, and whether it is one transaction.
    pub finish: &'a (dyn Fn(String, Direction, bool) -> String + Sync),
    /// What the migrations may do to what the server's databases share.
    pub server_wide: ServerWide,
}

/// What was generated.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Generated {
    /// In order; none when there is no difference.
    pub migrations: Vec<GeneratedMigration>,
    /// The rows with which it was proved.
    pub seeded: Seeded,
    /// The text of `schema.rs` for the new schema, or why there is none.
    #[serde(skip)]
    pub schema_rs: Option<Result<String, String>>,
}

/// One migration that was written.
#[derive(Clone, Debug, Serialize)]
pub struct GeneratedMigration {
    /// Where.
    pub directory: PathBuf,
    /// Whether it is one transaction.
    pub transactional: bool,
    /// What is lost when it is applied.
    pub loses: Vec<String>,
    /// What one should know before applying it.
    pub notes: Vec<String>,
}

/// Two catalogues: what the migrations make, and what is wanted.
struct Compared {
    have: Catalog,
    /// The same after the renames.
    renamed: Catalog,
    want: Catalog,
}

impl Compared {
    /// Loads both into scratch databases, which are dropped again.
    async fn load(
        owner: &Connector,
        desired: &Desired,
        migrations: &[Migration],
        hints: &Hints,
        server_wide: ServerWide,
    ) -> Result<Self, MigrateError> {
        let migrated = migrated(owner, migrations, server_wide).await?;
        let client = migrated.owner().client().await?;
        let have = Catalog::read(&client, &options(true)).await?;
        let want = desired.catalog(owner, server_wide).await?;
        hints.check(&have, &want)?;
        for rename in &hints.renames {
            client.batch_execute(&rename.sql()).await?;
        }
        let renamed = if hints.renames.is_empty() {
            have.clone()
        } else {
            Catalog::read(&client, &options(true)).await?
        };
        Ok(Self { have, renamed, want })
    }
}

/// Writes the migrations that lead from what the migrations make to the desired schema, and proves them on a scratch database
/// with rows in it: applied, there is no difference to the desired schema; reverted, there is none to before; no row is harmed.
///
/// # Errors
/// See [`MigrateError`]. Nothing is left in the directory then, but for what failed the proof and was to be kept; that says so.
pub async fn generate(owner: &Connector, asked: &Generate<'_>) -> Result<Generated, MigrateError> {
    check_name(asked)?;
    let before = Migration::read_directory(asked.migrations)?;
    let desired = Desired::read(asked.schema)?;
    let hints = Hints {
        renames: asked
            .renames
            .iter()
            .map(|rename| rename.parse::<Rename>())
            .collect::<Result<_, _>>()?,
    };
    let compared = Compared::load(owner, &desired, &before, &hints, asked.server_wide).await?;
    let plan_options = PlanOptions {
        allow_destructive: asked.allow_destructive,
        backfill_prelude: backfill_prelude(&compared.have),
        ..PlanOptions::default()
    };
    let plan = Plan::new(&compared.renamed, &compared.want, &hints, &plan_options)?;
    if plan.is_empty() {
        let left = compared.have.diff(&compared.want);
        if left.is_empty() {
            return Ok(Generated::default());
        }
        return Err(MigrateError::Desired(format!(
            "no migration was found that does this:\n{left}"
        )));
    }
    let workshop = Workshop::open(asked.migrations)?;
    let drafts = drafts(asked, &plan, &before);
    for draft in &drafts {
        workshop.write(draft, NOT_PROVED)?;
    }
    let after = together(asked.migrations, &before, &workshop)?;
    let loses: Vec<String> = drafts.iter().flat_map(|one| one.loses.clone()).collect();
    let proof = prove(
        owner,
        &before,
        &after,
        &compared.have,
        &compared.want,
        &loses,
        asked.server_wide,
    )
    .await;
    if proof.is_err() && asked.keep {
        workshop.hand_over(&drafts, asked.migrations)?;
    }
    let proof = proof?;
    let schema_rs = match proof.schema_rs {
        Err(error) if asked.schema_rs => {
            return Err(MigrateError::Desired(format!(
                "nothing is written, for there would be no schema.rs: {error}"
            )));
        }
        text => text.map_err(|error| error.to_string()),
    };
    for draft in &drafts {
        workshop.write(draft, PROVED)?;
    }
    if !same_versions(&before, &Migration::read_directory(asked.migrations)?) {
        return Err(MigrateError::Desired(
            "nothing is written, for migrations were added or removed while this one was made and proved; run it again".to_owned(),
        ));
    }
    workshop.hand_over(&drafts, asked.migrations)?;
    let described = drafts.into_iter().map(|draft| GeneratedMigration {
        directory: asked.migrations.join(&draft.title),
        transactional: draft.transactional,
        loses: draft.loses,
        notes: draft.notes,
    });
    Ok(Generated {
        migrations: described.collect(),
        seeded: proof.seeded,
        schema_rs: Some(schema_rs),
    })
}

fn same_versions(one: &[Migration], other: &[Migration]) -> bool {
    one.iter()
        .map(|migration| &migration.version)
        .eq(other.iter().map(|migration| &migration.version))
}

/// As scripts/migrate-create does.
fn check_name(asked: &Generate<'_>) -> Result<(), MigrateError> {
    let refuse = |problem| {
        Err(MigrateError::Folder(FolderError::Name {
            path: asked.name.into(),
            problem,
        }))
    };
    let good = asked.name.len() >= 3
        && asked.name.len() <= 60
        && asked.name.starts_with(|c: char| c.is_ascii_lowercase())
        && asked
            .name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        return refuse("is no name: small letters, digits and underscores, a letter first, 3 to 60 in all");
    }
    let taken = Migration::read_directory(asked.migrations)?
        .iter()
        .any(|migration| migration.name == asked.name || migration.name == format!("{}_1", asked.name));
    if taken {
        return refuse("there is a migration of that name already");
    }
    Ok(())
}

/// Role whose policies show it every tenant's rows.
const SYSTEM: &str = "plinth_system";

/// As docs/MIGRATIONS.md says of backfills: a row that a request holds is worth a wait, and tenants' rows are reached as
/// `plinth_system`, for the owner may be held by row level security.
fn backfill_prelude(catalog: &Catalog) -> Vec<String> {
    let mut policies = catalog.tables.values().flat_map(|table| table.policies.values());
    let mut prelude = vec!["SET LOCAL lock_timeout = '10s'".to_owned()];
    if policies.any(|policy| policy.roles.iter().any(|role| role == SYSTEM)) {
        prelude.push(format!("SET LOCAL ROLE {SYSTEM}"));
        prelude.push("SET LOCAL row_security = on".to_owned());
    }
    prelude
}

/// First line of a file.
const PROVED: &str = "-- Generated from schema/ by make migrate-generate, and proved there and back.\n";
const NOT_PROVED: &str = "-- Generated from schema/ by make migrate-generate. NOT proved.\n";

/// A draft for each part, with versions that follow one another and whatever is there.
fn drafts(asked: &Generate<'_>, plan: &Plan, before: &[Migration]) -> Vec<Draft> {
    // Behind whatever is there, also when that is of a time to come; to the second, as versions are.
    let now = asked.now.naive_utc();
    let last = before
        .last()
        .and_then(|last| NaiveDateTime::parse_from_str(&last.version, "%Y%m%d%H%M%S").ok());
    let first = last.map_or(now, |last| now.max(last + TimeDelta::seconds(1)));
    let mut drafts = Vec::new();
    for (at, part) in (0_i32..).zip(&plan.parts) {
        let version = (first + TimeDelta::seconds(at.into())).format("%Y-%m-%d-%H%M%S");
        let name = match plan.parts.len() {
            1 => asked.name.to_owned(),
            _ => format!("{}_{}", asked.name, at + 1),
        };
        let loses: Vec<String> = part
            .up
            .iter()
            .filter_map(|step| step.destructive.clone())
            .collect();
        let finish = |text, direction| (asked.finish)(text, direction, part.transactional);
        drafts.push(Draft {
            title: format!("{version}_{name}"),
            up: finish(up_sql(part, &loses), Direction::Up),
            down: finish(part.down_sql(), Direction::Down),
            transactional: part.transactional,
            notes: part.up.iter().flat_map(|step| step.notes.clone()).collect(),
            loses,
        });
    }
    drafts
}

/// The migrations that are there, and behind them those of the workshop, under the rules for a directory.
fn together(
    directory: &Path,
    before: &[Migration],
    workshop: &Workshop,
) -> Result<Vec<Migration>, FolderError> {
    let new = Migration::read_directory(workshop.path())?;
    if let (Some(last), Some(first)) = (before.last(), new.first())
        && last.version.len() != first.version.len()
    {
        let path = |one: &Migration| directory.join(format!("{}_{}", one.version, one.name));
        return Err(FolderError::Order {
            one: path(last),
            other: path(first),
        });
    }
    Ok(before.iter().cloned().chain(new).collect())
}

fn up_sql(part: &Part, loses: &[String]) -> String {
    let mut text = String::new();
    // What `migrate verify` would else take for harm.
    for what in loses {
        for table in tables_in(what) {
            text.push_str(&format!(
                "-- verify: changes {table} because it loses {what}, as was allowed\n"
            ));
        }
    }
    text.push('\n');
    text.push_str(&part.up_sql());
    text
}

/// The end of a loss that may come one day, and not when the migration is applied.
pub(super) const LATER: &str = "whenever the server crashes";

/// The names in `the values of public.cards.title` that may be tables.
fn tables_in(loses: &str) -> impl Iterator<Item = &str> {
    let rows = ["the rows of ", "the values of ", "what "];
    let now = rows.iter().any(|of| loses.starts_with(of)) && !loses.ends_with(LATER);
    (if now { loses } else { "" })
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("public."))
        .filter_map(|name| name.split('.').next())
}

/// The text of `schema.rs` for a database.
pub(super) async fn schema_rs_of(owner: &Connector) -> Result<String, MigrateError> {
    schema_rs(&owner.client().await?).await
}
