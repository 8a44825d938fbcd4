//! What is refused, and what is not said.

use pg_catalog::{Catalog, Hints, Plan, PlanError, PlanOptions, Rename};

use super::proof::{base, read};
use crate::support::{Database, connect};

async fn schemas(sql: &str) -> (Catalog, Catalog) {
    let base = base().await;
    let other = Database::copy(&base).await;
    other.run(sql).await;
    let client = connect(&base.name).await;
    let have = read(&client).await;
    (have, read(&connect(&other.name).await).await)
}

fn plan(have: &Catalog, want: &Catalog) -> Result<Plan, PlanError> {
    Plan::new(have, want, &Hints::default(), &PlanOptions::default())
}

#[tokio::test]
async fn nothing_to_do() {
    let (have, want) = schemas("").await;
    assert!(plan(&have, &want).unwrap().is_empty());
}

#[tokio::test]
async fn every_loss_is_listed() {
    let (have, want) = schemas(
        "DROP TABLE app.lonely; ALTER TABLE app.people DROP COLUMN nick; ALTER TABLE app.orders ALTER COLUMN person_id TYPE integer",
    )
    .await;
    let error = plan(&have, &want).unwrap_err().to_string();
    for text in [
        "table app.lonely: the rows of app.lonely (renamed? say table:app.lonely=…)",
        "column app.people.nick: the values of app.people.nick (renamed? say column:app.people.nick=…)",
        "column app.orders.person_id: what app.orders.person_id holds and integer cannot",
    ] {
        assert!(error.contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_column_needs_a_value() {
    let (have, want) =
        schemas("TRUNCATE app.lonely; ALTER TABLE app.lonely ADD COLUMN c integer NOT NULL").await;
    let error = plan(&have, &want).unwrap_err();
    assert!(
        matches!(&error, PlanError::NoDefault { column } if column == "app.lonely.c"),
        "{error}"
    );
    assert!(error.to_string().contains("DEFAULT"), "{error}");
}

#[tokio::test]
async fn a_column_needs_a_value_of_its_new_type() {
    let (have, want) = schemas(
        "TRUNCATE app.lonely; ALTER TABLE app.lonely DROP COLUMN a; ALTER TABLE app.lonely ADD COLUMN a uuid NOT NULL",
    )
    .await;
    let options = PlanOptions {
        allow_destructive: true,
        ..PlanOptions::default()
    };
    let error = Plan::new(&have, &want, &Hints::default(), &options).unwrap_err();
    assert!(
        matches!(&error, PlanError::NoCast { column, .. } if column == "app.lonely.a"),
        "{error}"
    );
    assert!(
        error.to_string().contains("no cast leads from integer to uuid"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_named() {
    let (have, want) = schemas(
        "DROP TABLE app.logs; CREATE TABLE app.logs (id bigint NOT NULL, at date NOT NULL, line text) PARTITION BY LIST (at);
         CREATE TABLE app.logs_2026 PARTITION OF app.logs DEFAULT",
    )
    .await;
    let error = plan(&have, &want).unwrap_err().to_string();
    assert!(error.contains("table app.logs cannot be changed"), "{error}");
    let (have, want) = schemas("CREATE PUBLICATION all_of_it").await;
    let error = plan(&have, &want).unwrap_err().to_string();
    assert!(
        error.contains("publication all_of_it cannot be changed"),
        "{error}"
    );
}

#[tokio::test]
async fn hints_must_fit() {
    let (have, want) = schemas("ALTER TABLE app.people RENAME COLUMN nick TO nickname").await;
    let check = |text: &str| {
        let rename: Rename = text.parse().unwrap();
        Hints {
            renames: vec![rename],
        }
        .check(&have, &want)
        .map_err(|error| error.to_string())
    };
    check("column:app.people.nick=nickname").unwrap();
    for (text, why) in [
        ("column:app.people.nix=nickname", "there is nothing of that name"),
        ("column:app.people.nick=age", "the new name is taken"),
        (
            "column:app.people.nick=other",
            "the desired schema has nothing of the new name",
        ),
        ("table:app.nobody=app.people", "there is nothing of that name"),
        ("value:app.status.late=done", "there is nothing of that name"),
    ] {
        let error = check(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    for nonsense in [
        "",
        "table",
        "table:app.a",
        "table:a=b",
        "column:app.a=b",
        "thing:app.a=b",
        "index:app.a=other.b",
    ] {
        assert!(nonsense.parse::<Rename>().is_err(), "{nonsense}");
    }
    // Who did not read the schema after the renames is told.
    let hints = Hints {
        renames: vec!["column:app.people.nick=nickname".parse().unwrap()],
    };
    let error = Plan::new(&have, &want, &hints, &PlanOptions::default()).unwrap_err();
    assert!(error.to_string().contains("read after the renames"), "{error}");
}

#[tokio::test]
async fn offline_is_one_transaction() {
    let (have, want) = schemas(
        "CREATE INDEX a ON app.items (price); ALTER TABLE app.lonely ALTER COLUMN a SET NOT NULL;
         ALTER TABLE app.lonely ADD UNIQUE (a); ALTER TABLE app.people ADD COLUMN t uuid NOT NULL DEFAULT gen_random_uuid()",
    )
    .await;
    let options = PlanOptions {
        online: false,
        ..PlanOptions::default()
    };
    let plan = Plan::new(&have, &want, &Hints::default(), &options).unwrap();
    assert_eq!(plan.parts.len(), 1);
    assert!(plan.parts[0].transactional);
    let sql = plan.parts[0].up_sql();
    assert!(
        !sql.contains("CONCURRENTLY") && !sql.contains("NOT VALID"),
        "{sql}"
    );
}

#[tokio::test]
async fn each_batch_of_a_backfill_begins_as_told() {
    let change = "ALTER TABLE app.people ADD COLUMN t uuid NOT NULL DEFAULT gen_random_uuid()";
    let base = base().await;
    // A plain owner, whom FORCE holds, so that it sees no row of its own table.
    base.run(
        "ALTER TABLE app.people OWNER TO pgc_other; GRANT ALL ON app.people TO pgc_app; GRANT USAGE ON SCHEMA app TO pgc_other;
         ALTER TABLE app.people ENABLE ROW LEVEL SECURITY; ALTER TABLE app.people FORCE ROW LEVEL SECURITY;
         CREATE POLICY every ON app.people TO pgc_app USING (true) WITH CHECK (true)",
    )
    .await;
    let other = Database::copy(&base).await;
    other.run(change).await;
    let client = connect(&base.name).await;
    let (have, want) = (read(&client).await, read(&connect(&other.name).await).await);
    let options = PlanOptions {
        backfill_prelude: vec![
            "SET LOCAL ROLE pgc_app".into(),
            "SET LOCAL row_security = on".into(),
        ],
        ..PlanOptions::default()
    };
    let plan = Plan::new(&have, &want, &Hints::default(), &options).unwrap();
    let part = plan.parts.iter().find(|part| !part.transactional).unwrap();
    assert!(part.down.is_empty());
    assert_eq!(part.down_sql(), "-- Nothing to undo.\n");
    let begins = "    LOOP\n        SET LOCAL ROLE pgc_app;\n        SET LOCAL row_security = on;\n        UPDATE ONLY app.people SET t";
    assert!(part.up[0].sql.contains(begins), "{}", part.up[0].sql);

    let as_superuser = connect(&base.name).await;
    let untold = Plan::new(&have, &want, &Hints::default(), &PlanOptions::default()).unwrap();
    client
        .batch_execute(&format!("SET ROLE pgc_other; {}", plan.parts[0].up_sql()))
        .await
        .unwrap();
    for (plan, expected) in [(&untold, 0), (&plan, 50)] {
        client.batch_execute(&plan.parts[1].up_sql()).await.unwrap();
        let count = "SELECT count(*) FROM app.people WHERE t IS NOT NULL";
        let filled: i64 = as_superuser.query_one(count, &[]).await.unwrap().get(0);
        assert_eq!(filled, expected);
    }
}
