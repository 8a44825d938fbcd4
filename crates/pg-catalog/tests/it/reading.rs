//! How it reads.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use pg_catalog::{
    Catalog, ConstraintKind, Error, FunctionKind, Options, QualifiedName, TypeDefinition, quote_ident,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_postgres::{Client, Config, NoTls};

use crate::edits::base;
use crate::support::{Database, public, server};

/// Keeps what the client sends.
struct Recorder {
    stream: UnixStream,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = written {
            self.sent.lock().unwrap().extend_from_slice(&buf[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn recorded(database: &Database) -> (Client, Arc<Mutex<Vec<u8>>>) {
    let server = server();
    let path = format!("{}/.s.PGSQL.{}", server.socket_dir, server.port);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let stream = Recorder {
        stream: UnixStream::connect(path).await.unwrap(),
        sent: Arc::clone(&sent),
    };
    let config: Config = server.address(&database.name).parse().unwrap();
    let (client, connection) = config.connect_raw(stream, NoTls).await.unwrap();
    tokio::spawn(connection);
    (client, sent)
}

/// How often the client waited for an answer: simple queries and Syncs.
fn round_trips(sent: &[u8]) -> usize {
    let mut rest = sent;
    let mut count = 0;
    while let [kind, a, b, c, d, ..] = *rest {
        count += usize::from(matches!(kind, b'Q' | b'S'));
        rest = &rest[1 + u32::from_be_bytes([a, b, c, d]) as usize..];
    }
    count
}

#[tokio::test]
async fn the_number_of_queries_does_not_grow() {
    let mut counts = Vec::new();
    for tables in [0, 1, 40] {
        let database = Database::with(&format!(
            "DO $do$ BEGIN FOR i IN 1..{tables} LOOP EXECUTE format($sql$
                 CREATE TYPE s%1$s AS ENUM ('a');
                 CREATE TABLE t%1$s (id int PRIMARY KEY, s s%1$s DEFAULT 'a', t int REFERENCES t%1$s CHECK (t > 0));
                 CREATE INDEX ON t%1$s (t); CREATE POLICY p ON t%1$s USING (true);
                 CREATE VIEW v%1$s AS SELECT * FROM t%1$s;
                 CREATE FUNCTION f%1$s() RETURNS int LANGUAGE sql RETURN %1$s;
             $sql$, i); END LOOP; END $do$"
        ))
        .await;
        let (client, sent) = recorded(&database).await;
        sent.lock().unwrap().clear();
        let catalog = Catalog::read(&client, &Options::default()).await.unwrap();
        assert_eq!(catalog.tables.len(), tables);
        counts.push(round_trips(&sent.lock().unwrap()));
    }
    // 18 queries, BEGIN with its settings, COMMIT.
    assert_eq!(counts, [20, 20, 20]);
}

#[tokio::test]
async fn the_session_is_as_it_was() {
    let database = Database::with("CREATE TABLE t (at timestamptz DEFAULT '2020-01-01 00:00+00')").await;
    let client = database.client().await;
    client
        .batch_execute("SET search_path = public; SET timezone = 'Asia/Tokyo'; SET datestyle = 'german'")
        .await
        .unwrap();
    let catalog = Catalog::read(&client, &Options::default()).await.unwrap();
    assert_eq!(
        catalog.tables[&public("t")].columns[0].default.as_deref(),
        Some("'2020-01-01 00:00:00+00'::timestamp with time zone")
    );
    let row = client
        .query_one(
            "SELECT current_setting('search_path'), current_setting('timezone')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("public", "Asia/Tokyo"));
    // In no transaction any more: this would be refused.
    client.batch_execute("VACUUM t").await.unwrap();
}

#[tokio::test]
async fn a_failure_leaves_no_transaction() {
    let database = Database::with("CREATE TABLE t (id int)").await;
    let client = database.client().await;
    client
        .batch_execute("SET statement_timeout = '1ms'")
        .await
        .unwrap();
    // Some query of so many runs into it.
    let error = loop {
        match Catalog::read(&client, &Options::default()).await {
            Ok(_) => client
                .batch_execute("SET statement_timeout = '1ms'")
                .await
                .unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Query { .. }), "{error}");
    assert!(error.to_string().contains("statement timeout (57014)"), "{error}");
    client.batch_execute("SET statement_timeout = 0").await.unwrap();
    client.batch_execute("VACUUM t").await.unwrap();
}

#[tokio::test]
async fn within_a_transaction() {
    let database = Database::with("CREATE TABLE t (id int)").await;
    let client = database.client().await;
    let before = database.read().await;
    client
        .batch_execute("BEGIN; SET LOCAL timezone = 'Asia/Tokyo'; CREATE TABLE u ()")
        .await
        .unwrap();
    let inside = Catalog::read_within(&client, &Options::default()).await.unwrap();
    assert_eq!(before.diff(&inside).to_string(), "+ table public.u\n");
    let row = client
        .query_one(
            "SELECT current_setting('timezone'), current_setting('search_path')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("Asia/Tokyo", "\"$user\", public"));
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.read().await, inside);
}

#[tokio::test]
async fn an_invalid_index() {
    let database = Database::with("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)").await;
    let client = database.client().await;
    let failed = client
        .batch_execute("CREATE UNIQUE INDEX CONCURRENTLY t_key ON t (id)")
        .await;
    assert!(failed.is_err());
    let catalog = database.read().await;
    let index = &catalog.tables[&public("t")].indexes["t_key"];
    assert!(!index.valid && index.unique);
}

#[tokio::test]
async fn what_is_seen_of_each_kind() {
    let catalog = base().await.read().await;
    let name = |name: &str| QualifiedName::new("app", name);
    let items = &catalog.tables[&name("items")];
    assert_eq!(items.columns.len(), 12);

    let number = items.column("number").unwrap();
    let identity = number.identity.as_ref().unwrap();
    assert!(!identity.always && number.not_null && identity.sequence.start == 1);
    let generated = items.column("double_price").unwrap().generated.as_deref();
    assert_eq!(generated, Some("((price * (2)::numeric)) STORED"));
    let serial = items.column("serial").unwrap().default.as_deref();
    assert_eq!(serial, Some("nextval('app.numbers'::regclass)"));

    let foreign_key = &items.constraints["items_parent_fkey"];
    assert_eq!(foreign_key.kind, ConstraintKind::ForeignKey);
    assert_eq!(foreign_key.columns, ["domain_id", "parent_id"]);
    assert_eq!(foreign_key.references, Some(name("parents")));
    assert_eq!(foreign_key.referenced_columns, ["domain_id", "id"]);
    assert_eq!(
        foreign_key.sql(),
        "FOREIGN KEY (domain_id, parent_id) REFERENCES app.parents(domain_id, id)"
    );
    assert_eq!(
        items.constraints["items_during_excl"].kind,
        ConstraintKind::Exclusion
    );
    assert_eq!(items.constraints.len(), 5);

    let expression = &items.indexes["items_expression_idx"];
    assert!(expression.unique && expression.method == "btree");
    assert_eq!(expression.columns, [Some("domain_id".to_owned()), None]);
    let partial = &items.indexes["items_partial_idx"];
    assert_eq!(partial.columns.len(), 2);
    assert_eq!(
        partial.predicate.as_deref(),
        Some("(status = 'open'::app.status)")
    );
    assert_eq!(items.indexes.len(), 3);

    assert_eq!(items.grants["pgc_app"].to_string(), "INSERT, SELECT");
    let title = &items.column("title").unwrap().grants;
    assert_eq!(title["pgc_app"].to_string(), "UPDATE");
    assert_eq!(items.policies["tenant"].roles, ["pgc_app"]);

    let events = &catalog.tables[&name("events")];
    assert_eq!(events.partition_key.as_deref(), Some("RANGE (id)"));
    assert_eq!(
        events.indexes["events_at_idx"].definition,
        "CREATE INDEX events_at_idx ON app.events USING btree (at)"
    );
    let rest = &catalog.tables[&name("events_rest")];
    assert_eq!(rest.partition_of, Some(name("events")));
    assert_eq!(rest.partition_bound.as_deref(), Some("DEFAULT"));
    assert!(rest.indexes.is_empty() && rest.constraints.is_empty());

    assert!(matches!(&catalog.types[&name("status")].definition,
        TypeDefinition::Enum { labels } if labels == &["open", "done"]));
    assert_eq!(catalog.types[&name("slug")].constraints.len(), 1);
    assert!(catalog.views[&name("counts")].materialized);
    let total = catalog
        .functions
        .values()
        .find(|function| function.kind == FunctionKind::Aggregate)
        .unwrap();
    assert_eq!(
        total.definition,
        "CREATE AGGREGATE app.total(integer) (SFUNC = pg_catalog.int4pl, STYPE = integer, INITCOND = '0')"
            .replace("pg_catalog.", "")
    );
    let others: Vec<_> = catalog.others.iter().map(|other| &other.identity).collect();
    assert_eq!(others, ["app.item_statistics"]);
}

/// What is printed runs as it is: all functions, indexes, triggers and views of the base again, in a schema of their own names.
#[tokio::test]
async fn definitions_can_be_executed() {
    let database = base().await;
    let before = database.read().await;
    let client = database.client().await;
    client.batch_execute("SET search_path = ''").await.unwrap();
    let mut count = 0;
    for (name, table) in &before.tables {
        for (index_name, index) in &table.indexes {
            let schema = quote_ident(&name.schema);
            let sql = format!(
                "DROP INDEX {schema}.{}; {}",
                quote_ident(index_name),
                index.definition
            );
            client.batch_execute(&sql).await.unwrap();
            count += 1;
        }
        for (trigger_name, trigger) in &table.triggers {
            let sql = format!(
                "DROP TRIGGER {} ON {name}; {}",
                quote_ident(trigger_name),
                trigger.definition
            );
            client.batch_execute(&sql).await.unwrap();
            count += 1;
        }
        for (constraint_name, constraint) in &table.constraints {
            if constraint.kind == ConstraintKind::PrimaryKey {
                continue;
            }
            let constraint_name = quote_ident(constraint_name);
            let sql = format!(
                "ALTER TABLE {name} DROP CONSTRAINT {constraint_name};
                 ALTER TABLE {name} ADD CONSTRAINT {constraint_name} {}",
                constraint.sql()
            );
            client.batch_execute(&sql).await.unwrap();
            count += 1;
        }
    }
    for (signature, function) in &before.functions {
        if function.kind == FunctionKind::Aggregate {
            let sql = format!("DROP AGGREGATE {signature}");
            client.batch_execute(&sql).await.unwrap();
        }
        client.batch_execute(&function.definition).await.unwrap();
        count += 1;
    }
    for (name, view) in before.views.iter().filter(|(_, view)| !view.materialized) {
        let sql = format!("CREATE OR REPLACE VIEW {name} AS {}", view.query);
        client.batch_execute(&sql).await.unwrap();
        count += 1;
    }
    assert!(count > 12, "{count}");
    let difference = before.diff(&database.read().await);
    assert!(difference.is_empty(), "{difference}");
}

/// Ours quotes more than the server's, never less: it knows the keywords of later versions.
#[tokio::test]
async fn names_are_quoted_as_the_server_does() {
    let database = Database::empty().await;
    let client = database.client().await;
    let rows = client
        .query(
            "SELECT word, quote_ident(word) FROM (SELECT word FROM pg_get_keywords()
                 UNION ALL SELECT unnest(ARRAY ['cards', 'Cards', '1a', 'a1', 'a b', 'a\"b', 'ä', '_x', 'a$b', ''])) w",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.len() > 400);
    let mut more = 0;
    for row in rows {
        let (word, theirs): (&str, &str) = (row.get(0), row.get(1));
        if quote_ident(word) != theirs {
            assert_eq!(theirs, word);
            assert_eq!(quote_ident(word), format!("\"{word}\""));
            more += 1;
        }
    }
    assert!(more < 30, "{more}");
}
