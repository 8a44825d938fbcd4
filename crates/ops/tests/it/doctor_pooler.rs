//! `plinth-ops doctor` through a real PgBouncer. `scripts/test` names the program in `PLINTH_TEST_PGBOUNCER`; without it this says
//! that it is skipped, and fails in CI.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_support::{KEY, TestDatabase, test_server};

use crate::doctor::{Told, drop_role};
use crate::support::Ops;

const PASSWORD: &str = "pooled-password";

struct PgBouncer {
    child: Child,
    directory: TempDir,
}

impl PgBouncer {
    /// The shipped rules, and settings over them. `None` where there is no PgBouncer.
    #[expect(
        clippy::disallowed_methods,
        reason = "how scripts/test and its tests speak to one another"
    )]
    fn start(login: &str, settings: &[&str]) -> Option<Self> {
        let Some(program) = std::env::var_os("PLINTH_TEST_PGBOUNCER") else {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "PLINTH_TEST_PGBOUNCER names no PgBouncer, and CI=true allows no skipped test"
            );
            let _ = writeln!(
                std::io::stdout(),
                "SKIPPED: PLINTH_TEST_PGBOUNCER names no PgBouncer"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let owner = fs::metadata(&test_server().socket_dir).unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            path
        };
        let pool = write("pool.ini", include_str!("../../../../deploy/pgbouncer/pool.ini"));
        let users = write("users.txt", &format!("\"{login}\" \"{PASSWORD}\"\n"));
        let server = test_server();
        let configuration = write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\n%include {}\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {}\n\
                 unix_socket_mode = 0777\nauth_file = {}\n{}\n",
                server.socket_dir.display(),
                server.port,
                pool.display(),
                directory.path().display(),
                users.display(),
                settings.join("\n")
            ),
        );
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(directory.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let mut command = Command::new(program);
        command
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let pooler = Self {
            child: command.spawn().unwrap(),
            directory,
        };
        let started = Instant::now();
        while UnixStream::connect(pooler.directory.path().join(".s.PGSQL.6432")).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(pooler)
    }

    /// The owner direct, requests through it.
    fn ops(&self, database: &TestDatabase, login: &str, password: &str) -> Ops {
        let pooled = format!(
            "postgresql://{login}:{password}@/{}?host={}&port=6432",
            database.name(),
            self.directory.path().display()
        );
        Ops::new()
            .with("DATABASE_URL", &pooled)
            .with("DATABASE_DIRECT_URL", &database.url("plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn rightly_and_wrongly_set() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    let login = format!("{}_api", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}'; GRANT plinth_app TO {login};
             GRANT CONNECT ON DATABASE {} TO {login}",
            database.name()
        ))
        .await
        .unwrap();
    let open = format!("stats_users = {login}");
    let Some(right) = PgBouncer::start(&login, &[&open]) else {
        return drop_role(&client, &login).await;
    };
    let told = Told::by(&right.ops(&database, &login, PASSWORD), &[]);
    for id in [
        "pooled.login",
        "pooled.database",
        "pooled.same",
        "pooler.kind",
        "pooler.statements",
        "pooler.settings",
        "rights.app_login",
    ] {
        told.expect(id, "ok", &[]);
    }
    told.expect("pooler.kind", "ok", &["PgBouncer 1."]);
    told.expect(
        "pooler.settings",
        "ok",
        &["pool_mode transaction", "max_prepared_statements 200"],
    );
    told.expect("server.connections", "ok", &["through a pool of 30"]);

    // Its console is closed to the login: what it does is seen all the same.
    let closed = PgBouncer::start(&login, &[]).unwrap();
    let told = Told::by(&closed.ops(&database, &login, PASSWORD), &[]);
    told.expect("pooler.kind", "ok", &["stats_users"]);
    told.expect("pooler.statements", "ok", &[]);
    told.expect("pooler.settings", "skipped", &["stats_users"]);

    let told = Told::by(&right.ops(&database, &login, "wrong"), &[]);
    told.expect("pooled.login", "failed", &[]);
    told.expect("pooler.kind", "skipped", &[]);
    told.expect("schema.migrations", "ok", &[]);
    let told = Told::by(&right.ops(&database, "stranger", PASSWORD), &[]);
    told.expect("pooled.login", "failed", &[]);

    for (setting, id, status, words) in [
        (
            "max_prepared_statements = 0",
            "pooler.statements",
            "failed",
            &["max_prepared_statements = 200", "lost between"][..],
        ),
        (
            "max_prepared_statements = 0",
            "pooler.settings",
            "failed",
            &["max_prepared_statements = 0"],
        ),
        (
            "ignore_startup_parameters =",
            "pooler.settings",
            "warning",
            &["extra_float_digits"],
        ),
        (
            "pool_mode = session",
            "pooler.settings",
            "warning",
            &["pool_mode = transaction"],
        ),
    ] {
        let wrong = PgBouncer::start(&login, &[&open, setting]).unwrap();
        Told::by(&wrong.ops(&database, &login, PASSWORD), &[]).expect(id, status, words);
    }
    drop(right);
    client
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1",
            &[&login],
        )
        .await
        .unwrap();
    drop_role(&client, &login).await;
}
