//! A PgBouncer of a test's own, and logins for it.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use app_config::DatabaseAddress;
use secrecy::SecretString;
use tempfile::TempDir;
use test_support::{PASSWORD, TestDatabase, test_server};

/// A PgBouncer before the test server. Killed on drop.
pub struct PgBouncer {
    child: Child,
    directory: TempDir,
}

impl PgBouncer {
    /// The rules of deploy/pgbouncer/pool.ini, the given logins with their passwords, and settings over all others.
    /// `None`, with a word about it, where there is no PgBouncer.
    #[expect(
        clippy::disallowed_methods,
        reason = "how scripts/test and its tests speak to one another"
    )]
    pub fn start(users: &[(&str, &str)], settings: &[&str]) -> Option<Self> {
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
        // Whoever owns the server's socket gets to it; PgBouncer refuses root besides.
        let owner = fs::metadata(&test_server().socket_dir).unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            path
        };
        let rules = fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/pgbouncer/pool.ini"
        ))
        .unwrap();
        let pool = write("pool.ini", &rules);
        let users: String = users
            .iter()
            .map(|(user, password)| format!("\"{user}\" \"{password}\"\n"))
            .collect();
        let users = write("users.txt", &users);
        let server = test_server();
        let text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\n%include {}\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {}\nunix_socket_mode = 0777\nauth_file = {}\n{}\n",
            server.socket_dir.display(),
            server.port,
            pool.display(),
            directory.path().display(),
            users.display(),
            settings.join("\n")
        );
        let configuration = write("pgbouncer.ini", &text);
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(directory.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let mut pooler = Self {
            child: command.spawn().unwrap(),
            directory,
        };
        let started = Instant::now();
        while UnixStream::connect(pooler.directory.path().join(".s.PGSQL.6432")).is_err() {
            let ended = pooler.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < Duration::from_secs(20),
                "{ended:?} {}",
                pooler.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(pooler)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The pooled address of a database.
    pub fn address(&self, db: &TestDatabase, user: &str, password: &str) -> DatabaseAddress {
        DatabaseAddress {
            host: self.directory.path().to_string_lossy().into_owned(),
            port: 6432,
            user: user.to_owned(),
            password: Some(SecretString::from(password)),
            ..db.address()
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A login that the operator has made for the API. Roles are the whole server's, so it has the database's name.
pub struct Login {
    pub name: String,
    db: String,
}

impl Login {
    pub async fn make(db: &TestDatabase, suffix: &str, attributes: &str) -> Self {
        let name = format!("{}_{suffix}", db.name());
        let make = format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {attributes}");
        db.superuser().await.batch_execute(&make).await.unwrap();
        Self {
            name,
            db: db.name().to_owned(),
        }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let (name, db) = (self.name.clone(), self.db.clone());
        // Its privileges in the test's database go with that; roles of a disposable server may stay where this fails.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = test_server();
                let text = format!(
                    "host={} port={} dbname={db} user={}",
                    server.socket_dir.display(),
                    server.port,
                    server.user
                );
                if let Ok((client, connection)) = tokio_postgres::connect(&text, tokio_postgres::NoTls).await
                {
                    tokio::spawn(connection);
                    let clean = format!(
                        "REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}"
                    );
                    let _ = client.batch_execute(&clean).await;
                }
            });
        })
        .join();
    }
}
