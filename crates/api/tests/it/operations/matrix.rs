//! Who may call what: a table in a file that people review. `make update` writes it anew.

use std::fmt::Write as _;

use db_core::rbac::SystemRole;
use test_support::{ACME, Actor};

use super::operations;
use crate::app::TestApp;

/// Columns of the table.
const ACTORS: [&str; 11] = [
    "nobody", "admin", "manager", "editor", "viewer", "custom", "none", "expired", "key", "other", "operator",
];

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "make update says through the environment that the file is to be written"
)]
async fn who_may_call_what() {
    let app = TestApp::start().await;
    let mut table = format!("{:<32}", "operation");
    for actor in ACTORS {
        let _ = write!(table, "{actor:>9}");
    }
    table = format!("{}\n", table.trim_end());
    for operation in operations() {
        let mut line = format!("{:<32}", operation.id);
        for actor in ACTORS {
            // Everybody meets a fresh fixture: what the one before deleted is there again.
            let ids = app.world.fixture(ACME).await;
            let answer = operation.call(&actor_named(&app, actor).await, &ids).await;
            assert!(
                answer.status.as_u16() < 500,
                "{} as {actor}: {}",
                operation.id,
                answer.text
            );
            let _ = write!(line, "{:>9}", answer.status.as_u16());
        }
        let _ = writeln!(table, "{line}");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/output/matrix.txt");
    if std::env::var_os("PLINTH_TEST_UPDATE").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == table,
        "crates/api/tests/output/matrix.txt is out of step: run make update\n{table}"
    );
}

async fn actor_named(app: &TestApp, name: &str) -> Actor {
    match name {
        "nobody" => app.anonymous(),
        "admin" => app.admin().await,
        "manager" => app.with_role(Some(SystemRole::Manager)).await,
        "editor" => app.with_role(Some(SystemRole::Editor)).await,
        "viewer" => app.with_role(Some(SystemRole::Viewer)).await,
        "custom" => app.with_custom_role(&["card:read", "card:create"]).await,
        "none" => app.with_role(None).await,
        "expired" => app.with_expired_role(SystemRole::Admin).await,
        "key" => app.with_api_key(&["card:read", "card:delete"]).await,
        "other" => app.other_admin().await,
        "operator" => app.operator().await,
        other => panic!("no actor {other}"),
    }
}
