//! Restoring elsewhere: on a server that has neither the roles nor the owner, and where other databases are somebody else's.

use test_support::{KEY, World};
use tokio_postgres::Client;

use crate::backup::{cards, contents};
use crate::backup_owner::{clean, owned};
use crate::doctor_server::Server;
use crate::support::Ops;

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn server() -> Server {
    Server::start("host all all 127.0.0.1/32 trust", &[], None)
}

fn ops(server: &Server, login: &str, database: &str, store: &str) -> Ops {
    Ops::new()
        .with("DATABASE_URL", &server.tcp(login, &format!("/{database}")))
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .with("PLINTH_BACKUP_URL", store)
}

const NOT_THEIRS: &str = "SELECT coalesce(string_agg(c.oid::regclass::text || ' ' || pg_get_userbyid(c.relowner), ', '), '') FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relowner <> (SELECT datdba FROM pg_database WHERE datname = current_database())";

#[tokio::test]
async fn another_owner_missing_roles_and_a_database_of_somebody_else() {
    let (database, owner, own) = owned().await;
    let source = database.superuser().await;
    let (reader, guest) = (
        format!("{}_reader", database.name()),
        format!("{}_guest", database.name()),
    );
    source
        .batch_execute(&format!(
            "CREATE ROLE {reader} LOGIN; CREATE ROLE {guest} LOGIN; GRANT SELECT ON tags TO {reader};
             GRANT CONNECT ON DATABASE {} TO {guest}",
            database.name()
        ))
        .await
        .unwrap();
    cards(&World::new(database.superuser().await), "acme", 10).await;
    let rows = contents(&source).await;
    let store = tempfile::tempdir().unwrap();
    let at = store.path().to_str().unwrap();
    let made = own
        .with("PLINTH_BACKUP_URL", at)
        .expect(0, &["backup", "create", "--no-drill", "--json"])
        .json();
    let name = made["backup"]["backup"].as_str().unwrap().to_owned();

    let second = server();
    let admin = second.client("postgres").await;
    for sql in [
        "CREATE ROLE keeper LOGIN CREATEROLE CREATEDB",
        "CREATE ROLE somebody LOGIN",
        "CREATE DATABASE other OWNER somebody",
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
    let keeper = ops(&second, "keeper", "plinth", at);
    // A database of somebody else is not taken away, and nothing is begun.
    let ran = keeper.expect(1, &["restore", &name, "--into", "other"]);
    assert!(
        ran.stderr.contains("belongs to somebody") && ran.stderr.contains("--into"),
        "{}",
        ran.stderr
    );
    let there = text(
        &admin,
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate",
    )
    .await;
    assert_eq!(there, "other postgres");
    assert_eq!(
        text(
            &admin,
            "SELECT count(*)::text FROM pg_roles WHERE rolname ~ '^plinth'"
        )
        .await,
        "0"
    );

    let restored = keeper.expect(0, &["restore", &name, "--json"]).json();
    assert_eq!(
        restored["restored"]["not_set"],
        serde_json::json!([]),
        "{restored:#}"
    );
    assert_eq!(
        restored["restored"]["schema_not_compared"],
        serde_json::Value::Null,
        "{restored:#}"
    );
    let there = second.client("plinth").await;
    assert_eq!(contents(&there).await, rows);
    assert_eq!(
        text(
            &there,
            "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'plinth'"
        )
        .await,
        "keeper"
    );
    assert_eq!(text(&there, NOT_THEIRS).await, "");
    for role in [&reader, &guest] {
        assert_eq!(
            text(
                &there,
                &format!("SELECT rolcanlogin::text FROM pg_roles WHERE rolname = '{role}'")
            )
            .await,
            "false",
            "made, without a login"
        );
    }
    let granted = format!(
        "SELECT (has_table_privilege('{reader}', 'tags', 'SELECT') AND has_database_privilege('{guest}', 'plinth', 'CONNECT')
                 AND NOT has_database_privilege('{guest}', 'plinth', 'CREATE'))::text"
    );
    assert_eq!(text(&there, &granted).await, "true");
    // It is an installation: its new owner migrates it, works on it, and backs it up.
    drop(there);
    for arguments in [
        &["migrate", "run"][..],
        &["domain", "list"],
        &["domain", "copy", "acme", "--as", "twin"],
        &["domain", "erase", "twin", "--yes"],
    ] {
        keeper.expect(0, arguments);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    ops(&second, "keeper", "plinth", elsewhere.path().to_str().unwrap()).expect(0, &["backup", "create"]);

    // By the superuser of a third one, for nobody in particular.
    let third = server();
    ops(&third, "postgres", "plinth", at).expect(0, &["restore", &name]);
    let there = third.client("plinth").await;
    assert_eq!(contents(&there).await, rows);
    assert_eq!(text(&there, NOT_THEIRS).await, "");

    source
        .batch_execute(&format!(
            "DROP OWNED BY {reader}, {guest}; DROP ROLE {reader}, {guest}"
        ))
        .await
        .unwrap();
    clean(&database, &owner, &source).await;
}

/// A backup that a superuser made of somebody's database.
#[tokio::test]
async fn an_owner_who_is_missing_is_made_and_has_what_was_his() {
    let (database, owner, _) = owned().await;
    let source = database.superuser().await;
    let rows = contents(&source).await;
    let store = tempfile::tempdir().unwrap();
    let at = store.path().to_str().unwrap();
    let login = database.address().user;
    Ops::on(&database)
        .with("PLINTH_BACKUP_URL", at)
        .expect(0, &["backup", "create", "--no-drill"]);
    let second = server();
    let admin = second.client("postgres").await;
    // The same login as there, so that everything can be compared.
    admin
        .batch_execute(&format!(
            "CREATE ROLE {login} LOGIN SUPERUSER; CREATE ROLE keeper LOGIN CREATEROLE CREATEDB"
        ))
        .await
        .unwrap();
    let restored = ops(&second, &login, "plinth", at)
        .expect(0, &["restore", "latest", "--json"])
        .json();
    assert_eq!(
        restored["restored"]["schema_not_compared"],
        serde_json::Value::Null,
        "{restored:#}"
    );
    let there = second.client("plinth").await;
    assert_eq!(contents(&there).await, rows);
    assert_eq!(
        text(
            &there,
            "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'plinth'"
        )
        .await,
        owner
    );
    assert_eq!(text(&there, NOT_THEIRS).await, "");

    // A login that may not act as that owner has it all itself, and is told what was not compared.
    let restored = ops(&second, "keeper", "of_the_keeper", at)
        .expect(0, &["restore", "latest", "--json"])
        .json();
    assert!(
        restored["restored"]["schema_not_compared"]
            .as_str()
            .unwrap()
            .contains("the login is another"),
        "{restored:#}"
    );
    let ran = ops(&second, "keeper", "of_the_keeper", at).expect(0, &["backup", "drill"]);
    assert!(
        ran.stdout
            .contains("was not compared, because the login is another")
            && !ran.stdout.contains("so does the schema"),
        "{}",
        ran.stdout
    );
    let there = second.client("of_the_keeper").await;
    assert_eq!(text(&there, NOT_THEIRS).await, "");
    clean(&database, &owner, &source).await;
}
