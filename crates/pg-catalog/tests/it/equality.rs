//! What is equal, and what is left out.

use pg_catalog::{Catalog, OWNER, Options};

use crate::edits::{BASE, base};
use crate::support::{Database, connect, lines, make_roles, public};

/// The base with what does not depend on the rest made in another order: other OIDs, another order of rows.
fn shuffled() -> String {
    let statements: Vec<&str> = BASE.split_inclusive(";\n").collect();
    let (early, late): (Vec<&str>, Vec<&str>) = statements
        .into_iter()
        .partition(|statement| !statement.contains("app.items") && !statement.contains("app.counts"));
    // Schemas first, then the others backwards where they stand alone.
    let (schemas, early): (Vec<&str>, Vec<&str>) = early
        .into_iter()
        .partition(|statement| statement.contains("CREATE SCHEMA") || statement.contains("CREATE TYPE"));
    let (parents, alone): (Vec<&str>, Vec<&str>) = early.into_iter().partition(|statement| {
        statement.contains("app.events")
            || statement.contains("DEFAULT PRIVILEGES")
            || statement.contains("app.stamp")
    });
    let mut all: Vec<&str> = schemas;
    all.extend(alone.into_iter().rev());
    let (rest, privileges): (Vec<&str>, Vec<&str>) = parents
        .into_iter()
        .partition(|statement| !statement.contains("DEFAULT PRIVILEGES"));
    all.extend(rest);
    // Comments and views need the table, which comes first of these; policies and indexes go backwards.
    let (indexes, others): (Vec<&str>, Vec<&str>) = late
        .into_iter()
        .partition(|statement| statement.starts_with("CREATE INDEX") || statement.starts_with("GRANT"));
    all.extend(others);
    all.extend(indexes.into_iter().rev());
    all.extend(privileges);
    all.concat()
}

#[tokio::test]
async fn the_order_of_creation_does_not_matter() {
    let first = base().await.read().await;
    let second = Database::with(&shuffled()).await.read().await;
    let difference = first.diff(&second);
    assert!(difference.is_empty(), "{difference}");
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert!(first.objects().len() > 60, "{}", first.objects().len());
    // The order was another.
    assert_ne!(BASE, shuffled());
}

