//! The five systems' environments start the real program, as their documents give them: only the port is the test's.
//!
//! Each gets a PostgreSQL of its own that listens as theirs does, on TCP, and asks for the password; in it a database of the
//! example's name, whose owner may make roles.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use local_postgres::LocalPostgres;
use serde_json::json;
use tempfile::TempDir;
use test_support::{Actor, PASSWORD, disposable};
use tokio_postgres::{Client, NoTls};

use crate::app::make;
use crate::process::{Program, Running};
use crate::setup::{SETUP, TOKEN, owner};

/// The port in the examples.
const THEIR_PORT: &str = "5432";

#[tokio::test]
async fn deploystack() {
    let system = System::start("deploystack", "your_user", "your_password", "host").await;
    // As its manual has it, comment included.
    let file = "POSTGRES_HOST=localhost
POSTGRES_PORT=5432
POSTGRES_DATABASE=deploystack
POSTGRES_USER=your_user
POSTGRES_PASSWORD=your_password
POSTGRES_SSL=false  # Set to 'true' for SSL connections
";
    fs::write(system.here().join(".env"), system.on_our_port(file)).unwrap();
    system.serves("").await;
}

#[tokio::test]
async fn takaro() {
    let system = System::start("takaro", "takaro", "takaro-dev", "host").await;
    let lines = "POSTGRES_USER=takaro
POSTGRES_PASSWORD=takaro-dev
POSTGRES_DB=takaro
POSTGRES_HOST=127.0.0.1
POSTGRES_PORT=5432
POSTGRES_ENCRYPTION_KEY=a key of at least thirty-two bytes
JWT_SECRET=not ours";
    system.serves(lines).await;
    assert!(
        !system.here().join("persistent_data/encryption.key").exists(),
        "a key was made though one was given"
    );
}

#[tokio::test]
async fn kaimu() {
    let system = System::start("kaimu", "kaimu", "007", "host").await;
    let lines = "DBHOST=localhost
DBNAME=kaimu
DBUSERNAME=kaimu
DBPASSWORD=007
DBPORT=5432
DBSSL=disable";
    system.serves(lines).await;
}

#[tokio::test]
async fn alkemio() {
    let system = System::start("alkemio", "synapse", "synapse", "host").await;
    let lines = "DATABASE_TYPE=postgres
DATABASE_HOST=localhost
DATABASE_PORT=5432
DATABASE_USERNAME=synapse
DATABASE_PASSWORD=synapse
DATABASE_NAME=alkemio";
    system.serves(lines).await;
}

/// `DATABASE_SSL=true`: the server lets nobody in who comes without TLS.
#[tokio::test]
async fn infra0() {
    let system = System::start("infra0", "user", "password", "hostssl").await;
    let lines = "DATABASE_URL=postgresql://user:password@localhost:5432/infra0
DATABASE_SSL=true
DATABASE_POOL_SIZE=20";
    system.serves(lines).await;
}

