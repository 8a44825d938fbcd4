//! `schema.rs` says what the migrations make. `make update` writes it anew.

use test_support::TestDatabase;

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "make update says through the environment that the file is to be written"
)]
async fn schema_rs_is_in_step_with_the_migrations() {
    let db = TestDatabase::new().await;
    let generated = test_support::schema_rs(&db.superuser().await).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.rs");
    if std::env::var_os("PLINTH_TEST_UPDATE").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == generated,
        "crates/db-core/src/schema.rs is out of step: run make update"
    );
}
