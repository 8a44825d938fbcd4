//! Edits that somebody found to be written wrongly, beside the corpus.

use super::proof::{Edit, edit, prove};

#[tokio::test]
async fn found() {
    prove(FOUND).await;
}

const FOUND: &[Edit] = &[
    // A column of a primary key cannot be NULL: the key goes first.
    edit("ALTER TABLE app.orders DROP CONSTRAINT orders_pkey; ALTER TABLE app.orders ALTER COLUMN id DROP NOT NULL").parts(1),
    // It stands at 40.
    edit("ALTER SEQUENCE app.numbers MINVALUE 100 START WITH 100 RESTART")
        .has(&["SELECT setval('app.numbers', 100, false) FROM app.numbers WHERE last_value < 100;"]),
    edit("ALTER TABLE app.people ALTER COLUMN id SET MINVALUE 500 SET START WITH 500 RESTART").has(&["setval", "SET MINVALUE 500"]),
    // The cast takes the default along, or the new one takes its place.
    edit("ALTER TABLE app.orders ALTER COLUMN number TYPE bigint")
        .has(&["ALTER COLUMN number TYPE bigint"])
        .lacks(&["DROP DEFAULT"]),
    edit("ALTER TABLE app.people ALTER COLUMN code TYPE character varying, ALTER COLUMN code SET DEFAULT 'none'").lacks(&["DROP DEFAULT"]),
];
