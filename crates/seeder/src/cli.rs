//! The command line.

use std::time::Duration;

use clap::{Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or in sync
  1    out of sync (check)
  2    migrations are pending
  4    an applied migration was edited, or is not known to this version
  6    a pending migration is older than an applied one
  7    no database: it cannot be reached, or refuses the login
  9    failed for another reason; the message says which
  64   the command line is not valid
  78   the configuration is not valid
  130  interrupted

Roles that domains made for themselves are never touched. Several seeders may run at once.
The database is the configured one (DATABASE_URL; see `plinth-ops config show`), or where none is configured the private
PostgreSQL of the working directory. It must be migrated: `plinth-ops migrate run`.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "plinth-seeder", version)]
#[command(
    about = "Brings permissions, system roles and what each role gives in step with this version of Plinth"
)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Prints JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Waits this long for a database that is away
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 0)]
    pub wait: u64,
    /// Sets one setting, before everything else: --set database.url=postgresql://…
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub settings: Vec<String>,
}

impl Cli {
    /// How long a database may be away.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Makes the changes that are needed, in one transaction, and prints them
    Apply,
    /// Exits 0 when nothing would have to change; otherwise prints the differences and exits 1
    Check,
    /// Prints what `apply` would change, and exits 0
    Diff,
}
