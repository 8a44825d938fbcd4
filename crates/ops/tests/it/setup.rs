//! `plinth-ops setup`

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use db_core::Origin;
use db_core::models::session::SignIn;
use secrecy::SecretString;
use test_support::TestDatabase;

use crate::support::{Ops, Ran, url};

/// Whether the account can sign in.
pub async fn signs_in(database: &TestDatabase, domain: &str, email: &str, password: &str) -> bool {
    let pool = database.pool().await;
    let sign_in = SignIn {
        host: None,
        domain: Some(domain),
        email,
        password: &SecretString::from(password),
        user_agent: None,
        idle: Duration::from_secs(60),
        lifetime: Duration::from_secs(60),
    };
    pool.sign_in(&sign_in, &Origin::default()).await.is_ok()
}

#[tokio::test]
async fn once_and_not_twice() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    ops.expect(8, &["domain", "list"]);
    let flags = [
        "setup",
        "--operator-email",
        "op@example.com",
        "--domain-slug",
        "acme",
        "--domain-name",
        "Acme Ltd",
        "--json",
    ];
    let done = ops.expect(0, &flags).json();
    let password = done.get("operator_password").unwrap().as_str().unwrap();
    assert_eq!(done.get("domains").unwrap(), &serde_json::json!(["acme"]));
    assert!(signs_in(&database, "acme", "op@example.com", password).await);
    assert!(signs_in(&database, "platform", "op@example.com", password).await);

    let ran = ops.expect(3, &["setup"]);
    assert!(ran.stderr.contains("already set up"), "{}", ran.stderr);
    let list = ops.expect(0, &["domain", "list", "--json"]).json();
    let names: Vec<_> = list
        .get("domains")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d.get("name").unwrap())
        .collect();
    assert_eq!(names, ["Acme Ltd"]);

    let selection =
        std::fs::read_to_string(ops.directory.path().join("persistent_data/db.selection.json")).unwrap();
    let selection: serde_json::Value = serde_json::from_str(&selection).unwrap();
    assert_eq!(selection.get("type").unwrap(), "postgresql");
    assert_eq!(selection.get("version").unwrap(), "1.0");
}

#[tokio::test]
async fn ten_at_once_and_one_wins() {
    let database = TestDatabase::empty().await;
    let ops = Ops::new().with("DATABASE_URL", &url(&database, "plinth"));
    let children: Vec<_> = (0..10).map(|_| ops.spawn(&["setup"])).collect();
    let ran: Vec<Ran> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap().into())
        .collect();
    let with = |code| ran.iter().filter(|ran| ran.code == Some(code)).count();
    assert_eq!((with(0), with(3)), (1, 9), "{ran:#?}");
    // The key that the winner wrote is the installation's, and nobody else may read it.
    let key = ops.directory.path().join("persistent_data/encryption.key");
    assert_eq!(
        std::fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    ops.expect(0, &["domain", "create", "later", "--admin-email", "a@later.test"]);
}

#[tokio::test]
async fn the_environment_gives_the_password_and_it_is_not_printed() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database).with("PLINTH_SETUP_OPERATOR_PASSWORD", "a long passphrase");
    let ran = ops.expect(0, &["setup"]);
    assert!(!ran.stdout.contains("a long passphrase") && !ran.stderr.contains("a long passphrase"));
    assert!(signs_in(&database, "default", "admin@localhost", "a long passphrase").await);
}

#[tokio::test]
async fn the_demo_has_two_domains_and_stays_on_loopback() {
    let database = TestDatabase::empty().await;
    let exposed = Ops::on(&database).with("PLINTH_SERVER_BIND", "0.0.0.0:8080");
    let ran = exposed.expect(78, &["setup", "--demo"]);
    assert!(ran.stderr.contains("0.0.0.0:8080"), "{}", ran.stderr);

    let done = Ops::on(&database)
        .expect(0, &["setup", "--demo", "--json"])
        .json();
    assert_eq!(
        done.get("domains").unwrap(),
        &serde_json::json!(["acme", "globex"])
    );
    let password = done.get("operator_password").unwrap().as_str().unwrap();
    assert!(signs_in(&database, "globex", "admin@globex.test", password).await);
}

#[tokio::test]
async fn a_value_that_does_not_fit_leaves_nothing_behind() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    let ran = ops.expect(64, &["setup", "--domain-slug", "Not A Slug"]);
    assert!(ran.stderr.contains("domain.slug"), "{}", ran.stderr);
    ops.expect(2, &["migrate", "show"]);
    ops.expect(0, &["setup"]);
}
