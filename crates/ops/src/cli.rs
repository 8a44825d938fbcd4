//! The command line.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or in order
  1    failed; the message says why
  2    migrations are pending
  3    there already: the installation is set up, or the domain's slug is taken
  4    an applied migration was edited, or is not known to this version
  5    the migration lock was not free in time
  6    a pending migration is older than an applied one
  7    no database: it cannot be reached, or refuses the login
  8    not set up yet
  64   the command line, or a value in it, is not valid
  78   the configuration is not valid
  130  interrupted

The database is the configured one (DATABASE_URL; see `plinth-ops config show`), or where none is configured the private
PostgreSQL of the working directory, which runs for as long as the command needs it. NO_COLOR=1 turns colours off.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "plinth-ops",
    version,
    about = "Runs a Plinth installation: configuration, migrations, setup, domains"
)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Sets one setting, before everything else: --set database.url=postgresql://…
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub settings: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The effective configuration
    #[command(subcommand)]
    Config(Config),
    /// Applies, reverts and lists the migrations that this program carries
    #[command(subcommand)]
    Migrate(Migrate),
    /// Sets the installation up: schema, encryption key, first platform operator, first domain
    ///
    /// The operator's password comes from PLINTH_SETUP_OPERATOR_PASSWORD (or …_FILE), else it is asked for on a terminal,
    /// and otherwise made and printed once. Exits 3 when the installation is set up already.
    Setup(Setup),
    /// Domains: the tenants of the installation
    #[command(subcommand)]
    Domain(Domain),
    /// Prints a completion script: source <(plinth-ops completions bash)
    Completions {
        /// The shell that it is for
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Prints every setting, its value and where the value came from; secrets are never shown
    Show(Json),
}

#[derive(Debug, Subcommand)]
pub enum Migrate {
    /// Applies what is pending, oldest first
    Run {
        /// Waits this long for a database that is away, and for another migration to end [without it: not at all for
        /// the database, 60 seconds for another migration]
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
        #[command(flatten)]
        json: Json,
    },
    /// Reverts the last migration, or the last N
    ///
    /// What the migrations made is dropped, with the data in it.
    Revert {
        /// How many
        #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// All of them
        #[arg(long, conflicts_with = "count")]
        all: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Lists all migrations: state, when and by whom applied, how long it took, checksum
    ///
    /// Exits 0 when all are applied and nothing else is, 2 when some are pending, 4 when an applied one was edited or is
    /// not known to this version, 6 when a pending one is older than an applied one.
    Show(Json),
}

#[derive(Debug, Args)]
pub struct Setup {
    /// E-mail of the first platform operator [default: admin@localhost]
    #[arg(long, value_name = "EMAIL")]
    pub operator_email: Option<String>,
    /// Slug of the first domain, in which the operator is an Admin too [default: default]
    #[arg(long, value_name = "SLUG")]
    pub domain_slug: Option<String>,
    /// Name of the first domain [default: its slug]
    #[arg(long, value_name = "NAME")]
    pub domain_name: Option<String>,
    /// Two domains, acme and globex, whose accounts have a password that everybody knows
    #[arg(long)]
    pub demo: bool,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Makes a domain with its first Admin
    ///
    /// Exits 3 when the slug is taken.
    Create(CreateDomain),
    /// Lists all domains, oldest first
    List(Json),
}

#[derive(Debug, Args)]
pub struct CreateDomain {
    /// Short name used at sign-in: lower-case letters, digits and hyphens
    pub slug: String,
    /// Name shown to people [default: the slug]
    #[arg(long)]
    pub name: Option<String>,
    /// E-mail of the domain's first Admin
    #[arg(long, value_name = "EMAIL")]
    pub admin_email: String,
    /// Reads the Admin's password from the first line of a file, - for standard input. Without it, it is asked for on a
    /// terminal, and otherwise made and printed once
    #[arg(long, value_name = "FILE")]
    pub admin_password_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Json {
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