#[test]
fn two_spellings_that_contradict_each_other_are_both_named() {
    let directory = tempfile::tempdir().unwrap();
    let said = Program::new(directory.path())
        .with("DBHOST", "one.example.com")
        .with("POSTGRES_HOST", "other.example.com")
        .with("DBUSERNAME", "kaimu")
        .refuses_with(78);
    for part in ["DBHOST", "one.example.com", "POSTGRES_HOST", "other.example.com"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// One of the systems' database servers, and a place for Plinth to run in.
struct System {
    database: &'static str,
    postgres: LocalPostgres,
    directory: TempDir,
}

impl System {
    /// `connections` is the kind that `pg_hba.conf` lets in: `host` all, `hostssl` those with TLS.
    async fn start(database: &'static str, user: &str, password: &str, connections: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server may run as another user, who has to get there.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(directory.path().join("plinth")).unwrap();
        let state = directory.path().join("state");
        let postgres = std::thread::spawn(move || listen_on_tcp(&state)).join().unwrap();
        let system = Self {
            database,
            postgres,
            directory,
        };
        system.let_in(connections).await;
        let admin = system.admin("postgres").await;
        for statement in [
            format!("CREATE ROLE \"{user}\" LOGIN CREATEROLE PASSWORD '{password}'"),
            format!("CREATE DATABASE {database} OWNER \"{user}\""),
        ] {
            admin.batch_execute(&statement).await.unwrap();
        }
        system
    }

    /// Nobody but the test comes in without a password, and the server has a certificate.
    async fn let_in(&self, connections: &str) {
        let data = self.postgres.data_dir();
        let server = fs::metadata(data).unwrap();
        let write = |name: &str, text: &str| {
            let path = data.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&path, Some(server.uid()), Some(server.gid())).unwrap();
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write("server.crt", &made.cert.pem());
        write("server.key", &made.signing_key.serialize_pem());
        write(
            "pg_hba.conf",
            &format!("local all plinth trust\n{connections} all all all scram-sha-256\n"),
        );
        let admin = self.admin("postgres").await;
        admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let started = Instant::now();
        // Who connects after the server has read them gets the new settings.
        while setting(&self.admin("postgres").await, "ssl").await != "on" {
            assert!(started.elapsed() < Duration::from_secs(10), "no TLS");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The server's superuser, over its Unix socket.
    async fn admin(&self, database: &str) -> Client {
        let address = self.postgres.address();
        let text = format!(
            "host={} port={} user={} dbname={database}",
            address.socket_dir.display(),
            address.port,
            address.user
        );
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Where the program runs.
    fn here(&self) -> std::path::PathBuf {
        self.directory.path().join("plinth")
    }

    fn on_our_port(&self, example: &str) -> String {
        let adapted = example.replace(THEIR_PORT, &self.postgres.address().port.to_string());
        // Kaimu's password and the like stay as they are.
        assert_eq!(adapted.lines().count(), example.lines().count());
        assert_ne!(adapted, example, "the example names no port");
        adapted
    }

    /// The program, with these lines as its environment: it is set up, signed in to, and used.
    async fn serves(&self, lines: &str) {
        let mut program = Program::new(&self.here())
            .with("PLINTH_SETUP_TOKEN", TOKEN)
            // Asked is whether it serves, not how fast a busy machine is.
            .with("PLINTH_DATABASE_CONNECT_TIMEOUT", "30s")
            .with("PLINTH_DATABASE_ACQUIRE_TIMEOUT", "30s");
        if !lines.is_empty() {
            for line in self.on_our_port(lines).lines() {
                let (name, value) = line.split_once('=').unwrap();
                program = program.with(name, value);
            }
        }
        let running = program.serve().await;
        let stranger = running.actor();
        until(async || status(&stranger).await == [true, false], &running).await;
        let installation = json!({
            "type": "postgresql",
            "domain": {"slug": "acme", "name": "Acme"},
            "operator": {"email": "boss@acme.test", "password": PASSWORD},
        });
        let mut answer = owner(&stranger).post(SETUP, &installation).await;
        // Where it took longer than anybody waits for an answer: the same call works later, unless the first one has.
        while answer.status == 503 {
            answer = owner(&stranger).post(SETUP, &installation).await;
        }
        assert!([200, 409].contains(&answer.status.as_u16()), "{}", answer.text);
        until(async || status(&stranger).await == [true, true], &running).await;

        let sign_in = json!({"domain": "acme", "email": "boss@acme.test", "password": PASSWORD});
        let signed_in = stranger.post("/api/v1/sessions", &sign_in).await;
        let cookie = signed_in.headers["set-cookie"].to_str().unwrap().to_owned();
        signed_in.expect(201);
        let boss = stranger.with_session(cookie.split(['=', ';']).nth(1).unwrap());
        let organization = make(
            &boss,
            "/api/v1/organizations",
            json!({"slug": "ops", "name": "Ops"}),
        )
        .await;
        let below = format!("/api/v1/organizations/{organization}/projects");
        let project = make(&boss, &below, json!({"key": "OPS", "name": "Platform"})).await;
        let below = format!("/api/v1/projects/{project}/boards");
        let board = make(&boss, &below, json!({"name": "Main"})).await;
        let below = format!("/api/v1/boards/{board}/columns");
        let column = make(&boss, &below, json!({"name": "To do"})).await;
        let below = format!("/api/v1/columns/{column}/cards");
        let card = make(&boss, &below, json!({"title": "Moved in"})).await;

        // It is in their database, and requests came there under a login of the API's own.
        let admin = self.admin(self.database).await;
        let title = format!("SELECT title FROM cards WHERE id = '{card}'");
        let title: String = admin.query_one(&title, &[]).await.unwrap().get(0);
        assert_eq!(title, "Moved in");
        let logins = "SELECT DISTINCT usename::text FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'plinth-api'";
        let logins: Vec<String> = admin
            .query(logins, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert_eq!(logins, [format!("plinth_app_{}", self.database)]);
    }
}

/// A server on a free port of this machine; between finding it and listening on it somebody else may take it.
fn listen_on_tcp(state: &Path) -> LocalPostgres {
    for _attempt in 0..5 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut options = disposable(state);
        options.settings = vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), port.to_string()),
        ];
        if let Ok(server) = LocalPostgres::start(options) {
            return server;
        }
    }
    panic!("no PostgreSQL on TCP");
}

async fn setting(client: &Client, name: &str) -> String {
    client
        .query_one(&format!("SHOW {name}"), &[])
        .await
        .unwrap()
        .get(0)
}

/// What a stranger is told: configured, initialized.
async fn status(stranger: &Actor) -> [bool; 2] {
    let status = stranger.get("/api/db/status").await.expect(200);
    assert_eq!(status["dialect"], "postgresql");
    ["configured", "initialized"].map(|name| status[name].as_bool().unwrap())
}

/// Waits for it; the machine may be busy.
async fn until(condition: impl AsyncFn() -> bool, running: &Running) {
    let started = Instant::now();
    while !condition().await {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "waited in vain: {}",
            running.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
