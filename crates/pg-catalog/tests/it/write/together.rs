//! Many edits at once, and a whole schema.

use super::proof::{Edit, base, edit, prove_way, read};
use super::{columns, combined, constraints, others, relations};
use crate::migrations;
use crate::support::{Database, connect};

/// All edits, one after another; those that no longer fit after the ones before are left out. Then the same from the last to the first.
#[tokio::test]
async fn every_edit_at_once() {
    let corpus: Vec<&[Edit]> = vec![
        columns::ADDED_AND_DROPPED,
        columns::TYPES,
        columns::ATTRIBUTES,
        constraints::CONSTRAINTS,
        constraints::INDEXES,
        relations::TABLES,
        relations::PARTITIONS,
        relations::VIEWS,
        others::TYPES,
        others::SEQUENCES,
        others::FUNCTIONS,
        others::TRIGGERS_AND_POLICIES,
        others::GRANTS,
        others::SCHEMAS_AND_EXTENSIONS,
        combined::COMBINED,
    ];
    let mut edits: Vec<&Edit> = corpus.into_iter().flatten().collect();
    assert_eq!(edits.len(), 252, "README.md says how many");
    // What drops much would leave little to change.
    edits.retain(|edit| !edit.sql.contains("DROP TABLE") && edit.renames.is_empty());
    let base = base().await;
    let together = edit("")
        .loses()
        // To a type that no cast leads to; computed of another column.
        .converts(&["app.nodes.during", "app.nodes.key"])
        // The column is dropped: its values are lost.
        .leaves(&["~ constraint orders_person_fkey on app.orders: validated"]);
    for backwards in [false, true] {
        if backwards {
            edits.reverse();
        }
        let (database, other) = (Database::copy(&base).await, Database::copy(&base).await);
        let changed = connect(&other.name).await;
        let mut done = 0;
        for edit in &edits {
            match changed.batch_execute(edit.sql).await {
                Ok(()) => done += 1,
                Err(_) => changed.batch_execute("ROLLBACK").await.unwrap(),
            }
        }
        assert!(done >= 60, "{done}");
        let client = connect(&database.name).await;
        let (have, want) = (read(&client).await, read(&changed).await);
        if let Err(error) = prove_way(&client, &have, &want, &together).await {
            panic!("{error}");
        }
    }
}

#[tokio::test]
async fn plinths_own_schema() {
    let (database, other) = (Database::empty().await, Database::empty().await);
    let (client, migrated) = (database.client().await, other.client().await);
    migrations::up(&migrated).await;
    let (have, want) = (read(&client).await, read(&migrated).await);
    let all = edit("").loses();
    prove_way(&client, &have, &want, &all).await.unwrap();
    // And away again.
    let (have, want) = (read(&migrated).await, have);
    prove_way(&migrated, &have, &want, &all).await.unwrap();
}
