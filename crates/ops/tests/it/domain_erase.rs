//! `plinth-ops domain erase`: nothing is left, and it is proved by looking everywhere.

use test_support::{ACME, GLOBEX};

use crate::domain_fixture::Two;
use crate::setup::signs_in;

#[tokio::test]
async fn no_row_is_left_anywhere_and_it_says_where_it_looked() {
    let two = Two::new().await;
    let client = two.world.client();
    // A partition besides the default one, and one that was taken out and is a table of its own now.
    client
        .batch_execute(&format!(
            "CREATE TABLE activity_stream_old PARTITION OF activity_stream
                 FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0000-7000-0000-000000000000');
             INSERT INTO activity_stream (domain_id, id, action) VALUES
                 ('{0}', '00000000-0000-6000-8000-000000000001', 'card.update'), ('{1}', '00000000-0000-6000-8000-000000000002', 'card.update')",
            two.acme, two.globex
        ))
        .await
        .unwrap();
    let others = two.others(two.acme).await;
    let ran = two.ops.expect(64, &["domain", "erase", ACME]);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    two.ops.expect(64, &["domain", "erase", "platform", "--yes"]);
    two.ops.expect(10, &["domain", "erase", "nobody", "--yes"]);
    assert!(
        signs_in(
            &two.database,
            ACME,
            "operator@plinth.test",
            test_support::PASSWORD
        )
        .await
    );

    let erased = two
        .ops
        .expect(0, &["domain", "erase", ACME, "--yes", "--json"])
        .json();
    let proof = &erased["erased"]["proof"];
    assert_eq!(proof["left"], serde_json::json!([]));
    assert!(
        proof["tables"].as_u64().unwrap() > 20
            && proof["partitions"].as_u64().unwrap() == 2
            && proof["columns"].as_u64().unwrap() > 60,
        "{proof}"
    );
    // The platform's stream says that there was such a domain, and who erased it.
    let mentions = proof["mentions"].as_array().unwrap();
    assert!(
        !mentions.is_empty() && mentions.iter().all(|one| one["column"] == "target_id"),
        "{mentions:?}"
    );
    // The test looks for itself: in every column of every table, whatever its type.
    let tables = client
        .query(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'",
            &[],
        )
        .await
        .unwrap();
    assert!(tables.len() > 25);
    for table in tables {
        let table: String = table.get(0);
        let named: i64 = client
            .query_one(
                &format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'"),
                &[&two.acme.to_string()],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(named > 0, table == "activity_stream_default", "{table}: {named}");
    }
    assert_eq!(two.others(two.acme).await, others);
    // Once more, by slug and by id, is no harm, and finds what somebody left.
    two.ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    client
        .execute(
            "INSERT INTO activity_stream (domain_id, id, action) VALUES ($1, gen_random_uuid(), 'session.create')",
            &[&two.acme],
        )
        .await
        .unwrap();
    let again = two
        .ops
        .expect(0, &["domain", "erase", &two.acme.to_string(), "--yes", "--json"])
        .json();
    assert_eq!(again["erased"]["rows"], 1);
    assert_eq!(two.others(two.acme).await, others);
    // The name is free.
    two.ops
        .expect(0, &["domain", "create", ACME, "--admin-email", "new@acme.test"]);
}

#[tokio::test]
async fn what_cannot_be_erased_leaves_the_domain_shut_and_is_named() {
    let two = Two::new().await;
    let client = two.world.client();
    // A table that plinth_system may read, and no more.
    client
        .batch_execute(&format!(
            "CREATE TABLE kept (domain_id uuid NOT NULL REFERENCES domains (id), id uuid NOT NULL, PRIMARY KEY (domain_id, id));
             INSERT INTO kept SELECT '{}', gen_random_uuid(); GRANT SELECT ON kept TO plinth_system",
            two.acme
        ))
        .await
        .unwrap();
    let others = two.others(two.acme).await;
    let ran = two.ops.expect(1, &["domain", "erase", ACME, "--yes"]);
    assert!(ran.stderr.contains("kept"), "{}", ran.stderr);
    assert!(
        !signs_in(
            &two.database,
            ACME,
            "operator@plinth.test",
            test_support::PASSWORD
        )
        .await
    );
    let list = two.ops.expect(0, &["domain", "list"]).stdout;
    assert!(
        list.lines()
            .any(|line| line.starts_with(ACME) && line.contains("erasing")),
        "{list}"
    );
    // What is half gone is nothing to export or copy.
    two.ops.expect(10, &["domain", "export", ACME]);
    two.ops.expect(10, &["domain", "copy", ACME, "--as", "twin"]);
    // A table outside of all foreign keys that has the id in another column: found by the proof alone.
    client
        .batch_execute(&format!(
            "GRANT DELETE ON kept TO plinth_system; CREATE TABLE loose (about uuid); INSERT INTO loose VALUES ('{}')",
            two.acme
        ))
        .await
        .unwrap();
    let ran = two.ops.expect(1, &["domain", "erase", ACME, "--yes"]);
    assert!(
        ran.stderr.contains("1 rows of public.loose, column about"),
        "{}",
        ran.stderr
    );
    client.batch_execute("DELETE FROM loose").await.unwrap();
    two.ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    client.batch_execute("DROP TABLE kept, loose").await.unwrap();
    let others: Vec<&str> = others.lines().filter(|line| !line.starts_with("kept ")).collect();
    assert_eq!(two.others(two.acme).await, others.join("\n"));
    assert!(two.world.domain(GLOBEX).await == two.globex);
}
