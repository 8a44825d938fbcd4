//! How long reading takes: `cargo run --release --example read_time -- [--fill TABLES] 'host=… dbname=…'`.
//! With `--fill`, makes that many tables first (20 columns, 3 indexes, 2 foreign keys, 2 policies each) in an empty database.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use pg_catalog::{Catalog, Options};
use tokio_postgres::NoTls;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).peekable();
    let mut tables = 0;
    if words.next_if_eq("--fill").is_some() {
        tables = words.next().ok_or("--fill needs a number")?.parse()?;
    }
    let address = words.next().ok_or("usage: read_time [--fill TABLES] ADDRESS")?;
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
    tokio::spawn(connection);
    // In pieces: one transaction would run out of locks.
    for first in (1..=tables).step_by(50) {
        client.batch_execute(&fill(first, tables.min(first + 49))).await?;
    }

    let mut out = std::io::stdout().lock();
    for _ in 0..5 {
        let start = Instant::now();
        let catalog = Catalog::read(&client, &Options::default()).await?;
        let read = start.elapsed();
        let fingerprint = catalog.fingerprint();
        let hashed = start.elapsed() - read;
        let diff = catalog.diff(&catalog);
        let compared = start.elapsed() - read - hashed;
        let order = catalog.order(catalog.ids())?;
        let ordered = start.elapsed() - read - hashed - compared;
        writeln!(
            out,
            "{} tables, {} objects: read {read:?}, fingerprint {hashed:?}, diff ({}) {compared:?}, order {ordered:?}, {fingerprint}",
            catalog.tables.len(),
            order.len(),
            diff.len(),
        )?;
    }
    Ok(())
}

fn fill(first: i32, last: i32) -> String {
    let columns: String = (1..=16)
        .map(|n| format!("column_{n} text NOT NULL DEFAULT 'x',"))
        .collect();
    format!(
        "DO $do$ BEGIN FOR i IN {first}..{last} LOOP EXECUTE format($sql$
             CREATE TABLE t%1$s (domain_id uuid NOT NULL, id uuid NOT NULL, other_id uuid, parent_id uuid, {columns}
                 PRIMARY KEY (domain_id, id),
                 FOREIGN KEY (domain_id, other_id) REFERENCES t%1$s (domain_id, id),
                 FOREIGN KEY (domain_id, parent_id) REFERENCES t%2$s (domain_id, id));
             CREATE INDEX ON t%1$s (domain_id, other_id);
             CREATE INDEX ON t%1$s (domain_id, parent_id) WHERE column_1 <> 'x';
             CREATE INDEX ON t%1$s (domain_id, lower(column_2)) INCLUDE (column_3);
             ALTER TABLE t%1$s ENABLE ROW LEVEL SECURITY;
             CREATE POLICY tenant ON t%1$s USING (domain_id = current_setting('x')::uuid);
             CREATE POLICY system ON t%1$s TO PUBLIC USING (true);
             COMMENT ON TABLE t%1$s IS 'table';
             COMMENT ON COLUMN t%1$s.column_1 IS 'column';
         $sql$, i, greatest(i - 1, 1)); END LOOP; END $do$"
    )
}
