//! Rows in backups: tables of every shape, one domain of many, and what people can do with the files without Plinth.

use std::io::Read as _;
use std::process::{Command, Stdio};

use test_support::{ACME, GLOBEX, World};

use crate::backup::{Place, contents};
use crate::domain_fixture::{everything, rows};

/// Tables that are not written as most are.
const TABLES: &str = r#"
    CREATE SCHEMA "Other schema";
    CREATE TYPE "Other schema".mood AS ENUM ('fine', 'not so');
    CREATE TYPE "Other schema".place AS (x int, y text);
    CREATE DOMAIN "Other schema".short AS text CHECK (char_length(VALUE) < 100);
    CREATE TABLE "Other schema"."a	tab" (note text, domain_id uuid, mood "Other schema".mood, moods "Other schema".mood[],
        place "Other schema".place, short "Other schema".short, doubled int GENERATED ALWAYS AS (1 + 1) STORED,
        number int GENERATED ALWAYS AS IDENTITY, kind regclass);
    INSERT INTO "Other schema"."a	tab" (note, domain_id, mood, moods, place, short, kind)
        SELECT CASE WHEN n % 3 = 0 THEN E'two\nlines\\\t' || n END, CASE WHEN n % 2 = 0 THEN d.id END, 'not so', '{fine,NULL}',
               ROW(n, 'y')::"Other schema".place, 'short', 'cards' FROM generate_series(1, 20) n, domains d;
    CREATE TABLE every_type (domain_id uuid, mood "Other schema".mood, a int2, b int4[], c int8, d float4, e float8, f numeric, g jsonb,
        h json, i bytea, j inet, k cidr, l macaddr, m bit(3), n varbit, o interval, p timetz, q date, r text[], s char(5), t name, u bool,
        v timestamp, w timestamptz[]);
    INSERT INTO every_type SELECT d.id, 'fine', -1, '{1,NULL,3}', 1 << 40, 'NaN', 1e-300, 1.00, '{"a": [1.0, null]}', '{"b" :1}', '\x00ff',
        '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', B'101', B'1', '1 mon -2 days', '12:00+02', 'infinity', ARRAY['x', 'ä'], 'ab', 'n',
        true, '-infinity', ARRAY[now()] FROM domains d;
    INSERT INTO every_type DEFAULT VALUES;
    CREATE TABLE nothing ();
    INSERT INTO nothing DEFAULT VALUES;
    INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE parent (id int, domain_id uuid);
    CREATE TABLE child (more text) INHERITS (parent);
    INSERT INTO parent VALUES (1, NULL);
    INSERT INTO child SELECT 2, id, 'more' FROM domains;
    CREATE TABLE split (at int, domain_id uuid, note text) PARTITION BY RANGE (at);
    CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (10) PARTITION BY LIST (note);
    CREATE TABLE split_1_x PARTITION OF split_1 FOR VALUES IN ('x');
    CREATE TABLE split_2 (note text, at int, domain_id uuid);
    ALTER TABLE split ATTACH PARTITION split_2 FOR VALUES FROM (10) TO (20);
    INSERT INTO split SELECT n, d.id, 'x' FROM generate_series(0, 19) n, domains d;
    CREATE UNLOGGED TABLE unlogged (id int);
    INSERT INTO unlogged VALUES (7);
    CREATE SEQUENCE counted;
    SELECT setval('counted', 4711);
    CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM parent;
    SELECT lo_from_bytea(0, 'a large object');
"#;

/// All of it, as text.
const SEEN: &str = r#"
    SELECT concat_ws('|', (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM "Other schema"."a	tab" t),
        (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM every_type t), (SELECT count(*) FROM nothing),
        (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM ONLY parent t), (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM child t),
        (SELECT string_agg(t.tableoid::regclass || t::text, ' ' ORDER BY t::text) FROM split t), (SELECT sum(id) FROM unlogged),
        (SELECT last_value FROM counted), (SELECT count FROM seen), (SELECT string_agg(convert_from(data, 'UTF8'), '') FROM pg_largeobject))"#;

