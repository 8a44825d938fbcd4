//! What the commands do to a database.

use std::time::Duration;

use db_migrate::Migrator;
use test_support::{ACME, Ran, TestDatabase};
use tokio_postgres::Client;

use crate::support::{changes, seeder_on};

/// Every row that the seeder may touch, and the custom roles that it may not.
async fn rows(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "SELECT 'p ' || p::text FROM permissions p
             UNION ALL SELECT 'r ' || r::text FROM roles r
             UNION ALL SELECT 'rp ' || rp::text FROM role_permissions rp
             UNION ALL SELECT 'd ' || d::text FROM domains d
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn migrated() -> TestDatabase {
    let database = TestDatabase::empty().await;
    Migrator::new(database.owner().connector(), Duration::from_secs(60))
        .run()
        .await
        .unwrap();
    database
}

#[tokio::test]
async fn twice_gives_the_same_rows() {
    let database = migrated().await;
    let (seeder, client) = (seeder_on(&database), database.superuser().await);
    let first = changes(&seeder.expect(0, &["apply", "--json"]));
    assert!(
        first
            .iter()
            .any(|change| change["change"] == "grant" && change["role"] == "Viewer"),
        "{first:?}"
    );
    let once = rows(&client).await;
    assert!(once.iter().any(|row| row.starts_with("rp ")), "{once:?}");

    assert!(changes(&seeder.expect(0, &["apply", "--json"])).is_empty());
    assert_eq!(rows(&client).await, once);
    assert!(seeder.expect(0, &["apply"]).stdout.contains("in sync"));
}

#[tokio::test]
async fn five_at_once_give_the_same_rows_and_one_makes_them() {
    let (crowded, alone) = (migrated().await, migrated().await);
    let seeder = seeder_on(&crowded);
    let children: Vec<_> = (0..5).map(|_| seeder.spawn(&["apply", "--json"])).collect();
    let ran: Vec<Ran> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap().into())
        .collect();
    for ran in &ran {
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    assert_eq!(ran.iter().filter(|ran| !changes(ran).is_empty()).count(), 1);

    seeder_on(&alone).expect(0, &["apply"]);
    // All but the times at which the rows were made.
    let timeless = |row: &String| {
        let words = row.split([',', '"']);
        words
            .filter(|word| !word.starts_with("20"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let lists = [
        rows(&crowded.superuser().await).await,
        rows(&alone.superuser().await).await,
    ];
    let [crowded_rows, alone_rows] = lists.map(|list| list.iter().map(timeless).collect::<Vec<_>>());
    assert_eq!(crowded_rows, alone_rows);
}

#[tokio::test]
async fn roles_of_domains_are_untouched() {
    let database = TestDatabase::new().await;
    let (seeder, client) = (seeder_on(&database), database.superuser().await);
    client
        .batch_execute(&format!(
            "INSERT INTO roles (domain_id, id, name, name_key, description)
                 SELECT id, '01900000-0000-7000-8000-000000000001', 'Auditor', 'auditor', 'Ours' FROM domains WHERE slug = '{ACME}';
             INSERT INTO role_permissions (domain_id, role_id, permission)
                 SELECT id, '01900000-0000-7000-8000-000000000001', unnest(ARRAY['card:read', 'card:delete']) FROM domains WHERE slug = '{ACME}'"
        ))
        .await
        .unwrap();
    let before = rows(&client).await;
    assert!(before.iter().any(|row| row.contains("Auditor")));
    seeder.expect(0, &["check"]);
    // Something to do, so that it does not just look.
    client
        .batch_execute("UPDATE roles SET description = 'x' WHERE name = 'Viewer'")
        .await
        .unwrap();
    seeder.expect(0, &["apply"]);
    assert_eq!(rows(&client).await, before);
}

#[tokio::test]
async fn check_and_diff_name_each_difference_and_change_nothing() {
    let database = TestDatabase::new().await;
    let (seeder, client) = (seeder_on(&database), database.superuser().await);
    let good = rows(&client).await;
    let clean = seeder.expect(0, &["check"]);
    assert!(clean.stdout.contains("in sync"), "{}", clean.stdout);
    assert!(changes(&seeder.expect(0, &["diff", "--json"])).is_empty());

    client
        .batch_execute(
            "DELETE FROM role_permissions WHERE permission = 'card:read'
                 AND role_id = (SELECT id FROM roles WHERE name = 'Viewer' AND domain_id = platform_domain_id());
             INSERT INTO role_permissions (domain_id, role_id, permission)
                 SELECT domain_id, id, 'role:delete' FROM roles WHERE name = 'Editor' AND domain_id = platform_domain_id();
             UPDATE permissions SET description = 'tampered' WHERE name = 'tag:read';
             INSERT INTO permissions (name, description) VALUES ('card:explode', 'of another age')",
        )
        .await
        .unwrap();
    let tampered = rows(&client).await;
    let wanted = [
        "write permission tag:read",
        "grant card:read to Viewer",
        "revoke role:delete from Editor",
        "remove permission card:explode",
    ];
    for (code, command) in [(1, "check"), (0, "diff")] {
        let ran = seeder.expect(code, &[command]);
        let mut lines: Vec<_> = ran.stdout.lines().collect();
        lines.sort_unstable();
        let mut wanted = wanted;
        wanted.sort_unstable();
        assert_eq!(lines, wanted, "{command}");
    }
    let json = seeder.expect(1, &["check", "--json"]);
    assert_eq!(changes(&json).len(), wanted.len());
    assert!(json.stdout.contains("\"in_sync\": false"), "{}", json.stdout);
    assert_eq!(rows(&client).await, tampered, "check or diff changed something");

    let applied = seeder.expect(0, &["apply"]);
    for line in wanted {
        assert!(
            applied.stdout.lines().any(|printed| printed == line),
            "{}",
            applied.stdout
        );
    }
    assert_eq!(rows(&client).await, good);
    seeder.expect(0, &["check"]);
}
