//! PgBouncer between requests and the database: which version, which mode, and whether it keeps prepared statements apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use app_config::DatabaseAddress;
use pg_connect::{ConnectOptions, Connector, loses_statements};
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::catalogue::{POOLED_SAME, POOLER_KIND, POOLER_SETTINGS, POOLER_STATEMENTS};
use super::check::{Findings, Trouble};

/// The first version that keeps the prepared statements of its clients apart in transaction mode.
const OLDEST: (u32, u32) = (1, 21);
/// How long the second connection may be kept waiting for a server of its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands at an address.
pub struct Pooler {
    /// Most server connections that it opens for one login and database, where it told.
    pub pool_size: Option<i64>,
}

/// Looks at what is behind `DATABASE_URL`. `owner` is a direct connection.
pub async fn look(
    findings: &mut Findings,
    client: &Client,
    owner: &Client,
    address: &DatabaseAddress,
    options: &ConnectOptions,
) -> Result<Pooler, Error> {
    same(findings, client, owner, address).await?;
    let Ok(second) = open(address, options).await else {
        findings.skip_rest(
            [POOLER_KIND, POOLER_STATEMENTS, POOLER_SETTINGS],
            "a second connection was refused",
        );
        return Ok(Pooler { pool_size: None });
    };
    let shares = shares_servers(client, &second).await?;
    let console = console(address, options).await;
    match &console {
        Some(console) => told(findings, console, shares),
        None if shares => {
            findings.ok(
                POOLER_KIND,
                "a pooler that lends a server connection for each transaction; it does not let this login ask for more (stats_users)",
            );
            findings.skipped(
                POOLER_SETTINGS,
                "its console is closed to this login: add it to stats_users in pgbouncer.ini",
            );
        }
        None => {
            findings.skipped(
                POOLER_KIND,
                "no pooler, or one that keeps a server connection for each client",
            );
            findings.skipped(POOLER_SETTINGS, "there is no pooler to ask");
        }
    }
    statements(findings, client, &second, console.as_ref()).await?;
    Ok(Pooler {
        pool_size: console.and_then(|console| console.settings.get("default_pool_size")?.parse().ok()),
    })
}

/// The owner's address leads past the pooler, to the same database.
async fn same(
    findings: &mut Findings,
    client: &Client,
    owner: &Client,
    address: &DatabaseAddress,
) -> Result<(), Error> {
    let sql = "SELECT current_database()::text || ' of ' || (SELECT system_identifier FROM pg_control_system())::text";
    let started =
        "SELECT current_database()::text || ' of a server up since ' || pg_postmaster_start_time()::text";
    // Not every login may ask for the identifier.
    let (here, there) = match (client.query_one(sql, &[]).await, owner.query_one(sql, &[]).await) {
        (Ok(here), Ok(there)) => (here, there),
        _ => (
            client.query_one(started, &[]).await?,
            owner.query_one(started, &[]).await?,
        ),
    };
    let (here, there): (String, String) = (here.get(0), there.get(0));
    if here == there {
        findings.ok(POOLED_SAME, "both addresses lead to it");
    } else {
        findings.failed(
            POOLED_SAME,
            Trouble::new(
                format!("DATABASE_URL leads to {here}, DATABASE_DIRECT_URL to {there}"),
                "requests would be served from another database than the one that is migrated and backed up",
                format!(
                    "correct one of the two; the [databases] section of the pooler says where {address} leads"
                ),
            ),
        );
    }
    Ok(())
}

async fn open(
    address: &DatabaseAddress,
    options: &ConnectOptions,
) -> Result<Client, pg_connect::ConnectError> {
    Connector::new(address, options.clone())?.client().await
}

/// Whether clients are served by each other's server processes: then it is a pooler that pools transactions.
async fn shares_servers(first: &Client, second: &Client) -> Result<bool, Error> {
    match first.query_one("SELECT 1", &[]).await {
        Ok(_) => {}
        Err(error) if loses_statements(&error) => return Ok(true),
        Err(error) => return Err(error),
    }
    // As simple queries: a prepared statement is closed behind one's back, which keeps its server busy for a moment. One of the two
    // asks more often, so that a pooler that hands its servers out in turn is seen too.
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..10 {
        for (client, index) in [(first, 0), (second, 1), (second, 1)] {
            let pid = process(client).await?;
            if let Some(seen) = seen.get_mut(index) {
                seen.insert(pid);
            }
        }
    }
    let [first, second] = &seen;
    Ok(first.len() > 1 || second.len() > 1 || !first.is_disjoint(second))
}

/// The server process that serves the client now.
async fn process(client: &Client) -> Result<Option<String>, Error> {
    let messages = client.simple_query("SELECT pg_backend_pid()").await?;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    }))
}

/// What PgBouncer says of itself.
struct Console {
    version: String,
    settings: BTreeMap<String, String>,
}

