//! A table whose rows row level security hides from `plinth_system`: nothing is exported without them, and nothing is proved to be gone
//! while they are there. For an owner that is held by policies, and for one that is not.

use test_support::{ACME, GLOBEX, TestDatabase, World};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::backup_owner::{clean, owned};
use crate::support::Ops;

/// A table that a plugin might make: no foreign key to domains, and a policy for the server's role alone; a row of the domain.
async fn hide(client: &Client, owner: &str, domain: Uuid) {
    client
        .batch_execute(&format!(
            "CREATE TABLE hidden (domain_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (domain_id, id));
             ALTER TABLE hidden OWNER TO {owner};
             ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
             CREATE POLICY tenant ON hidden TO plinth_app USING (domain_id = current_domain_id());
             GRANT SELECT, INSERT, UPDATE, DELETE ON hidden TO plinth_system;
             INSERT INTO hidden VALUES ('{domain}', gen_random_uuid())"
        ))
        .await
        .unwrap();
}

async fn count(client: &Client, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Each command refuses, names the table, and leaves everything as it is.
async fn nothing_is_done(ops: &Ops, client: &Client, archive: &str) {
    let before: i64 = count(client, "cards").await;
    for arguments in [
        &["domain", "export", GLOBEX, "--to", "second.tar"][..],
        &["domain", "copy", GLOBEX, "--as", "twin"],
        &["domain", "restore", archive, "--replace", "--yes"],
        &["domain", "copy", "--from-archive", archive, "--as", "twin"],
        &["domain", "erase", GLOBEX, "--yes"],
    ] {
        let ran = ops.run(arguments);
        // The archive is from before there was such a table.
        let other_schema = arguments.contains(&archive) && ran.code == Some(4);
        assert!(
            other_schema || (ran.code == Some(1) && ran.stderr.contains("in public.hidden:")),
            "{arguments:?}: {:?} {}",
            ran.code,
            ran.stderr
        );
    }
    assert!(!ops.directory.path().join("second.tar").exists());
    assert_eq!(count(client, "hidden").await, 1);
    assert_eq!(count(client, "cards").await, before);
    let status: String = client
        .query_one("SELECT status FROM domains WHERE slug = $1", &[&GLOBEX])
        .await
        .unwrap()
        .get(0);
    assert_eq!(status, "active");
}

const SHOWN: &str = "CREATE POLICY system ON hidden TO plinth_system USING (true) WITH CHECK (true)";

async fn hidden_and_shown(ops: &Ops, client: &Client, owner: &str) {
    let domain: Uuid = client
        .query_one("SELECT id FROM domains WHERE slug = $1", &[&GLOBEX])
        .await
        .unwrap()
        .get(0);
    ops.expect(0, &["domain", "export", GLOBEX, "--to", "first.tar"]);
    hide(client, owner, domain).await;
    nothing_is_done(ops, client, "first.tar").await;
    // A policy that takes rows away again is as bad as none.
    client
        .batch_execute(&format!(
            "{SHOWN}; CREATE POLICY less ON hidden AS RESTRICTIVE TO plinth_system USING (id IS NULL)"
        ))
        .await
        .unwrap();
    nothing_is_done(ops, client, "first.tar").await;
    client.batch_execute("DROP POLICY less ON hidden").await.unwrap();
    ops.expect(0, &["domain", "export", GLOBEX, "--to", "whole.tar"]);
    client
        .batch_execute("DROP POLICY system ON hidden")
        .await
        .unwrap();
    nothing_is_done(ops, client, "whole.tar").await;
    client.batch_execute(SHOWN).await.unwrap();
    ops.expect(0, &["domain", "copy", GLOBEX, "--as", "twin"]);
    assert_eq!(count(client, "hidden").await, 2, "it is copied");
    ops.expect(0, &["domain", "erase", "twin", "--yes"]);
    let erased = ops
        .expect(0, &["domain", "erase", GLOBEX, "--yes", "--json"])
        .json();
    assert_eq!(erased["erased"]["proof"]["left"], serde_json::json!([]));
    assert_eq!(count(client, "hidden").await, 0);
    ops.expect(0, &["domain", "restore", "whole.tar"]);
    assert_eq!(count(client, "hidden").await, 1);
}

#[tokio::test]
async fn nothing_is_lost_or_proved_for_an_owner_whom_policies_hold() {
    let (database, owner, ops) = owned().await;
    let client = database.superuser().await;
    hidden_and_shown(&ops, &client, &owner).await;
    clean(&database, &owner, &client).await;
}

#[tokio::test]
async fn nor_for_a_superuser_who_acts_as_the_role() {
    let database = TestDatabase::new().await;
    drop(database.db().await);
    let world = World::new(database.superuser().await);
    hidden_and_shown(&Ops::on(&database), world.client(), "CURRENT_USER").await;
}

/// One that no domain has rows in, but that names the domain: only the proof reads it.
#[tokio::test]
async fn a_proof_reads_no_table_that_hides_rows() {
    let (database, owner, ops) = owned().await;
    let client = database.superuser().await;
    client
        .batch_execute(&format!(
            "CREATE TABLE loose (about uuid); ALTER TABLE loose OWNER TO {owner}; ALTER TABLE loose FORCE ROW LEVEL SECURITY;
             ALTER TABLE loose ENABLE ROW LEVEL SECURITY; GRANT SELECT ON loose TO plinth_system;
             CREATE POLICY tenant ON loose TO plinth_app USING (true);
             INSERT INTO loose SELECT id FROM domains WHERE slug = '{ACME}'"
        ))
        .await
        .unwrap();
    let ran = ops.expect(1, &["domain", "erase", ACME, "--yes"]);
    assert!(
        ran.stderr.contains("in public.loose:") && ran.stdout.is_empty(),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    client
        .batch_execute("CREATE POLICY system ON loose TO plinth_system USING (true)")
        .await
        .unwrap();
    let ran = ops.expect(1, &["domain", "erase", ACME, "--yes"]);
    assert!(
        ran.stderr.contains("1 rows of public.loose, column about"),
        "{}",
        ran.stderr
    );
    client.batch_execute("DROP TABLE loose").await.unwrap();
    ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    clean(&database, &owner, &client).await;
}
