//! `plinth-ops domain export | restore | copy | erase`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::backup::{Place, Which, work};
use super::confirm;
use super::domain::require_set_up;
use crate::backup::domain::{
    self, Archive, DomainError, Erased, Erasure, Exported, Original, RestoredDomain, Task,
};
use crate::backup::{Progress, Stop, size};
use crate::cli::Json;
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, runtime};

#[derive(Debug, Args)]
pub struct Export {
    /// Slug of the domain, or its id
    pub domain: String,
    /// File to write, which must not be there yet [default: the slug and the time, in the working directory]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Takes the domain out of a backup, by its name, or latest
    #[arg(long, value_name = "BACKUP")]
    pub from_backup: Option<Which>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The archive; with --from-backup the domain's slug or id
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    /// Takes the domain out of a backup, by its name, or latest
    #[arg(long, value_name = "BACKUP")]
    pub from_backup: Option<Which>,
    /// Puts it in the place of the domain that is there, all of whose rows go
    #[arg(long)]
    pub replace: bool,
    /// Does not ask before it replaces anything
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Copy {
    /// Slug or id of the domain that is copied; with --from-archive not needed
    #[arg(required_unless_present = "from_archive", conflicts_with = "from_archive")]
    pub domain: Option<String>,
    /// Slug of the copy: lower-case letters, digits and hyphens
    #[arg(long = "as", value_name = "SLUG")]
    pub slug: String,
    /// Name of the copy, shown to people [default: that of the original]
    #[arg(long)]
    pub name: Option<String>,
    /// Copies what an archive has
    #[arg(long, value_name = "FILE")]
    pub from_archive: Option<PathBuf>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Erase {
    /// Slug of the domain, or its id
    pub domain: String,
    /// Does not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Does work that needs the database and no place of backups.
fn perform<T>(
    settings: Vec<String>,
    work: impl AsyncFnOnce(Task<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let program = Program::open(settings)?;
    let progress = Progress::new();
    runtime()?.block_on(async {
        let stop = Stop::listen()?;
        require_set_up(&program).await?;
        let task = Task {
            program: &program,
            progress: &progress,
            stop: &stop,
        };
        progress.during(Box::pin(work(task))).await
    })
}

/// Whoever runs this types the slug, or has said `--yes`.
fn confirm(what: &str, slug: &str, yes: bool) -> Result<(), Failure> {
    confirm::confirm(what, "slug", slug, yes).map_err(|why| DomainError::Refused(why).into())
}

pub fn export(options: &Export, settings: Vec<String>) -> Result<(), Failure> {
    let to = options.to.as_deref();
    let Some(backup) = &options.from_backup else {
        let exported = perform(settings, async |task| {
            Ok(domain::export(task, &options.domain, to).await?)
        })?;
        return report_exported(&exported, options.place.json);
    };
    work(&options.place, None, settings, false, async |context| {
        let name = backup.name(&context.store).await?;
        let exported = domain::export_from_backup(context, &name, &options.domain, to).await?;
        report_exported(&exported, options.place.json)
    })
}

pub fn restore(options: &Restore, settings: Vec<String>) -> Result<(), Failure> {
    let put_back = async |task: Task<'_>, archive: &Archive| {
        if options.replace {
            let what = format!(
                "All rows that the domain {} has now are replaced by those of {}",
                archive.slug(),
                archive.snapshot_at().format("%Y-%m-%d %H:%M:%SZ")
            );
            confirm(&what, archive.slug(), options.yes)?;
        }
        let restored = domain::restore(task, archive, options.replace).await?;
        report_restored(&restored, options.place.json)
    };
    let Some(backup) = &options.from_backup else {
        return perform(settings, async |task| {
            let archive = Archive::open(options.archive.as_ref())?;
            put_back(task, &archive).await
        });
    };
    work(&options.place, None, settings, false, async |context| {
        require_set_up(context.program).await?;
        let name = backup.name(&context.store).await?;
        let directory = tempfile::tempdir().map_err(|source| crate::backup::BackupError::Io {
            doing: "a temporary directory".to_owned(),
            source,
        })?;
        let file = directory.path().join("domain.tar");
        domain::export_from_backup(context, &name, &options.archive, Some(&file)).await?;
        // From here on nobody else finds it, and nothing is left of it, however this ends.
        let held = std::fs::File::open(&file).and_then(|held| directory.close().map(|()| held));
        let held = held.map_err(|source| crate::backup::BackupError::Io {
            doing: "a temporary file".to_owned(),
            source,
        })?;
        let archive = Archive::open(&crate::backup::way_to(&held))?;
        let task = Task {
            program: context.program,
            progress: context.progress,
            stop: context.stop,
        };
        put_back(task, &archive).await
    })
}

pub fn copy(options: &Copy, settings: Vec<String>) -> Result<(), Failure> {
    let archive = match &options.from_archive {
        Some(path) => Some(Archive::open(path)?),
        None => None,
    };
    let original = match (&archive, &options.domain) {
        (Some(archive), _) => Original::Archive(archive),
        (None, domain) => Original::Domain(domain.as_deref().unwrap_or_default()),
    };
    let copied = perform(settings, async |task| {
        Ok(domain::copy(task, original, &options.slug, options.name.as_deref()).await?)
    })?;
    if options.json.json {
        return output::json(&json!({ "copied": copied }));
    }
    output::text(&format!(
        "copied the domain {} as {}, id {}: {} rows, {} secrets encrypted anew ({})\nnot copied: {}\n",
        copied.original.slug,
        copied.domain.slug,
        copied.domain.id,
        copied.rows,
        copied.secrets,
        seconds(copied.duration_ms),
        copied.left_out.join(", "),
    ))
}

pub fn erase(options: &Erase, settings: Vec<String>) -> Result<(), Failure> {
    let erased = perform(settings, async |task| {
        let erasure = domain::erasure(task, &options.domain).await?;
        match &erasure {
            Erasure::There { domain, begun } => {
                let what = format!(
                    "The domain {} ({}), id {}, {}",
                    domain.slug,
                    domain.name,
                    domain.id,
                    if *begun {
                        "is half erased: what is left of it goes too"
                    } else {
                        "is erased with everything that it has"
                    }
                );
                confirm(&what, &domain.slug, options.yes)?;
            }
            Erasure::Gone { id, at } => {
                let when = at.map_or_else(
                    || "nothing says that there ever was".to_owned(),
                    |at| format!("it was erased at {}", output::time(at)),
                );
                let what = format!("There is no domain {id}, {when}: what may be left of it is erased");
                confirm(&what, &options.domain, options.yes)?;
            }
        }
        Ok(domain::erase(task, &erasure).await?)
    })?;
    report_erased(&erased, &options.domain, options.json)
}

fn report_exported(exported: &Exported, Json { json }: Json) -> Result<(), Failure> {
    if json {
        return output::json(&json!({ "exported": exported }));
    }
    output::text(&format!(
        "exported the domain {} as it was at {} into {}: {} rows of {} tables, {} ({})\n  sha256 {}\n",
        exported.domain.slug,
        output::time(exported.snapshot_at),
        exported.archive.display(),
        exported.rows,
        exported.tables,
        size(exported.size_bytes),
        seconds(exported.duration_ms),
        exported.sha256,
    ))
}

fn report_restored(restored: &RestoredDomain, Json { json }: Json) -> Result<(), Failure> {
    if json {
        return output::json(&json!({ "restored": restored }));
    }
    let mut text = format!(
        "restored the domain {}, as it was at {}: {} rows in {} tables ({})\n",
        restored.domain.slug,
        output::time(restored.snapshot_at),
        restored.rows,
        restored.tables,
        seconds(restored.duration_ms)
    );
    if let Some(rows) = restored.replaced_rows {
        text.push_str(&format!("{rows} rows that were there before are gone\n"));
    }
    if let Some(status) = &restored.kept_status {
        text.push_str(&format!("its status stays what it was here: {status}\n"));
    }
    text.push_str("its people have to sign in again; its API keys are those of that time\n");
    if restored.other_installation {
        text.push_str(
            "it comes from another installation: passwords that were set there do not count here\n",
        );
    }
    output::text(&text)
}

fn report_erased(erased: &Erased, asked: &str, Json { json }: Json) -> Result<(), Failure> {
    if json {
        return output::json(&json!({ "erased": erased }));
    }
    let mut text = match &erased.domain {
        Some(domain) => format!(
            "erased the domain {} ({}), id {}: {} rows ({})\n",
            domain.slug,
            domain.name,
            domain.id,
            erased.rows,
            seconds(erased.duration_ms)
        ),
        None => match erased.erased_before {
            Some(at) => format!(
                "the domain {asked} was erased before, at {}; {} rows were left\n",
                output::time(at),
                erased.rows
            ),
            None => format!(
                "nothing says that there was a domain {asked}; {} rows of it were there, and are gone\n",
                erased.rows
            ),
        },
    };
    for (table, rows) in &erased.tables {
        text.push_str(&format!("  {rows:>10}  {table}\n"));
    }
    let proof = &erased.proof;
    text.push_str(&format!(
        "proved at {}: in {} tables and {} partitions, {} columns of type uuid, no row of {} is left\n",
        output::time(proof.proved_at),
        proof.tables,
        proof.partitions,
        proof.columns,
        proof.domain,
    ));
    for mention in &proof.mentions {
        text.push_str(&format!("  named by others: {mention}\n"));
    }
    text.push_str("backups and archives that were made before still have it\n");
    output::text(&text)
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}
