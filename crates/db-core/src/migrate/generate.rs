//! From the desired schema to the migration that leads there.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use pg_catalog::{Catalog, Hints, Part, Plan, PlanOptions, Rename};
use serde::Serialize;

use super::desired::migrated;
use super::fingerprint::options;
use super::folder::FolderError;
use super::prove::prove;
use super::seed::Seeded;
use super::{Desired, MigrateError, Migration, schema_rs};
use crate::owner::Owner;

/// What to generate.
#[derive(Clone, Debug)]
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
        owner: &Owner,
        desired: &Desired,
        migrations: &[Migration],
        hints: &Hints,
    ) -> Result<Self, MigrateError> {
        let migrated = migrated(owner, migrations).await?;
        let client = migrated.owner().connect().await?;
        let have = Catalog::read(&client, &options(true)).await?;
        let want = desired.catalog(owner).await?;
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
/// See [`MigrateError`]. Nothing is left in the directory then, but for what failed the proof and was to be kept.
pub async fn generate(owner: &Owner, asked: &Generate<'_>) -> Result<Generated, MigrateError> {
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
    let compared = Compared::load(owner, &desired, &before, &hints).await?;
    let plan_options = PlanOptions {
        allow_destructive: asked.allow_destructive,
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
    let as_system = has_system_role(&compared.have);
    let mut written = Written::default();
    let migrations = write(asked, &plan, &before, as_system, &mut written)?;
    let after = Migration::read_directory(asked.migrations)?;
    let loses: Vec<String> = migrations.iter().flat_map(|one| one.loses.clone()).collect();
    let proof = prove(owner, &before, &after, &compared.have, &compared.want, &loses).await;
    written.keep = proof.is_ok() || asked.keep;
    let proof = proof?;
    Ok(Generated {
        migrations,
        seeded: proof.seeded,
        schema_rs: Some(proof.schema_rs.map_err(|error| error.to_string())),
    })
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

/// Whether tenants' rows are reached as `plinth_system`: then the owner may be held by row level security.
fn has_system_role(catalog: &Catalog) -> bool {
    catalog
        .tables
        .values()
        .flat_map(|table| table.policies.values())
        .any(|policy| policy.roles.iter().any(|role| role == SYSTEM))
}

const SYSTEM: &str = "plinth_system";

/// Directories that go again with the handle: also when the work is interrupted.
#[derive(Default)]
struct Written {
    directories: Vec<PathBuf>,
    keep: bool,
}

impl Drop for Written {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        for directory in &self.directories {
            if let Err(error) = std::fs::remove_dir_all(directory) {
                tracing::warn!(directory = %directory.display(), %error, "a migration that did not pass was not removed");
            }
        }
    }
}

/// Writes a directory for each part, with versions that follow one another and whatever is there.
fn write(
    asked: &Generate<'_>,
    plan: &Plan,
    before: &[Migration],
    as_system: bool,
    written: &mut Written,
) -> Result<Vec<GeneratedMigration>, MigrateError> {
    // Behind whatever is there, also when that is of a time to come; to the second, as versions are.
    let now = asked.now.naive_utc();
    let last = before
        .last()
        .and_then(|last| NaiveDateTime::parse_from_str(&last.version, "%Y%m%d%H%M%S").ok());
    let first = last.map_or(now, |last| now.max(last + TimeDelta::seconds(1)));
    let mut generated = Vec::new();
    for (at, part) in (0_i32..).zip(&plan.parts) {
        let version = (first + TimeDelta::seconds(at.into())).format("%Y-%m-%d-%H%M%S");
        let name = match plan.parts.len() {
            1 => asked.name.to_owned(),
            _ => format!("{}_{}", asked.name, at + 1),
        };
        let directory = asked.migrations.join(format!("{version}_{name}"));
        let put = |file: &str, text: &str| {
            let path = directory.join(file);
            std::fs::write(&path, text).map_err(|source| FolderError::Read { path, source })
        };
        std::fs::create_dir(&directory).map_err(|source| FolderError::Read {
            path: directory.clone(),
            source,
        })?;
        written.directories.push(directory.clone());
        let loses: Vec<String> = part
            .up
            .iter()
            .filter_map(|step| step.destructive.clone())
            .collect();
        put("up.sql", &up_sql(part, &loses, as_system))?;
        put("down.sql", &part.down_sql())?;
        if !part.transactional {
            put("metadata.toml", "run_in_transaction = false\n")?;
        }
        generated.push(GeneratedMigration {
            directory,
            transactional: part.transactional,
            loses,
            notes: part.up.iter().flat_map(|step| step.notes.clone()).collect(),
        });
    }
    Ok(generated)
}

fn up_sql(part: &Part, loses: &[String], as_system: bool) -> String {
    let mut text =
        String::from("-- Generated from schema/ by make migrate-generate, and proved there and back.\n");
    // What `migrate verify` would else take for harm.
    for what in loses {
        for table in tables_in(what) {
            text.push_str(&format!(
                "-- verify: changes {table} because it loses {what}, as was allowed\n"
            ));
        }
    }
    text.push('\n');
    let sql = part.up_sql();
    // Each batch of a backfill is a transaction, and the role ends with it.
    text.push_str(&if as_system {
        sql.replace(
            "    LOOP\n        UPDATE ONLY",
            &format!(
                "    LOOP\n        SET LOCAL ROLE {SYSTEM};\n        SET LOCAL row_security = on;\n        UPDATE ONLY"
            ),
        )
    } else {
        sql
    });
    text
}

/// The names in `the values of public.cards.title` that may be tables.
fn tables_in(loses: &str) -> impl Iterator<Item = &str> {
    loses
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("public."))
        .filter_map(|name| name.split('.').next())
}

/// The text of `schema.rs` for a database.
pub(super) async fn schema_rs_of(owner: &Owner) -> Result<String, MigrateError> {
    schema_rs(&owner.connect().await?).await
}
