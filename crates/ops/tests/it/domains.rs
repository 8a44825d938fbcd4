//! `plinth-ops domain`

use std::io::Write as _;
use std::process::Stdio;

use test_support::{ACME, GLOBEX, TestDatabase};

use crate::setup::signs_in;
use crate::support::{Ops, Ran};

#[tokio::test]
async fn a_new_domain_has_an_admin_who_signs_in() {
    let database = TestDatabase::new().await;
    let ops = Ops::on(&database);
    let made = ops
        .expect(
            0,
            &[
                "domain",
                "create",
                "initech",
                "--name",
                "Initech",
                "--admin-email",
                "Bill@Initech.test",
                "--json",
            ],
        )
        .json();
    let password = made.get("admin_password").unwrap().as_str().unwrap();
    assert!(signs_in(&database, "initech", "bill@initech.test", password).await);
    assert!(!signs_in(&database, ACME, "bill@initech.test", password).await);

    let list = ops.expect(0, &["domain", "list"]).stdout;
    for slug in [ACME, GLOBEX, "initech"] {
        assert!(
            list.lines()
                .any(|line| line.starts_with(slug) && line.contains("active")),
            "{list}"
        );
    }
    assert!(!list.contains("platform"), "{list}");

    // Noted in both streams, by nobody: it was the installation.
    let client = database.superuser().await;
    let noted: i64 = client
        .query_one(
            "SELECT count(*) FROM activity_stream a JOIN domains d ON d.slug = 'initech' AND d.id = a.target_id
              WHERE a.action = 'domain.create' AND a.user_id IS NULL AND a.domain_id IN (d.id, platform_domain_id())",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(noted, 2);
}

#[tokio::test]
async fn a_taken_slug_is_refused_and_changes_nothing() {
    let database = TestDatabase::new().await;
    let ops = Ops::on(&database);
    let before = ops.expect(0, &["domain", "list"]).stdout;
    let ran = ops.expect(3, &["domain", "create", ACME, "--admin-email", "a@acme.test"]);
    assert!(ran.stderr.contains("\"acme\""), "{}", ran.stderr);
    ops.expect(
        64,
        &["domain", "create", "platform", "--admin-email", "a@acme.test"],
    );
    ops.expect(64, &["domain", "create", "good", "--admin-email", "nobody"]);
    ops.expect(64, &["domain", "create", "good"]);
    assert_eq!(ops.expect(0, &["domain", "list"]).stdout, before);
}

#[tokio::test]
async fn the_password_may_come_from_standard_input() {
    let database = TestDatabase::new().await;
    let ops = Ops::on(&database);
    let create = |password: &str| {
        let arguments = [
            "domain",
            "create",
            "initech",
            "--admin-email",
            "a@initech.test",
            "--admin-password-file",
            "-",
        ];
        let mut child = ops
            .command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(password.as_bytes())
            .unwrap();
        Ran::from(child.wait_with_output().unwrap())
    };
    let short = create("short\n");
    assert_eq!(short.code, Some(64), "{}", short.stderr);
    let made = create("from standard input\nand no more\n");
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(!made.stdout.contains("from standard input"), "{}", made.stdout);
    assert!(signs_in(&database, "initech", "a@initech.test", "from standard input").await);
}

#[tokio::test]
async fn a_key_that_is_not_the_installations_makes_nothing() {
    let database = TestDatabase::new().await;
    let ops = Ops::on(&database);
    let other = "another-key-0123456789abcdef0123456789abcdef";
    let ran = ops.expect(
        1,
        &[
            "--set",
            &format!("security.encryption_key={other}"),
            "domain",
            "create",
            "initech",
            "--admin-email",
            "a@b.test",
        ],
    );
    assert!(
        ran.stderr.contains("not in POSTGRES_ENCRYPTION_KEY"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains(other), "{}", ran.stderr);
    assert!(!ops.expect(0, &["domain", "list"]).stdout.contains("initech"));
}