/// The console is a database of the name `pgbouncer`; it is open to admin_users and stats_users alone.
async fn console(address: &DatabaseAddress, options: &ConnectOptions) -> Option<Console> {
    let address = DatabaseAddress {
        database: "pgbouncer".to_owned(),
        ..address.clone()
    };
    let client = open(&address, options).await.ok()?;
    let rows = async |sql: &str| {
        let messages = client.simple_query(sql).await.ok()?;
        // SHOW VERSION has one column.
        let text = |row: &SimpleQueryRow, column: usize| {
            row.try_get(column).ok().flatten().unwrap_or_default().to_owned()
        };
        Some(
            messages
                .into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some((text(&row, 0), text(&row, 1))),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        )
    };
    // `PgBouncer 1.24.1`
    let version = rows("SHOW VERSION").await?.into_iter().next()?.0;
    if !version.starts_with("PgBouncer") {
        return None;
    }
    Some(Console {
        version,
        settings: rows("SHOW CONFIG").await?.into_iter().collect(),
    })
}

fn told(findings: &mut Findings, console: &Console, shares: bool) {
    let number = console.version.trim_start_matches("PgBouncer").trim();
    let mut parts = number.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if version < OLDEST {
        findings.failed(
            POOLER_KIND,
            Trouble::new(
                &console.version,
                "before 1.21, PgBouncer loses prepared statements between transactions: requests fail now and then",
                "install PgBouncer 1.21 or newer, with max_prepared_statements = 200",
            ),
        );
    } else {
        findings.ok(POOLER_KIND, console.version.clone());
    }
    let get = |name: &str| console.settings.get(name).map_or("", String::as_str);
    let mode = get("pool_mode");
    let trouble = if mode == "statement" {
        Some(Trouble::new(
            "pool_mode = statement",
            "transactions are refused, and every request is one",
            "pool_mode = transaction in pgbouncer.ini, then RELOAD on its console",
        ))
    } else if mode == "session" && !shares {
        Some(Trouble::new(
            "pool_mode = session",
            "a server connection is kept for each client, so that PgBouncer saves no connections",
            "pool_mode = transaction in pgbouncer.ini, then RELOAD on its console",
        ))
    } else if get("max_prepared_statements") == "0" && mode != "session" {
        Some(Trouble::new(
            "max_prepared_statements = 0",
            "prepared statements are lost between transactions: requests fail now and then",
            "max_prepared_statements = 200 in pgbouncer.ini, then RELOAD on its console",
        ))
    } else if !get("ignore_startup_parameters")
        .split(',')
        .any(|name| name.trim() == "extra_float_digits")
    {
        Some(Trouble::new(
            format!(
                "ignore_startup_parameters = {:?}",
                get("ignore_startup_parameters")
            ),
            "clients that send extra_float_digits at the start are refused: not Plinth's server, but psql's kin and many drivers",
            "ignore_startup_parameters = extra_float_digits in pgbouncer.ini, then RELOAD on its console",
        ))
    } else {
        None
    };
    match trouble {
        Some(trouble) if mode == "statement" || get("max_prepared_statements") == "0" => {
            findings.failed(POOLER_SETTINGS, trouble);
        }
        Some(trouble) => findings.warning(POOLER_SETTINGS, trouble),
        None => findings.ok(
            POOLER_SETTINGS,
            format!(
                "pool_mode {mode}, default_pool_size {}, max_prepared_statements {}",
                get("default_pool_size"),
                get("max_prepared_statements")
            ),
        ),
    }
}

/// As the server's own start-up check: asks for a statement while another client sits on the server connection that has it.
async fn statements(
    findings: &mut Findings,
    asking: &Client,
    sitting: &Client,
    console: Option<&Console>,
) -> Result<(), Error> {
    let tried = async {
        let statement = asking.prepare("SELECT 1").await?;
        sitting.batch_execute("BEGIN; SELECT 1").await?;
        let asked = tokio::time::timeout(PATIENCE, asking.query(&statement, &[])).await;
        sitting.batch_execute("ROLLBACK").await?;
        // A pool of one connection lets the second client wait; it has nowhere to lose a statement to.
        if let Ok(result) = asked {
            result?;
        }
        Ok::<(), Error>(())
    };
    match tried.await {
        Ok(()) => findings.ok(POOLER_STATEMENTS, "are found again on another server connection"),
        Err(error) if loses_statements(&error) => findings.failed(
            POOLER_STATEMENTS,
            Trouble::new(
                format!("lost between transactions ({})", pg_connect::describe(&error)),
                match console {
                    Some(console) => format!("{} does not follow them", console.version),
                    None => "PgBouncer is older than 1.21, or max_prepared_statements is 0".to_owned(),
                },
                "PgBouncer 1.21 or newer, with max_prepared_statements = 200 and pool_mode = transaction (deploy/pgbouncer/pool.ini)",
            ),
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}
