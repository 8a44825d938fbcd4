//! `schema.rs` for a test's database.

use tokio_postgres::Client;

/// The text of `schema.rs` for the database that the client is connected to.
pub async fn schema_rs(client: &Client) -> String {
    db_migrate::schema_rs(client).await.unwrap()
}
