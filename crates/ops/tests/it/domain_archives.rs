//! `plinth-ops domain export`: what is in an archive, out of a backup too, and who can make and open one.

use test_support::{ACME, GLOBEX, World};

use crate::backup::{Place, cards};
use crate::backup_owner::{clean, owned};
use crate::domain_fixture::{Two, everything, others, rows};
use crate::support::Ops;

#[tokio::test]
async fn out_of_a_backup_of_everything() {
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    everything(&world, ACME).await;
    let acme = world.domain(ACME).await;
    let before = rows(&world, acme).await;
    let backup = place.back_up();
    world
        .client()
        .execute("DELETE FROM cards WHERE domain_id = $1", &[&acme])
        .await
        .unwrap();
    cards(&world, GLOBEX, 9).await;
    let untouched = others(&world, acme).await;
    place
        .ops
        .expect(10, &["domain", "export", "nobody", "--from-backup", "latest"]);
    let exported = place
        .ops
        .expect(
            0,
            &[
                "domain",
                "export",
                ACME,
                "--from-backup",
                &backup,
                "--to",
                "a.tar",
                "--json",
            ],
        )
        .json();
    assert_eq!(exported["exported"]["backup"], backup.as_str());
    place.ops.expect(
        0,
        &[
            "domain",
            "restore",
            ACME,
            "--from-backup",
            "latest",
            "--replace",
            "--yes",
        ],
    );
    assert_eq!(rows(&world, acme).await, before);
    assert_eq!(others(&world, acme).await, untouched);
}

#[tokio::test]
async fn a_table_that_nobody_knew_comes_along() {
    let two = Two::new().await;
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (domain_id uuid NOT NULL, id uuid NOT NULL, card_id uuid, parent_id uuid, seen uuid[], \"The note\" jsonb,
                 number bigint GENERATED ALWAYS AS IDENTITY, doubled bigint GENERATED ALWAYS AS (1 + 1) STORED, price numeric,
                 PRIMARY KEY (domain_id, id), FOREIGN KEY (domain_id, card_id) REFERENCES cards (domain_id, id) ON DELETE CASCADE,
                 FOREIGN KEY (domain_id, parent_id) REFERENCES {name} (domain_id, id));
             ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ALTER TABLE {name} FORCE ROW LEVEL SECURITY;
             CREATE POLICY system ON {name} TO plinth_system USING (true) WITH CHECK (true);
             GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO plinth_system;"
        )
    };
    let client = two.world.client();
    client.batch_execute(&table("odd_notes")).await.unwrap();
    for domain in [two.acme, two.globex] {
        client
            .batch_execute(&format!(
                "INSERT INTO odd_notes (domain_id, id, card_id, seen, \"The note\", price)
                 SELECT domain_id, gen_random_uuid(), id, ARRAY[id, NULL], jsonb_build_object('card', id), 1.10 FROM cards
                  WHERE domain_id = '{domain}';
                 UPDATE odd_notes n SET parent_id = (SELECT m.id FROM odd_notes m WHERE m.domain_id = n.domain_id AND m.number > n.number
                                                         ORDER BY m.number LIMIT 1)"
            ))
            .await
            .unwrap();
    }
    let (before, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    assert!(before.contains("odd_notes"), "{before}");
    let archive = two.export(ACME, "acme.tar");
    two.ops.expect(0, &["domain", "copy", ACME, "--as", "twin"]);
    let twin = two.world.domain("twin").await;
    let notes = client
        .query_one(
            "SELECT count(*), count(DISTINCT n.parent_id), bool_and(n.seen[1] = n.card_id AND n.\"The note\" ->> 'card' = n.card_id::text)
               FROM odd_notes n JOIN cards c ON c.domain_id = n.domain_id AND c.id = n.card_id WHERE n.domain_id = $1",
            &[&twin],
        )
        .await
        .unwrap();
    assert_eq!(
        (
            notes.get::<_, i64>(0),
            notes.get::<_, i64>(1),
            notes.get::<_, bool>(2)
        ),
        (22, 21, true)
    );
    two.ops.expect(0, &["domain", "erase", "twin", "--yes"]);
    two.ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    two.ops.expect(0, &["domain", "restore", &archive]);
    assert_eq!(two.rows(two.acme).await, before);
    assert_eq!(two.others(two.acme).await, others);

    // An archive does not fit a schema that is another.
    client
        .batch_execute("ALTER TABLE odd_notes DROP COLUMN seen")
        .await
        .unwrap();
    let ran = two
        .ops
        .expect(4, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(ran.stderr.contains("odd_notes"), "{}", ran.stderr);
    client.batch_execute("DROP TABLE odd_notes").await.unwrap();
    two.ops
        .expect(4, &["domain", "restore", &archive, "--replace", "--yes"]);
}

#[tokio::test]
async fn an_owner_whom_row_level_security_holds_does_the_same() {
    let (database, owner, ops) = owned().await;
    let world = World::new(database.superuser().await);
    for slug in [ACME, GLOBEX] {
        everything(&world, slug).await;
    }
    let acme = world.domain(ACME).await;
    let (before, untouched) = (rows(&world, acme).await, others(&world, acme).await);
    ops.expect(0, &["domain", "export", ACME, "--to", "acme.tar"]);
    let ran = ops
        .expect(0, &["domain", "copy", ACME, "--as", "twin", "--json"])
        .json();
    assert!(ran["copied"]["rows"].as_u64().unwrap() > 30, "{ran}");
    ops.expect(0, &["domain", "erase", "twin", "--yes"]);
    ops.expect(0, &["domain", "restore", "acme.tar", "--replace", "--yes"]);
    assert_eq!(rows(&world, acme).await, before);
    ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    assert!(rows(&world, acme).await.ends_with("no domain"));
    ops.expect(0, &["domain", "restore", "acme.tar"]);
    assert_eq!(rows(&world, acme).await, before);
    assert_eq!(others(&world, acme).await, untouched);
    clean(&database, &owner, world.client()).await;
}

#[tokio::test]
async fn encrypted_for_recipients_it_is_opened_by_their_identity_alone() {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let two = Two::new().await;
    let sealed = Ops::on(&two.database).with("PLINTH_BACKUP_RECIPIENTS", &identity.to_public().to_string());
    let before = two.rows(two.acme).await;
    sealed.expect(0, &["domain", "export", ACME, "--to", "acme.tar"]);
    let archive = sealed.directory.path().join("acme.tar");
    let bytes = std::fs::read(&archive).unwrap();
    let archive = archive.to_str().unwrap();
    let email = b"operator@plinth.test";
    assert!(!bytes.windows(email.len()).any(|window| window == email));
    let restore = ["domain", "restore", archive, "--replace", "--yes"];
    two.ops.expect(78, &restore);
    two.world
        .client()
        .execute("DELETE FROM card_tags WHERE domain_id = $1", &[&two.acme])
        .await
        .unwrap();
    let file = two.ops.directory.path().join("identity");
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    Ops::on(&two.database)
        .with("PLINTH_BACKUP_IDENTITY_FILE", file.to_str().unwrap())
        .expect(0, &restore);
    assert_eq!(two.rows(two.acme).await, before);
}
