//! Databases that belong to somebody else than the login that backs up or restores: they stay whose they were, with all that is in
//! them; and whose sessions a restore may end.

use test_support::{TestDatabase, World};
use tokio_postgres::Client;

use crate::backup::{cards, contents};
use crate::backup_owner::{clean, owned};
use crate::support::{Ops, wait_until};

/// Whose the database and everything in it is, and how many sessions it takes.
async fn owners(database: &TestDatabase) -> Vec<String> {
    let rows = database
        .superuser()
        .await
        .query(
            "SELECT format('%s %s %s %s', i.type, i.identity, pg_get_userbyid(c.relowner), NULL) FROM pg_class c
               CROSS JOIN LATERAL pg_identify_object('pg_class'::regclass, c.oid, 0) i WHERE c.relnamespace = 'public'::regnamespace
             UNION ALL SELECT format('function %s %s', p.oid::regprocedure, pg_get_userbyid(p.proowner)) FROM pg_proc p
              WHERE p.pronamespace = 'public'::regnamespace
             UNION ALL SELECT format('database %s %s', pg_get_userbyid(datdba), datconnlimit) FROM pg_database WHERE datname = current_database()
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_superuser_gives_everything_back_to_the_owner() {
    let (database, owner, own) = owned().await;
    let client = database.superuser().await;
    let name = database.name().to_owned();
    let guest = format!("{name}_guest");
    client
        .batch_execute(&format!(
            "ALTER DATABASE {name} CONNECTION LIMIT 42; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; CREATE ROLE {guest};
             GRANT CONNECT ON DATABASE {name} TO {guest};
             CREATE TABLE of_the_superuser (id int); ALTER ROLE {owner} IN DATABASE {name} SET work_mem = '5MB'"
        ))
        .await
        .unwrap();
    cards(&World::new(database.superuser().await), "acme", 10).await;
    let (before, rows) = (owners(&database).await, contents(&client).await);
    assert!(
        before
            .iter()
            .any(|line| line.contains("activity_stream_default") && line.contains(&owner)),
        "{before:?}"
    );
    let store = tempfile::tempdir().unwrap();
    let at = store.path().to_str().unwrap().to_owned();
    let superuser = Ops::on(&database).with("PLINTH_BACKUP_URL", &at);
    let own = own.with("PLINTH_BACKUP_URL", &at);
    // Made by the superuser, whose is one table, and proved by him with the schema.
    let made = superuser.expect(0, &["backup", "create", "--json"]).json();
    assert_eq!(
        made["drill"]["schema_not_compared"],
        serde_json::Value::Null,
        "{made:#}"
    );
    drop(client);
    let restored = superuser
        .expect(0, &["restore", "latest", "--force", "--drop-replaced", "--json"])
        .json();
    assert_eq!(restored["restored"]["not_set"], serde_json::json!([]));
    assert_eq!(
        restored["restored"]["schema_not_compared"],
        serde_json::Value::Null
    );
    assert_eq!(owners(&database).await, before);
    let client = database.superuser().await;
    assert_eq!(contents(&client).await, rows);
    let connects: bool = client
        .query_one(
            "SELECT has_database_privilege($1, current_database(), 'CONNECT')",
            &[&guest],
        )
        .await
        .unwrap()
        .get(0);
    assert!(connects);
    // The owner works on: it sees, changes and backs up what is its own. The superuser's table it may not read.
    own.expect(0, &["migrate", "show"]);
    client.batch_execute("DROP TABLE of_the_superuser").await.unwrap();
    own.expect(0, &["backup", "create"]);

    // Made by the owner, restored by the superuser: what was the login's becomes the owner's.
    let before = owners(&database).await;
    drop(client);
    superuser.expect(0, &["restore", "latest", "--force", "--drop-replaced"]);
    assert_eq!(owners(&database).await, before);
    own.expect(0, &["backup", "create"]);

    let client = database.superuser().await;
    client
        .batch_execute(&format!("DROP OWNED BY {guest}; DROP ROLE {guest}"))
        .await
        .unwrap();
    clean(&database, &owner, &client).await;
}

#[tokio::test]
async fn what_could_not_be_set_is_told() {
    let (database, owner, own) = owned().await;
    let client = database.superuser().await;
    // Settings of a superuser only a superuser makes.
    client
        .batch_execute(&format!(
            "ALTER ROLE CURRENT_USER IN DATABASE {} SET work_mem = '9MB'",
            database.name()
        ))
        .await
        .unwrap();
    drop(client);
    nobody_but(&owner, &database).await;
    let store = tempfile::tempdir().unwrap();
    let own = own.with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    own.expect(0, &["backup", "create", "--no-drill"]);
    let ran = own.expect(0, &["restore", "latest", "--force", "--drop-replaced"]);
    assert!(
        ran.stdout.contains("NOT SET") && ran.stdout.contains("work_mem"),
        "{}",
        ran.stdout
    );
    clean(&database, &owner, &database.superuser().await).await;
}

#[tokio::test]
async fn nobodys_session_is_ended_where_there_is_one_that_cannot_be() {
    let (database, owner, own) = owned().await;
    let store = tempfile::tempdir().unwrap();
    let own = own.with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    own.expect(0, &["backup", "create", "--no-drill"]);
    let superuser = database.superuser().await;
    let address = database.address();
    let text = format!(
        "host={} port={} dbname={} user={owner}",
        address.host,
        address.port,
        database.name()
    );
    let (mine, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let login = address.user.clone();
    let ran = own.expect(12, &["restore", "latest", "--force", "--drop-replaced"]);
    assert!(
        ran.stderr.contains("may not end") && ran.stderr.contains(&format!("as {login} (pid ")),
        "{}",
        ran.stderr
    );
    mine.batch_execute("SELECT 1").await.unwrap();
    // Without --force the superuser is named too, who hides what he does.
    let ran = own.expect(12, &["restore", "latest"]);
    assert!(
        ran.stderr.contains(&format!("as {login} (pid "))
            && ran.stderr.contains(&format!("as {owner} (pid ")),
        "{}",
        ran.stderr
    );

    // One who comes when the backup is being restored already.
    drop(superuser);
    nobody_but(&owner, &database).await;
    let other = beside().await;
    let running = own.spawn(&["restore", "latest", "--force", "--drop-replaced"]);
    wait_until(
        &other,
        &format!(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname ~ '^plinth_restore_' AND pg_get_userbyid(datdba) = '{owner}')"
        ),
    )
    .await;
    let superuser = database.superuser().await;
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(12) && said.contains("may not end"),
        "{said}"
    );
    superuser.batch_execute("SELECT 1").await.unwrap();
    mine.batch_execute("SELECT 1").await.unwrap();
    // Nothing of the restore is left.
    wait_until(
        &other,
        &format!(
            "SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname ~ '^plinth_restore_' AND pg_get_userbyid(datdba) = '{owner}')"
        ),
    )
    .await;

    // When the superuser has gone, the owner ends his own.
    drop(superuser);
    nobody_but(&owner, &database).await;
    own.expect(0, &["restore", "latest", "--force", "--drop-replaced"]);
    mine.batch_execute("SELECT 1").await.unwrap_err();
    clean(&database, &owner, &database.superuser().await).await;
}

/// A superuser's client of another database.
async fn beside() -> Client {
    let server = test_support::test_server().database("postgres");
    let text = format!(
        "host={} port={} dbname=postgres user={}",
        server.host, server.port, server.user
    );
    let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until only that login is connected.
async fn nobody_but(owner: &str, database: &TestDatabase) {
    wait_until(
        &beside().await,
        &format!(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{}' AND usename <> '{owner}')",
            database.name()
        ),
    )
    .await;
}