#[tokio::test]
async fn the_order_of_columns_is_recorded_and_not_compared() {
    let first = Database::with("CREATE TABLE t (a int, b text)")
        .await
        .read()
        .await;
    let second = Database::with("CREATE TABLE t (x int, b text); ALTER TABLE t DROP x, ADD a int")
        .await
        .read()
        .await;
    assert_eq!(lines(&first.diff(&second)), Vec::<String>::new());
    assert_eq!(first.fingerprint(), second.fingerprint());
    let names = |catalog: &Catalog| -> Vec<(String, i32)> {
        let columns = &catalog.tables[&public("t")].columns;
        columns
            .iter()
            .map(|column| (column.name.clone(), column.position))
            .collect()
    };
    assert_eq!(names(&first), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(names(&second), [("b".to_owned(), 1), ("a".to_owned(), 2)]);
}

#[tokio::test]
async fn objects_of_extensions_are_left_out() {
    let plain = Database::with("CREATE SCHEMA x").await.read().await;
    let with =
        Database::with("CREATE SCHEMA x; CREATE EXTENSION citext SCHEMA x; CREATE EXTENSION btree_gin")
            .await
            .read()
            .await;
    assert_eq!(
        lines(&plain.diff(&with)),
        ["+ extension btree_gin", "+ extension citext"]
    );
    assert!(with.functions.is_empty() && with.types.is_empty() && with.others.is_empty());
    assert_eq!(with.extensions["citext"].schema, "x");
}

#[tokio::test]
async fn what_the_options_leave_out() {
    let database = Database::with(
        "CREATE SCHEMA scratch; CREATE TABLE scratch.a (id int);
         CREATE TABLE history (version serial PRIMARY KEY, at timestamptz);
         CREATE INDEX ON history (at);
         CREATE TABLE kept (id int); CREATE SCHEMA other; CREATE TABLE other.kept (id int);",
    )
    .await;
    let client = database.client().await;
    let options = Options {
        skip_tables: vec!["history".to_owned(), "other.kept".to_owned()],
        skip_schemas: vec!["scratch".to_owned()],
        ..Options::default()
    };
    let catalog = Catalog::read(&client, &options).await.unwrap();
    let objects: Vec<String> = catalog
        .objects()
        .keys()
        .map(ToString::to_string)
        .filter(|name| !name.starts_with("grant"))
        .collect();
    assert_eq!(
        objects,
        [
            "schema other",
            "schema public",
            "table public.kept",
            "column public.kept.id"
        ]
    );
    let all = Catalog::read(&client, &Options::default()).await.unwrap();
    assert!(all.sequences.contains_key(&public("history_version_seq")));
}

#[tokio::test]
async fn owners_by_what_they_are() {
    make_roles(&["pgc_owner_one", "pgc_owner_two"]).await;
    let sql = |owner: &str| {
        format!(
            "SET ROLE {owner}; CREATE TABLE t (id int); CREATE POLICY p ON t TO {owner} USING (true); RESET ROLE;
             CREATE TABLE u (id int); GRANT SELECT ON u TO {owner}"
        )
    };
    let mut catalogs = Vec::new();
    for owner in ["pgc_owner_one", "pgc_owner_two"] {
        let database = Database::empty().await;
        let admin = connect("postgres").await;
        let name = &database.name;
        admin
            .batch_execute(&format!("ALTER DATABASE {name} OWNER TO {owner}"))
            .await
            .unwrap();
        database
            .run(&format!(
                "GRANT CREATE ON SCHEMA public TO PUBLIC; {}",
                sql(owner)
            ))
            .await;
        let client = database.client().await;
        for symbolic_owner in [false, true] {
            let options = Options {
                symbolic_owner,
                ..Options::default()
            };
            catalogs.push(Catalog::read(&client, &options).await.unwrap());
        }
    }
    let [one, one_symbolic, two, two_symbolic] = catalogs.try_into().unwrap();
    assert_eq!(
        lines(&one.diff(&two)),
        [
            "+ grant to pgc_owner_two on table public.u",
            "- grant to pgc_owner_one on table public.u",
            "~ table public.t: owner",
            "~ policy p on public.t: roles",
        ]
    );
    assert_eq!(lines(&one_symbolic.diff(&two_symbolic)), Vec::<String>::new());
    assert_eq!(one_symbolic.tables[&public("t")].owner, OWNER);
    assert_eq!(one_symbolic.tables[&public("t")].policies["p"].roles, [OWNER]);
    assert_eq!(one_symbolic.database_owner, "pgc_owner_one");
}

#[tokio::test]
async fn a_difference_for_people_and_as_json() {
    let have = Database::with(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int, name text DEFAULT 'x');
         ALTER TABLE b ADD CONSTRAINT short CHECK (length(name) < 5) NOT VALID;",
    )
    .await
    .read()
    .await;
    let want = Database::with(
        "CREATE TABLE b (id int NOT NULL, name text);
         ALTER TABLE b ADD CONSTRAINT short CHECK (length(name) < 5);
         CREATE TABLE c (id int PRIMARY KEY, b int); CREATE INDEX c_idx ON c (b);
         CREATE POLICY tenant ON c USING (true); CREATE POLICY system ON c USING (true);",
    )
    .await
    .read()
    .await;
    let difference = have.diff(&want);
    assert_eq!(
        difference.to_string(),
        "+ table public.c (2 columns, 1 constraint, 1 index, 2 policies)\n\
         - table public.a (1 column, 1 constraint)\n\
         ~ column public.b.id\n    not_null: no -> yes\n\
         ~ column public.b.name\n    default: 'x'::text -> none\n\
         ~ constraint short on public.b\n    validated: no -> yes\n"
    );
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(
        json["added"][0],
        serde_json::json!({"kind": "table", "name": "public.c"})
    );
    assert_eq!(
        json["changed"][0],
        serde_json::json!({
            "object": {"kind": "column", "relation": "public.b", "name": "id"},
            "attributes": [{"name": "not_null", "have": false, "want": true}],
        })
    );
    assert!(want.diff(&want).is_empty());
    assert_eq!(want.diff(&want).to_string(), "");
}

#[tokio::test]
async fn a_catalogue_goes_to_json_and_back() {
    let catalog = base().await.read().await;
    let json = serde_json::to_string(&catalog).unwrap();
    let back: Catalog = serde_json::from_str(&json).unwrap();
    assert_eq!(back, catalog);
    assert_eq!(back.fingerprint(), catalog.fingerprint());
    assert!(back.dependencies().0.len() > 50);
}
