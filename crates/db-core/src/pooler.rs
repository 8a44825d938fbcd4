//! Whether the pooler before the database can be worked with.

use std::time::Duration;

use pg_connect::{Connector, loses_statements};
use tokio_postgres::Client;

use crate::db::OpenError;

/// How long the second connection may be kept waiting for a server of its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pooler that hands a transaction to whatever server connection is free must bring a client's prepared statements
/// along. PgBouncer before 1.21 does not, nor does a newer one with `max_prepared_statements = 0`: requests would then fail
/// now and then. Found out here once, by asking for a statement while another client sits on the server that has it.
///
/// # Errors
/// [`OpenError::Pooler`] when statements are lost.
pub(crate) async fn check(connector: &Connector) -> Result<(), OpenError> {
    let (asking, sitting) = (open(connector).await?, open(connector).await?);
    match ask(&asking, &sitting).await {
        Err(error) if loses_statements(&error) => Err(OpenError::Pooler(format!(
            "the pooler at {} loses prepared statements between transactions ({}): Plinth needs PgBouncer 1.21 or newer \
             with max_prepared_statements = 200 in its configuration",
            connector.address(),
            pg_connect::describe(&error)
        ))),
        result => Ok(result?),
    }
}

async fn ask(asking: &Client, sitting: &Client) -> Result<(), tokio_postgres::Error> {
    let statement = asking.prepare("SELECT 1").await?;
    // A pooler takes the server connection that was used last: the one that has the statement.
    sitting.batch_execute("BEGIN; SELECT 1").await?;
    let asked = tokio::time::timeout(PATIENCE, asking.query(&statement, &[])).await;
    sitting.batch_execute("ROLLBACK").await?;
    // A pool of one connection lets the second client wait; it has nowhere to lose a statement to.
    if let Ok(result) = asked {
        result?;
    }
    Ok(())
}

async fn open(connector: &Connector) -> Result<Client, OpenError> {
    Ok(connector.client().await?)
}
