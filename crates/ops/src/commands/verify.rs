//! `plinth-ops verify`

use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use app_config::{DatabaseAddress, Environment, Loader};
use clap::{Args, Subcommand};
use pg_connect::Connector;

use crate::cli::Json;
use crate::failure::Failure;
use crate::kratos::{Found, Release, Standing};
use crate::output::{self, Cell};
use crate::program::{NAME, Program, block_on};

/// How many versions are listed before the rest is counted.
const LISTED: usize = 5;
/// Settings of Kratos' own pool, which it takes in its DSN.
const POOL_PARAMETERS: [&str; 4] = [
    "max_conns",
    "max_idle_conns",
    "max_conn_lifetime",
    "max_conn_idle_time",
];

#[derive(Debug, Subcommand)]
pub enum Verify {
    /// Checks Ory Kratos' schema: its migrations, tables and columns, and how many rows there are
    ///
    /// The database is that of KRATOS_DSN (or --dsn-file), else `kratos` on the configured server. Exits 2 when Kratos has to
    /// migrate it further, 3 when its tables are not what the migrations make, 8 when Kratos has not migrated it at all.
    Kratos(Kratos),
}

#[derive(Debug, Args)]
pub struct Kratos {
    /// Name of Kratos' database on the configured server
    #[arg(long, value_name = "NAME", default_value = "kratos")]
    pub database: String,
    /// Reads Kratos' DSN from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    pub dsn_file: Option<PathBuf>,
    /// The schema that Kratos' tables are in
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
    #[command(flatten)]
    pub json: Json,
}

pub fn run(command: Verify, settings: Vec<String>) -> Result<(), Failure> {
    let Verify::Kratos(options) = command;
    let release =
        Release::known().map_err(|error| Failure::Verify(format!("the embedded release: {error}")))?;
    let dsn = match &options.dsn_file {
        Some(file) => Some(first_line(file)?),
        None => Environment::from_process()
            .get("KRATOS_DSN")
            .map(ToOwned::to_owned),
    };
    // Held until the end: the private PostgreSQL may be what is verified.
    let mut program = None;
    let (address, connect) = match dsn {
        Some(dsn) => {
            let database = Loader::new(PathBuf::new(), Environment::default())
                .flags([format!("database.url={}", without_pool(&dsn))])
                .load()?
                .config
                .database;
            let connect = db_core::connect_options(&database, NAME);
            let address = database
                .address
                .ok_or_else(|| Failure::Usage("the DSN is empty".to_owned()))?;
            (address, connect)
        }
        None => {
            let opened = program.insert(Program::open(settings)?);
            let address = DatabaseAddress {
                database: options.database.clone(),
                ..opened.owner.address().clone()
            };
            (address, db_core::connect_options(&opened.config.database, NAME))
        }
    };
    let found = block_on(async {
        let client = Connector::new(&address, connect)?.client().await?;
        release.verify(&client, &options.schema).await.map_err(|error| {
            Failure::Verify(format!(
                "the database {}, whose tables could not be read ({}),",
                address.database,
                pg_connect::describe(&error)
            ))
        })
    })?;
    drop(program);
    if options.json.json {
        output::json(&found)?;
    } else {
        output::text(&text(&found, &address.to_string()))?;
    }
    match found.standing {
        Standing::Ok | Standing::Newer => Ok(()),
        Standing::NotMigrated => Err(Failure::KratosNotThere(address.database)),
        Standing::Pending => Err(Failure::KratosPending(found.pending.len())),
        Standing::Differs => Err(Failure::Drift(output::count(
            found.differences.len(),
            "difference",
        ))),
    }
}

fn first_line(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("--dsn-file {}: {error}", path.display())))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The DSN without what is Kratos' own.
fn without_pool(dsn: &str) -> String {
    let Some((base, query)) = dsn.split_once('?') else {
        return dsn.to_owned();
    };
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| !POOL_PARAMETERS.contains(&pair.split('=').next().unwrap_or_default()))
        .collect();
    if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", rest.join("&"))
    }
}

fn text(found: &Found, address: &str) -> String {
    let bold = Style::new().bold();
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let (style, words) = match found.standing {
        Standing::Ok => (
            colour(AnsiColor::Green),
            format!("as the migrations of Kratos {} make it", found.release),
        ),
        Standing::Newer => (
            colour(AnsiColor::Yellow),
            format!(
                "migrated by a newer Kratos than {}, which is the newest that this program knows",
                found.release
            ),
        ),
        Standing::NotMigrated => (
            colour(AnsiColor::Red),
            "not migrated by Kratos: there is no table schema_migration. Run: kratos migrate sql up --read-from-env --yes".to_owned(),
        ),
        Standing::Pending => (
            colour(AnsiColor::Red),
            format!(
                "{} of Kratos {} are missing: an older Kratos, or a migration that was broken off. Run: kratos migrate sql up \
                 --read-from-env --yes",
                output::count(found.pending.len(), "migration"),
                found.release
            ),
        ),
        Standing::Differs => (
            colour(AnsiColor::Red),
            format!(
                "all migrations of Kratos {} are applied{}, and the tables are not what they make: {}",
                found.release,
                if found.unknown.is_empty() {
                    ""
                } else {
                    ", and newer ones"
                },
                output::count(found.differences.len(), "difference")
            ),
        ),
    };
    let mut text = format!("{bold}{address}{bold:#}\n{style}{words}{style:#}\n");
    if let Some(newest) = &found.newest {
        text.push_str(&format!(
            "{} applied, the newest {newest}\n",
            output::count(found.applied, "migration")
        ));
    }
    for (label, list) in [("missing", &found.pending), ("not known", &found.unknown)] {
        if !list.is_empty() {
            let mut shown: Vec<String> = list.iter().take(LISTED).cloned().collect();
            if list.len() > LISTED {
                shown.push(format!("and {} more", list.len() - LISTED));
            }
            text.push_str(&format!("{label}: {}\n", shown.join(", ")));
        }
    }
    for difference in &found.differences {
        text.push_str(&format!("  {difference}\n"));
    }
    if !found.counts.is_empty() {
        let rows = found
            .counts
            .iter()
            .map(|(label, count)| vec![Cell::from(label.clone()), Cell::from(count.to_string())])
            .collect();
        text.push('\n');
        text.push_str(&output::table(&["table", "rows"], rows));
    }
    text
}
