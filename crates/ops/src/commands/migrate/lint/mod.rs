//! `plinth-ops migrate lint`

mod catalogue;
mod files;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use db_migrate::{FolderError, MigrateError};
use migration_lint::{Finding, Level, Report, RuleInfo, lint, rules, sarif, text};

use super::cli::Disposable;
use crate::failure::Failure;
use crate::output;
use catalogue::Examined;
pub use files::merged as merged_migrations;
use files::{Migration, Selection};

/// What to look at, and how to say what was found.
#[derive(Debug, Args)]
pub struct Lint {
    /// Migrations, directories of migrations, or single files of SQL [default: the migrations that are new since the
    /// merge base]
    #[arg(value_name = "PATH", conflicts_with = "all")]
    paths: Vec<PathBuf>,
    /// All migrations, not only the new ones
    #[arg(long)]
    all: bool,
    /// Migrations are new that its merge base with the current commit does not have [default: origin/main, where that
    /// is known; else the current commit]
    #[arg(long, value_name = "COMMIT", conflicts_with_all = ["paths", "all"])]
    base: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Prints JSON, as --format json does
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Writes it to a file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leaves out the rules of tenancy, which need a database to apply the migrations to
    #[arg(long)]
    no_database: bool,
    #[command(flatten)]
    server: Disposable,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanners
    Sarif,
}

/// Why linting did not end well.
#[derive(Debug, thiserror::Error)]
pub enum LintError {
    #[error("{0} in the migrations")]
    Findings(String),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Metadata(#[from] FolderError),
    #[error("{} is neither a migration, nor a directory of migrations, nor a file of SQL", .0.display())]
    NoMigration(PathBuf),
    #[error("cannot tell which migrations are new: {0}; name some, or use --all")]
    Git(String),
    #[error("cannot apply the migrations: {0}; --no-database does without")]
    Scratch(#[from] MigrateError),
    #[error(transparent)]
    Catalogue(#[from] db_core::tenancy::ReadError),
}

impl LintError {
    /// Whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoMigration(_) | Self::Git(_))
    }
}

pub fn run(options: Lint, directory: Option<PathBuf>, settings: Vec<String>) -> Result<(), Failure> {
    let selection = if options.paths.is_empty() {
        let new_since = (!options.all).then_some(options.base.as_deref());
        let directory = directory.as_deref().unwrap_or(Path::new("migrations"));
        Selection::of_directory(directory, new_since)?
    } else {
        Selection::of_paths(&options.paths)?
    };
    let wanted = selection.migrations.iter().any(|migration| migration.chosen);
    let examined = if options.no_database {
        Examined::skipped("--no-database")
    } else if wanted {
        catalogue::examine(&selection.migrations, settings, options.server.into())?
    } else {
        Examined::default()
    };
    let report = report(&selection, examined);
    let rendered = render(
        &report,
        if options.json {
            Format::Json
        } else {
            options.format
        },
    )?;
    match options.output {
        Some(path) => {
            std::fs::write(&path, rendered).map_err(|source| LintError::File { path, source })?;
        }
        None => output::text(&rendered)?,
    }
    match report.count {
        0 => Ok(()),
        count => Err(LintError::Findings(output::count(count, "finding")).into()),
    }
}

fn report(selection: &Selection, examined: Examined) -> Report {
    let rules = catalogue_rules();
    let mut files = Vec::new();
    let mut findings: Vec<Finding> = examined.failed.into_iter().collect();
    findings.extend(selection.refused.iter().cloned());
    for (index, migration) in selection.migrations.iter().enumerate() {
        for script in migration.up.iter().filter(|_| migration.chosen) {
            files.push(script.path().to_owned());
            let violations = examined.violations.get(&index).map(Vec::as_slice);
            findings.extend(lint(script, violations, &rules));
        }
    }
    for script in selection.others() {
        files.push(script.path().to_owned());
        // What the catalogue says is said of up.sql.
        findings.extend(lint(script, Some(&[]), &rules));
    }
    findings.sort_by(|a, b| (&a.file, a.start).cmp(&(&b.file, b.start)));
    Report::new(files, findings, examined.skipped)
}

fn render(report: &Report, format: Format) -> Result<String, Failure> {
    let value = match format {
        Format::Text => return Ok(text(report)),
        Format::Json => serde_json::to_value(report),
        Format::Sarif => {
            let all: Vec<_> = rules().chain(catalogue_rules()).collect();
            Ok(sarif(report, &all, env!("CARGO_PKG_VERSION")))
        }
    };
    value
        .and_then(|value| serde_json::to_string_pretty(&value))
        .map(|text| format!("{text}\n"))
        .map_err(|error| {
            let path = PathBuf::from("report");
            let source = error.into();
            LintError::File { path, source }.into()
        })
}

fn catalogue_rules() -> Vec<RuleInfo> {
    db_core::tenancy::rules()
        .map(|rule| RuleInfo {
            id: rule.id,
            level: Level::Error,
            why: rule.why,
            safe_form: rule.safe_form,
        })
        .collect()
}
