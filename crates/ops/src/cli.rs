//! The command line.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::backup::{Backup, Restore};
use crate::commands::doctor::Doctor;
use crate::commands::domain_rows;
use crate::commands::keys::Keys;
use crate::commands::migrate::cli::Migrate;
use crate::commands::provision::Provision;
use crate::commands::verify::Verify;

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or in order
  1    failed; the message says why
  2    migrations are pending
  3    there already: the installation is set up, the domain or its slug is taken, backups are another's; of `migrate drift`: the schema has drifted
  4    an applied migration was edited, or is not known to this version; a domain's archive has another schema
  5    a lock was not free in time: the one that migrations take, or a table's
  6    a pending migration is older than an applied one
  7    no database: it cannot be reached, or refuses the login
  8    not set up yet
  9    a backup or an archive is damaged, not signed, or does not restore to what was in it
  10   there is no such backup or domain, or no backup yet
  11   the place of backups cannot be reached, or refuses
  12   refused for now: somebody is connected, another restore of a domain, backup or drill is under way, or a key is still needed
  13   pg_dump or pg_restore is missing, or older than the server
  14   the doctor found something that failed (`doctor`)
  64   the command line, or a value in it, is not valid
  78   the configuration is not valid
  130  interrupted

The database is the configured one (DATABASE_URL; see `plinth-ops config show`), or where none is configured the private
PostgreSQL of the working directory, which runs for as long as the command needs it; never for backups. NO_COLOR=1 turns colours off.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "plinth-ops",
    version,
    about = "Runs a Plinth installation: configuration, migrations, setup, domains, backups"
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
    Migrate(Migrate),
    /// Sets the installation up: schema, encryption key, first platform operator, first domain
    ///
    /// The operator's password comes from PLINTH_SETUP_OPERATOR_PASSWORD (or …_FILE), else it is asked for on a terminal,
    /// and otherwise made and printed once. Exits 3 when the installation is set up already.
    Setup(Setup),
    /// Domains: the tenants of the installation
    #[command(subcommand)]
    Domain(Domain),
    /// Backups: made, listed, verified, proved, thinned out
    #[command(subcommand)]
    Backup(Backup),
    /// Restores a backup: beside what is there, checked, and only then in its place
    ///
    /// What was there before stays, under a name that is printed, until somebody drops it. Exits 12 while somebody is connected.
    Restore(Restore),
    /// Encryption keys: what each protects, everything under the newest, the end of an old one
    #[command(subcommand)]
    Keys(Keys),
    /// Runs background jobs until it is told to stop: those of the server, and what only this program can do
    ///
    /// SIGTERM and SIGINT let running jobs end (jobs.shutdown_grace), and hand back the rest. It waits for a database that is away, not
    /// set up yet, or not migrated yet.
    Worker(Worker),
    /// Makes databases with owners of their own, for Plinth, Kratos, Hydra, Synapse or whatever is named
    ///
    /// Each owner has no more rights than it needs, everybody else's logins are shut out, and bind parameters are kept out of the
    /// server's log. Running it again changes nothing. The configured login has to be an administrator of the server.
    Provision(Provision),
    /// Checks what other programs keep beside Plinth
    #[command(subcommand)]
    Verify(Verify),
    /// Looks at everything that an installation needs, and says of each fault its cause and its cure
    ///
    /// From the configuration over host name, port, encryption, login and database to privileges, migrations, settings that leak
    /// secrets, PgBouncer, disks and the age of the last proved backup. It changes nothing. Exits 14 when something failed.
    Doctor(Doctor),
    /// Prints a completion script: source <(plinth-ops completions bash)
    Completions {
        /// The shell that it is for
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub struct Worker {
    /// Serves only this queue; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub queue: Vec<String>,
    /// Jobs of a queue that run at once, instead of the setting jobs.concurrency
    #[arg(long, value_name = "JOBS", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: Option<u16>,
    /// Asks the worker of this configuration whether it runs jobs, and runs none; for container health checks
    #[arg(long, conflicts_with_all = ["queue", "concurrency"])]
    pub healthcheck: bool,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Prints every setting, its value and where the value came from; secrets are never shown
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
    /// Writes one domain's rows of one moment into an archive, out of the database or out of a backup
    Export(domain_rows::Export),
    /// Restores a domain from an archive, or out of a backup, while everybody else goes on working
    ///
    /// In one transaction: whatever happens on the way, nothing of it is seen before it is whole, and no other domain is touched.
    /// Exits 3 when the domain is there and --replace is not given.
    Restore(domain_rows::Restore),
    /// Copies a domain under a new slug, with fresh ids
    ///
    /// What lets somebody in (sessions, API keys, host names), what happens by itself (jobs, schedules) and the activity stream
    /// are not copied.
    Copy(domain_rows::Copy),
    /// Erases a domain with all its rows, and proves that none is left
    ///
    /// From its beginning on nobody gets in any more. When it was killed, the next run goes on. Backups and archives stay as
    /// they are.
    Erase(domain_rows::Erase),
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
