//! A login that may not do what a migration needs: what is missing and what gives it is said, and the schema is as before.

use test_support::{KEY, Ran};
use tokio_postgres::Client;

use crate::doctor_server::Server;
use crate::folders::Folder;
use crate::support::Ops;

const FIRST: &str = "2026-01-01-000001_first";
const SECOND: &str = "2026-01-01-000002_second";

/// A server of one's own, for roles belong to the server.
struct Place {
    server: Server,
    admin: Client,
}

impl Place {
    /// With the SQL done as the superuser.
    async fn new(sql: &[&str]) -> Self {
        let server = Server::start("host all all 127.0.0.1/32 trust", &[], None);
        let admin = server.client("postgres").await;
        let place = Self { server, admin };
        for sql in sql {
            place.does(sql).await;
        }
        place
    }

    async fn does(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    fn ops(&self, login: &str, database: &str) -> Ops {
        Ops::new()
            .with("DATABASE_URL", &self.server.tcp(login, &format!("/{database}")))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
    }

    /// Everything that a migration could have made in the database.
    async fn schema(&self, database: &str) -> Vec<String> {
        let client = self.server.client(database).await;
        let rows = client
            .query(
                "SELECT 'relation ' || c.oid::regclass::text || coalesce((SELECT string_agg(attname, ',' ORDER BY attnum)
                          FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0), '')
                   FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
                 UNION ALL SELECT 'function ' || p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
                 UNION ALL SELECT 'extension ' || extname FROM pg_extension
                 UNION ALL SELECT 'role ' || rolname FROM pg_roles ORDER BY 1",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The command fails with 1, says all of it, and changes nothing.
    async fn refuses(&self, ops: &Ops, database: &str, arguments: &[&str], wanted: &[&str]) -> Ran {
        let before = self.schema(database).await;
        let ran = ops.expect(1, arguments);
        for wanted in wanted {
            assert!(ran.stderr.contains(wanted), "{wanted:?} in {}", ran.stderr);
        }
        assert_eq!(self.schema(database).await, before, "{}", ran.stderr);
        ran
    }
}

#[tokio::test]
async fn a_login_that_may_not_create_in_the_database_or_the_schema() {
    let place = Place::new(&[
        "CREATE ROLE poor LOGIN CREATEROLE",
        "CREATE DATABASE plinth",
        "REVOKE CREATE ON DATABASE plinth FROM PUBLIC",
    ])
    .await;
    let ops = place.ops("poor", "plinth");
    let run = &["migrate", "run"];
    place
        .refuses(
            &ops,
            "plinth",
            run,
            &[
                "the extension pgcrypto is missing",
                "poor may not create in the database plinth, which belongs to postgres",
                "ALTER DATABASE plinth OWNER TO poor",
            ],
        )
        .await;
    // It makes the extensions, and they go again when the history cannot be made.
    place.does("GRANT CREATE ON DATABASE plinth TO poor").await;
    let client = place.server.client("plinth").await;
    client
        .batch_execute("ALTER SCHEMA public OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await
        .unwrap();
    place
        .refuses(
            &ops,
            "plinth",
            run,
            &[
                "migration history",
                "schema public belongs to postgres",
                "ALTER SCHEMA public OWNER TO poor",
            ],
        )
        .await;
    client
        .batch_execute("ALTER SCHEMA public OWNER TO poor")
        .await
        .unwrap();
    ops.expect(0, run);
    assert!(
        place
            .schema("plinth")
            .await
            .contains(&"extension pgcrypto".to_owned())
    );
}

#[tokio::test]
async fn a_table_of_somebody_elses() {
    let place = Place::new(&["CREATE ROLE poor LOGIN", "CREATE DATABASE plinth OWNER poor"]).await;
    let ops = place.ops("poor", "plinth");
    let client = place.server.client("plinth").await;
    client
        .batch_execute("ALTER SCHEMA public OWNER TO poor; CREATE TABLE items (id int)")
        .await
        .unwrap();
    let alter = "CREATE TABLE more ();\nALTER TABLE items ADD COLUMN name text;";
    let folder = Folder::new().with(FIRST, "CREATE TABLE mine ();", "DROP TABLE mine;");
    folder.expect(&ops, 0, &["run"]);
    let wanted = [
        "(line 2)",
        "table items belongs to postgres, and not to poor",
        "ALTER TABLE items OWNER TO poor",
    ];
    let folder = folder.with(SECOND, alter, "SELECT 1;");
    place
        .refuses(&ops, "plinth", &folder.arguments(&["run"]), &wanted)
        .await;
    // Statement by statement the first one stays, as documented.
    let folder = folder.with_stepwise(
        SECOND,
        &format!("SELECT 1;\n{}", alter.lines().last().unwrap()),
        "",
    );
    let ran = folder.expect(&ops, 1, &["run"]);
    for wanted in wanted {
        assert!(ran.stderr.contains(wanted), "{wanted:?} in {}", ran.stderr);
    }
    client
        .batch_execute("ALTER TABLE items OWNER TO poor")
        .await
        .unwrap();
    folder.expect(&ops, 0, &["run"]);
}

#[tokio::test]
async fn a_history_of_somebody_elses() {
    let place = Place::new(&[
        "CREATE ROLE poor LOGIN CREATEROLE",
        "CREATE DATABASE plinth",
        "GRANT CREATE ON DATABASE plinth TO poor",
    ])
    .await;
    place.ops("postgres", "plinth").expect(0, &["migrate", "run"]);
    let ops = place.ops("poor", "plinth");
    for command in ["run", "show", "revert"] {
        place
            .refuses(
                &ops,
                "plinth",
                &["migrate", command],
                &[
                    "table __diesel_schema_migrations belongs to postgres, and not to poor",
                    "migrate as the owner",
                ],
            )
            .await;
    }
}

#[tokio::test]
async fn roles_that_it_may_not_make_and_roles_of_another_owner() {
    let place = Place::new(&[
        "CREATE ROLE first LOGIN CREATEROLE",
        "CREATE ROLE poor LOGIN",
        "CREATE ROLE second LOGIN CREATEROLE",
        "CREATE DATABASE one OWNER first",
        "CREATE DATABASE other OWNER poor",
        "CREATE DATABASE third OWNER second",
    ])
    .await;
    for (database, owner) in [("one", "first"), ("other", "poor"), ("third", "second")] {
        let client = place.server.client(database).await;
        client
            .batch_execute(&format!("ALTER SCHEMA public OWNER TO {owner}"))
            .await
            .unwrap();
    }
    let (first, poor) = (place.ops("first", "one"), place.ops("poor", "other"));
    let run = &["migrate", "run"];
    place
        .refuses(
            &poor,
            "other",
            run,
            &[
                "2026112000000",
                "poor may not make roles, and plinth_app and plinth_system are not there",
                "`plinth-ops provision --database other=poor`",
                "CREATE ROLE plinth_app NOLOGIN; CREATE ROLE plinth_system NOLOGIN",
            ],
        )
        .await;
    first.expect(0, run);
    let grant = "GRANT plinth_app, plinth_system TO poor WITH ADMIN OPTION";
    place
        .refuses(
            &poor,
            "other",
            run,
            &[
                "the roles of this server were made by another login, and poor may not act as plinth_system",
                grant,
            ],
        )
        .await;
    place.does(grant).await;
    poor.expect(0, run);
    poor.expect(0, &["setup"]);
    // From PostgreSQL 16 on, whoever may make roles may not for that reason grant those of others.
    let version: i32 = place
        .admin
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await
        .unwrap()
        .get(0);
    let second = place.ops("second", "third");
    if version >= 160_000 {
        place
            .refuses(
                &second,
                "third",
                run,
                &["GRANT plinth_app, plinth_system TO second WITH ADMIN OPTION"],
            )
            .await;
        place
            .does("GRANT plinth_app, plinth_system TO second WITH ADMIN OPTION")
            .await;
    }
    second.expect(0, run);
    second.expect(0, &["setup"]);
}

#[tokio::test]
async fn scratch_databases_that_it_may_not_make() {
    let place = Place::new(&["CREATE ROLE poor LOGIN", "CREATE DATABASE plinth OWNER poor"]).await;
    let ops = place.ops("poor", "plinth");
    let folder = Folder::new().with(FIRST, "CREATE TABLE mine ();", "DROP TABLE mine;");
    let schema = tempfile::tempdir().unwrap();
    std::fs::write(schema.path().join("1.sql"), "CREATE TABLE other ();").unwrap();
    let schema = schema.path().to_str().unwrap();
    for command in [
        &["verify", "--all"][..],
        &["lint", "--all"],
        &["generate", "--name", "change", "--schema", schema],
    ] {
        place
            .refuses(
                &ops,
                "plinth",
                &folder.arguments(command),
                &["cannot make a database", "ALTER ROLE poor CREATEDB"],
            )
            .await;
    }
    // What needs none goes on without.
    let client = place.server.client("plinth").await;
    client
        .batch_execute(
            "ALTER SCHEMA public OWNER TO poor; CREATE EXTENSION pgcrypto; CREATE EXTENSION \"uuid-ossp\"",
        )
        .await
        .unwrap();
    folder.expect(&ops, 0, &["run"]);
}
