//! The command line of `plinth-ops migrate`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use db_migrate::ServerWide;

use super::lint::Lint;
use crate::cli::Json;

#[derive(Debug, Args)]
pub struct Migrate {
    #[command(subcommand)]
    pub command: Command,
    /// Works with the migrations of this directory instead of those that the program carries
    #[arg(long, value_name = "DIRECTORY", global = true)]
    pub migrations: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Applies what is pending, oldest first
    ///
    /// A migration without a transaction that was broken off goes on behind its last finished statement.
    Run {
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        json: Json,
    },
    /// Reverts the last migration, or the last N
    ///
    /// What the migrations made is dropped, with the data in it. One that is half done counts. Before more than one, it asks for the
    /// database's name on a terminal, and needs --yes where there is none; not on the private PostgreSQL.
    Revert {
        #[command(flatten)]
        count: Count,
        /// All of them
        #[arg(long, conflicts_with = "count")]
        all: bool,
        #[command(flatten)]
        yes: Yes,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        json: Json,
    },
    /// Reverts the last migration, or the last N, and applies it again
    ///
    /// For development: what the migrations made is dropped, with the data in it. It asks as revert does.
    Redo {
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        yes: Yes,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        json: Json,
    },
    /// Lists all migrations: state, when and by whom applied, how long it took, checksum
    ///
    /// Exits 0 when all are applied and nothing else is, 2 when some are pending or half done, 4 when an applied one was
    /// edited or is not known to this version, 6 when a pending one is older than an applied one.
    Show(Json),
    /// Takes over a database that another tool has migrated, without running any migration on it
    ///
    /// Writes down as applied what the other tool's history says, once a scratch database with those migrations has the
    /// same schema. The other tool's history is left alone.
    Baseline(Baseline),
    /// Writes the migration that leads from what the migrations make to the desired schema
    ///
    /// Both are loaded into databases that are made beside the configured one and dropped again. What was written is proved
    /// on a third one with rows in it: applied, there is no difference to the desired schema; reverted, none to before. What does
    /// not pass is removed again. Exits 0 also when there is no difference, and 1 when data would be lost.
    Generate(Generate),
    /// Compares the database with what its applied migrations make, and names every difference
    ///
    /// For that they are applied to a database that is made beside it and dropped again; where the login may not make one, the
    /// fingerprint is compared that the last run wrote down. Exits 0 when there is no difference, 3 when there is one.
    Drift(Drift),
    /// Applies, reverts and applies again on a scratch database with rows in it, and says what is wrong
    ///
    /// The catalogue has to be the same before and after, and no row may be harmed; the locks of each statement are printed.
    /// Without versions, those are verified that are new since the merge base. Exits 1 when something is wrong.
    Verify(Verify),
    /// Looks for what would lock tables, break the version before, lose data, or open one domain to another
    ///
    /// The migrations are those of --migrations, or of ./migrations. For the rules of tenancy they are applied to a database that
    /// is made beside the configured one and dropped again. Exits 1 when something was found that no comment allows.
    Lint(Lint),
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Wait {
    /// Waits this long for a database that is away, and for another migration to end [without it: not at all for the
    /// database, 60 seconds for another migration]
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u64>,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Count {
    /// How many
    #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Yes {
    /// Does not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct DryRun {
    /// Changes nothing: tries the statements in a transaction that is rolled back, and prints them with the locks that each
    /// takes. The locks are taken for real, for as long as the trial lasts
    #[arg(long)]
    pub dry_run: bool,
}

/// Where what is tried may change roles and whatever else the databases of a server share.
#[derive(Clone, Copy, Debug, Args)]
pub struct Disposable {
    /// The server is one that is thrown away: migrations may change what all its databases share, roles above all. Without it,
    /// one that does is refused
    #[arg(long)]
    pub disposable_server: bool,
}

impl From<Disposable> for ServerWide {
    fn from(disposable: Disposable) -> Self {
        if disposable.disposable_server {
            Self::Free
        } else {
            Self::Kept
        }
    }
}

#[derive(Debug, Args)]
pub struct Generate {
    /// Name of the migration: add_card_color
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What was renamed, and is not to be dropped and made anew: table:public.a=b, column:public.t.a=b, and so view,
    /// materialized_view, sequence, type, index, function, constraint, trigger, policy, schema, value
    #[arg(long, value_name = "KIND:OLD=NEW")]
    pub rename: Vec<String>,
    /// Writes what loses data too, and marks it
    #[arg(long)]
    pub allow_destructive: bool,
    /// Directory of the desired schema
    #[arg(long, value_name = "DIRECTORY", default_value = "schema")]
    pub schema: PathBuf,
    /// Writes diesel's tables for the new schema into this file
    #[arg(long, value_name = "FILE")]
    pub schema_rs: Option<PathBuf>,
    /// Leaves the files there also when they do not pass
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub server: Disposable,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Drift {
    /// Compares the fingerprint only, also where a database could be made
    #[arg(long)]
    pub fingerprint: bool,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Which, by version
    #[arg(value_name = "VERSION", conflicts_with = "all")]
    pub versions: Vec<String>,
    /// All of them
    #[arg(long)]
    pub all: bool,
    /// Migrations are new that its merge base with the current commit does not have [default: origin/main, where that
    /// is known; else the current commit]
    #[arg(long, value_name = "COMMIT", conflicts_with_all = ["versions", "all"])]
    pub base: Option<String>,
    /// How many rows to make in each table
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rows: u32,
    #[command(flatten)]
    pub server: Disposable,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Baseline {
    /// Whose history the database has [default: the one that is found]
    #[arg(long, value_name = "TOOL")]
    pub from: Option<Tool>,
    /// The last of our migrations that the database has, by version
    #[arg(long, value_name = "VERSION")]
    pub up_to: Option<String>,
    /// Does not compare the schema
    #[arg(long)]
    pub trust: bool,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Tool {
    /// `__diesel_schema_migrations`
    Diesel,
    /// `schema_migrations`
    GolangMigrate,
    /// `drizzle.__drizzle_migrations`
    Drizzle,
}

impl From<Tool> for db_migrate::Tool {
    fn from(tool: Tool) -> Self {
        match tool {
            Tool::Diesel => Self::Diesel,
            Tool::GolangMigrate => Self::GolangMigrate,
            Tool::Drizzle => Self::Drizzle,
        }
    }
}
