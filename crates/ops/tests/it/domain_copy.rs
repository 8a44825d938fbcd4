//! `plinth-ops domain copy`: everything people have made, under ids of its own.

use std::collections::BTreeSet;

use test_support::{ACME, GLOBEX};
use uuid::Uuid;

use crate::domain_fixture::Two;
use crate::setup::signs_in;

/// Every id that stands anywhere in a domain's rows.
async fn ids(two: &Two, domain: Uuid) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in two.world.tenant_tables().await {
        let sql = format!(
            "SELECT DISTINCT m[1] FROM {table} t, regexp_matches(t::text, '[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}', 'g') m
              WHERE domain_id = $1"
        );
        let rows = two.world.client().query(&sql, &[&domain]).await.unwrap();
        found.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    assert!(found.len() > 30, "{found:?}");
    found
}

#[tokio::test]
async fn nothing_of_it_leads_back_to_the_original() {
    let two = Two::new().await;
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let archive = two.export(ACME, "acme.tar");
    for (slug, arguments) in [
        (
            "twin",
            vec![
                "domain", "copy", ACME, "--as", "twin", "--name", "The twin", "--json",
            ],
        ),
        (
            "triplet",
            vec![
                "domain",
                "copy",
                "--from-archive",
                &archive,
                "--as",
                "triplet",
                "--json",
            ],
        ),
    ] {
        let copied = two.ops.expect(0, &arguments).json();
        let copied = &copied["copied"];
        let twin = two.world.domain(slug).await;
        assert_eq!(copied["domain"]["id"], twin.to_string());
        assert_eq!(two.rows(two.acme).await, rows, "the original is as it was");
        let left_out: Vec<&str> = copied["left_out"]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| table.as_str().unwrap())
            .collect();
        for table in [
            "public.sessions",
            "public.api_keys",
            "public.domain_hosts",
            "public.activity_stream",
            "public.queue_jobs",
            "public.queue_job_batch_deltas",
        ] {
            assert!(left_out.contains(&table), "{table}: {left_out:?}");
        }
        // Each table has as many rows as the original's, or is named.
        for table in two.world.tenant_tables().await {
            let count = async |domain: Uuid| -> i64 {
                let sql = format!("SELECT count(*) FROM {table} WHERE domain_id = $1");
                two.world
                    .client()
                    .query_one(&sql, &[&domain])
                    .await
                    .unwrap()
                    .get(0)
            };
            let expected = match table.as_str() {
                // That it is a copy.
                "activity_stream" => 1,
                name if left_out.contains(&format!("public.{name}").as_str()) => 0,
                _ => count(two.acme).await,
            };
            assert_eq!(count(twin).await, expected, "{table}");
        }
        // What both name is the installation's: system roles, the platform domain. Host and job ids are in neither.
        let both: BTreeSet<String> = ids(&two, two.acme)
            .await
            .intersection(&ids(&two, twin).await)
            .cloned()
            .collect();
        let platform: BTreeSet<String> = two
            .world
            .client()
            .query("SELECT id::text FROM roles WHERE domain_id = platform_domain_id() UNION SELECT platform_domain_id()::text", &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        // And what a test has written as text, with the note of which domain it is a copy.
        let text: String = two
            .world
            .client()
            .query_one(
                "SELECT $1::uuid || (SELECT string_agg(slug, ' ') FROM organizations) || (SELECT string_agg(name || name_key, ' ') FROM roles)",
                &[&two.acme],
            )
            .await
            .unwrap()
            .get(0);
        assert!(
            both.iter()
                .all(|id| platform.contains(id) || text.contains(id.as_str()))
                && both.len() > 1,
            "{both:?}"
        );
        // Accounts are copied with their passwords.
        assert!(
            signs_in(
                &two.database,
                slug,
                "operator@plinth.test",
                test_support::PASSWORD
            )
            .await
        );
        // Lists keep their order, which is that of the ids.
        let in_order: bool = two
            .world
            .client()
            .query_one(
                "SELECT array_agg(left(b.id::text, 18) ORDER BY b.id) = (SELECT array_agg(left(o.id::text, 18) ORDER BY o.id) FROM board_columns o WHERE o.domain_id = $2)
                   FROM board_columns b WHERE b.domain_id = $1",
                &[&twin, &two.acme],
            )
            .await
            .unwrap()
            .get(0);
        assert!(in_order);
        let versions: i64 = two
            .world
            .client()
            .query_one(
                "SELECT count(*) FROM cards WHERE domain_id = $1 AND substr(id::text, 15, 1) <> '7'",
                &[&twin],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(versions, 0, "UUIDv7");
        two.ops.expect(0, &["domain", "erase", slug, "--yes"]);
    }
    assert_eq!(two.rows(two.acme).await, rows);
    assert_eq!(two.others(two.acme).await, others);
}

#[tokio::test]
async fn a_slug_that_is_taken_or_no_slug_and_secrets_that_nobody_can_read_copy_nothing() {
    let two = Two::new().await;
    let client = two.world.client();
    client
        .batch_execute(
            "CREATE TABLE vault (domain_id uuid NOT NULL, id uuid NOT NULL, key_id text, secret bytea, PRIMARY KEY (domain_id, id));
             GRANT SELECT, INSERT, UPDATE, DELETE ON vault TO plinth_system",
        )
        .await
        .unwrap();
    let others = two.others(two.acme).await;
    let copy = |code: i32, original: &str, slug: &str| {
        two.ops.expect(code, &["domain", "copy", original, "--as", slug])
    };
    copy(3, ACME, GLOBEX);
    copy(3, ACME, ACME);
    copy(64, ACME, "No Slug");
    copy(64, ACME, "platform");
    copy(64, "platform", "twin");
    copy(10, "nobody", "twin");
    client
        .execute(
            "INSERT INTO vault VALUES ($1, gen_random_uuid(), 'k1', 'x')",
            &[&two.acme],
        )
        .await
        .unwrap();
    let ran = copy(1, ACME, "twin");
    assert!(ran.stderr.contains("public.vault"), "{}", ran.stderr);
    assert_eq!(two.others(two.acme).await, others);
    copy(0, GLOBEX, "twin");
}
