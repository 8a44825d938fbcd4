//! Compares the schemas of two databases: `cargo run --example compare -- HAVE WANT`, each as `host=… dbname=…`.

use std::error::Error;
use std::io::Write as _;

use pg_catalog::{Catalog, Options};
use tokio_postgres::NoTls;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut catalogs = Vec::new();
    for address in std::env::args().skip(1) {
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
        tokio::spawn(connection);
        let options = Options {
            symbolic_owner: true,
            ..Options::default()
        };
        catalogs.push(Catalog::read(&client, &options).await?);
    }
    let [have, want] = catalogs.as_slice() else {
        return Err("usage: compare HAVE WANT".into());
    };
    write!(std::io::stdout().lock(), "{}", have.diff(want))?;
    Ok(())
}
