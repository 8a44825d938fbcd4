//! An owner whom row level security holds, as managed services have it: its backups are whole, or there are none.

use test_support::{TestDatabase, World};

use crate::backup::{cards, contents};
use crate::support::Ops;

/// A database of an owner that may make roles and databases, and is no superuser.
pub async fn owned() -> (TestDatabase, String, Ops) {
    let database = TestDatabase::empty().await;
    let client = database.superuser().await;
    let owner = format!("{}_owner", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {owner} LOGIN CREATEROLE CREATEDB; ALTER DATABASE {} OWNER TO {owner}; ALTER SCHEMA public OWNER TO {owner};
             GRANT plinth_app, plinth_system TO {owner} WITH ADMIN OPTION",
            database.name()
        ))
        .await
        .unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &database.url(&owner))
        .with("POSTGRES_ENCRYPTION_KEY", test_support::KEY);
    ops.expect(0, &["setup", "--demo"]);
    (database, owner, ops)
}

#[tokio::test]
async fn its_backups_have_every_row_those_of_partitions_too() {
    let (database, owner, ops) = owned().await;
    let world = World::new(database.superuser().await);
    cards(&world, "acme", 12).await;
    let activity: i64 = world
        .client()
        .query_one("SELECT count(*) FROM activity_stream", &[])
        .await
        .unwrap()
        .get(0);
    assert!(activity > 0, "there are rows in a partition");
    let before = contents(world.client()).await;
    let store = tempfile::tempdir().unwrap();
    let ops = ops.with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    let made = ops.expect(0, &["backup", "create", "--json"]).json();
    let name = made["backup"]["backup"].as_str().unwrap();
    let shown = ops.expect(0, &["backup", "show", name, "--json"]).json();
    let tables = shown["manifest"]["tables"].as_array().unwrap();
    let stream = tables
        .iter()
        .find(|table| table["name"] == "public.activity_stream");
    assert_eq!(stream.unwrap()["rows"], activity);
    let beside = format!("{}_b", database.name());
    ops.expect(0, &["restore", name, "--into", &beside]);
    let address = database.address();
    let text = format!(
        "host={} port={} dbname={beside} user={}",
        address.host, address.port, address.user
    );
    let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    assert_eq!(contents(&client).await, before);
    drop(client);

    // Somebody takes away what lets it see.
    world
        .client()
        .batch_execute(&format!("REVOKE plinth_system FROM {owner} CASCADE"))
        .await
        .unwrap();
    let ran = ops.expect(1, &["backup", "create"]);
    assert!(
        ran.stderr.contains("row level security hides rows")
            && ran.stderr.contains("public.cards")
            && ran.stderr.contains("GRANT plinth_system"),
        "{}",
        ran.stderr
    );
    let listed = ops.expect(0, &["backup", "list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    world
        .client()
        .batch_execute(&format!("DROP DATABASE {beside} WITH (FORCE)"))
        .await
        .unwrap();
    clean(&database, &owner, world.client()).await;
}

#[tokio::test]
async fn a_policy_that_hides_one_row_is_found_before_the_dump() {
    let (database, owner, ops) = owned().await;
    let client = database.superuser().await;
    let store = tempfile::tempdir().unwrap();
    let ops = ops.with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    for (break_it, mend_it) in [
        (
            "CREATE POLICY hidden ON tags AS RESTRICTIVE USING (name <> 'x')",
            "DROP POLICY hidden ON tags",
        ),
        (
            "ALTER POLICY system ON tags USING (name <> 'x')",
            "ALTER POLICY system ON tags USING (true)",
        ),
    ] {
        client.batch_execute(break_it).await.unwrap();
        let ran = ops.expect(1, &["backup", "create"]);
        assert!(ran.stderr.contains("in public.tags:"), "{}", ran.stderr);
        client.batch_execute(mend_it).await.unwrap();
    }
    ops.expect(0, &["backup", "create"]);
    clean(&database, &owner, &client).await;
}

pub async fn clean(database: &TestDatabase, owner: &str, client: &tokio_postgres::Client) {
    client
        .batch_execute(&format!(
            "ALTER DATABASE {} OWNER TO CURRENT_USER; REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP OWNED BY {owner}; DROP ROLE {owner}",
            database.name()
        ))
        .await
        .unwrap();
}