#[tokio::test]
async fn tables_of_every_shape_come_back_as_they_were() {
    let place = Place::new().await;
    let client = place.database.superuser().await;
    client.batch_execute(TABLES).await.unwrap();
    let seen = async |client: &tokio_postgres::Client| -> String {
        client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
        client.query_one(SEEN, &[]).await.unwrap().get(0)
    };
    let (before, all) = (seen(&client).await, contents(&client).await);
    assert!(
        before.contains("a large object") && before.contains("split_1_x") && before.contains("4711"),
        "{before}"
    );
    // With a drill.
    let made = place.ops.expect(0, &["backup", "create", "--json"]).json();
    let name = made["backup"]["backup"].as_str().unwrap();
    let shown = place.ops.expect(0, &["backup", "show", name, "--json"]).json();
    let tables = shown["manifest"]["tables"].as_array().unwrap();
    let format = |name: &str| {
        let table = tables.iter().find(|table| table["name"] == name);
        table.unwrap_or_else(|| panic!("{name} is not in {tables:?}"))["format"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for binary in [
        "public.every_type",
        "public.nothing",
        "public.split",
        "public.cards",
        "public.activity_stream",
    ] {
        assert_eq!(format(binary), "binary", "{binary}");
    }
    // Oids of types and tables mean nothing to another database.
    assert_eq!(format("\"Other schema\".\"a\ttab\""), "text");
    let beside = format!("{}_b", place.database.name());
    place.ops.expect(0, &["restore", name, "--into", &beside]);
    let other = place.other(&beside).await;
    assert_eq!(seen(&other).await, before);
    assert_eq!(contents(&other).await, all);
    drop(other);
    client
        .batch_execute(&format!("DROP DATABASE {beside} WITH (FORCE)"))
        .await
        .unwrap();
}

/// Of three hundred domains.
#[tokio::test]
async fn for_one_domain_little_else_is_read() {
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    everything(&world, ACME).await;
    world
        .client()
        .batch_execute(
            "INSERT INTO domains (id, slug, name) SELECT gen_random_uuid(), 'many-' || n, 'Many' FROM generate_series(1, 298) n;
             CREATE TABLE notes (domain_id uuid NOT NULL REFERENCES domains (id), number int, note text, PRIMARY KEY (domain_id, number));
             GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO plinth_system;
             INSERT INTO notes SELECT id, n, (SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 20) WHERE n > 0)
               FROM domains, generate_series(1, 100) n;",
        )
        .await
        .unwrap();
    let acme = world.domain(ACME).await;
    let before = rows(&world, acme).await;
    let notes: i64 = count(world.client(), &acme.to_string()).await;
    let name = place.back_up();
    world
        .client()
        .execute("DELETE FROM notes WHERE domain_id = $1 AND number > 10", &[&acme])
        .await
        .unwrap();
    let arguments = [
        "domain",
        "export",
        ACME,
        "--from-backup",
        &name,
        "--to",
        "a.tar",
        "--json",
    ];
    let exported = place.ops.expect(0, &arguments).json();
    let number = |at: usize| exported["exported"]["read"][at].as_u64().unwrap();
    let (read, of) = (number(0), number(1));
    assert!(
        of > 8_000_000 && read > 10_000 && read * 25 < of,
        "read {read} of {of}"
    );
    let arguments = [
        "domain",
        "restore",
        ACME,
        "--from-backup",
        &name,
        "--replace",
        "--yes",
    ];
    place.ops.expect(0, &arguments);
    assert_eq!(rows(&world, acme).await, before);
    assert_eq!(count(world.client(), &acme.to_string()).await, notes);
}

async fn count(client: &tokio_postgres::Client, domain: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM notes WHERE domain_id = '{domain}'");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn encrypted_one_domain_is_taken_out_with_the_identity_alone() {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    for slug in [ACME, GLOBEX] {
        everything(&world, slug).await;
    }
    let acme = world.domain(ACME).await;
    let before = rows(&world, acme).await;
    let Place { database, ops, store } = place;
    let ops = ops.with("PLINTH_BACKUP_RECIPIENTS", &identity.to_public().to_string());
    let place = Place { database, ops, store };
    let name = place.back_up();
    world
        .client()
        .execute("DELETE FROM card_tags WHERE domain_id = $1", &[&acme])
        .await
        .unwrap();
    let restore = [
        "domain",
        "restore",
        ACME,
        "--from-backup",
        &name,
        "--replace",
        "--yes",
    ];
    place.ops.expect(78, &restore);
    let Place { database, ops, store } = place;
    let file = store.path().join("identity");
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    let ops = ops.with("PLINTH_BACKUP_IDENTITY_FILE", file.to_str().unwrap());
    ops.expect(0, &restore);
    assert_eq!(rows(&world, acme).await, before);
    drop(database);
}

/// As `docs/BACKUPS.md` has it: pg_restore, an unpacker, `COPY`.
#[tokio::test]
async fn by_hand_without_plinth() {
    let place = Place::new().await;
    let client = place.database.superuser().await;
    client.batch_execute(TABLES).await.unwrap();
    let before = contents(&client).await;
    let folder = place.store.path().join(place.back_up());
    let beside = format!("{}_hand", place.database.name());
    client
        .batch_execute(&format!("CREATE DATABASE {beside} TEMPLATE template0"))
        .await
        .unwrap();
    let unpack = |bytes: &[u8]| {
        let mut plain = Vec::new();
        zstd::Decoder::new(bytes)
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap();
        plain
    };
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let address = place.database.address();
    let run = |program: &str, arguments: &[&str], input: &[u8]| {
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--host", &address.host, "--port", &address.port.to_string()])
            .args(["--username", &address.user, "--dbname", &beside])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        assert!(child.wait().unwrap().success(), "{program} {arguments:?}");
    };
    let schema = folder.join("schema.dump");
    std::fs::write(&schema, unpack(&file("database.0001.dump.zst"))).unwrap();
    let schema = schema.to_str().unwrap();
    run(
        "pg_restore",
        &["--exit-on-error", "--section=pre-data", "--section=data", schema],
        b"",
    );
    let rows = file("rows.0001.copy.zst");
    for line in String::from_utf8(unpack(&file("index.0001.tsv.zst")))
        .unwrap()
        .lines()
    {
        let fields: Vec<&str> = line.split('\t').collect();
        let (offset, length): (usize, usize) = (fields[1].parse().unwrap(), fields[2].parse().unwrap());
        let statement = fields[0].replace("\\t", "\t");
        run(
            "psql",
            &["--no-psqlrc", "--quiet", "--command", &statement],
            &unpack(&rows[offset..offset + length]),
        );
    }
    run(
        "pg_restore",
        &["--exit-on-error", "--section=post-data", schema],
        b"",
    );
    let other = place.other(&beside).await;
    assert_eq!(contents(&other).await, before);
    drop(other);
    client
        .batch_execute(&format!("DROP DATABASE {beside} WITH (FORCE)"))
        .await
        .unwrap();
}
