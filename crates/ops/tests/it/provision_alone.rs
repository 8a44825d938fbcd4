//! `plinth-ops provision` that is killed, that waits, and that would take its own rights away.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use crate::doctor_server::Server;
use crate::provision::text;
use crate::support::{Ops, kill_9, wait_until};

fn server() -> Server {
    Server::start(
        "host all admin 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256",
        &[],
        None,
    )
}

fn ops(server: &Server) -> Ops {
    Ops::new().with("DATABASE_URL", &server.tcp("admin", "/postgres"))
}

/// The password is told before it counts: whoever kills the program has read it, and gets in with it.
#[tokio::test]
async fn a_password_that_was_made_is_known_whenever_it_is_killed() {
    let server = server();
    let client = server.client("postgres").await;
    client
        .batch_execute("CREATE ROLE admin LOGIN SUPERUSER")
        .await
        .unwrap();
    // Nobody makes a database while the template is in use.
    let busy = server.client("template1").await;
    for (json, role) in [(false, "kratos"), (true, "hydra")] {
        let mut arguments = vec!["provision", "--database", role];
        if json {
            arguments.push("--json");
        }
        let mut child = ops(&server).spawn(&arguments);
        let told: Box<dyn std::io::Read> = if json {
            Box::new(child.stderr.take().unwrap())
        } else {
            Box::new(child.stdout.take().unwrap())
        };
        let mut lines = BufReader::new(told).lines();
        let prefix = format!("Password of {role}, shown this once: ");
        let password = lines
            .find_map(|line| line.unwrap().strip_prefix(&prefix).map(ToOwned::to_owned))
            .unwrap();
        wait_until(
            &client,
            &format!("SELECT coalesce((SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = '{role}'), false)"),
        )
        .await;
        kill_9(child);
        // The second run finds it set, and it is the one that was shown.
        let variable = format!("PROVISION_{}_PASSWORD", role.to_uppercase());
        let again = ops(&server)
            .with(&variable, &password)
            .expect(0, &["provision", "--database", role, "--dry-run", "--json"])
            .json();
        let kept = again["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["what"] == "has its password" && step["outcome"] == "kept");
        assert!(kept, "{again:#}");
    }
    drop(busy);
}

#[tokio::test]
async fn another_one_is_waited_for_without_a_snapshot() {
    let server = server();
    let client = server.client("postgres").await;
    client
        .batch_execute(
            "CREATE ROLE admin LOGIN SUPERUSER; SELECT pg_advisory_lock(hashtext('plinth_provision'))",
        )
        .await
        .unwrap();
    let mut child = ops(&server).spawn(&["provision", "--database", "kratos"]);
    let watcher = server.client("postgres").await;
    wait_until(
        &watcher,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'plinth_provision' AND usename = 'admin')",
    )
    .await;
    for _ in 0..10 {
        let waits: i64 = watcher
            .query_one(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(waits, 0, "a waiter in pg_advisory_lock");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(child.try_wait().unwrap().is_none());
    client
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The only superuser of the server is told to keep its rights, and not how to lose them.
#[tokio::test]
async fn its_own_login_is_not_to_be_weakened() {
    let server = server();
    let client = server.client("postgres").await;
    client
        .batch_execute("CREATE ROLE admin LOGIN SUPERUSER; CREATE ROLE other LOGIN SUPERUSER")
        .await
        .unwrap();
    let ran = ops(&server).expect(1, &["provision", "--database", "admin", "--database", "other"]);
    assert!(
        ran.stdout.contains("it has more rights than it needs: SUPERUSER")
            && ran.stdout.contains("--database NAME=OWNER")
            && !ran.stdout.contains("ALTER ROLE \"admin\" NO"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("ALTER ROLE \"other\" NOSUPERUSER"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        text(
            &client,
            "SELECT rolsuper::text FROM pg_roles WHERE rolname = 'admin'"
        )
        .await,
        "true"
    );
}
