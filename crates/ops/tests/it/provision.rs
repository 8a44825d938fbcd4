//! `plinth-ops provision`

use std::fs;

use serde_json::Value;
use test_support::{TestDatabase, test_server};
use tokio_postgres::Client;

use crate::support::Ops;

/// Roles and databases are the whole server's: names of the test's own, and gone behind it.
pub struct Place {
    pub database: TestDatabase,
    pub names: Vec<String>,
}

impl Place {
    pub async fn new(suffixes: &[&str]) -> Self {
        let database = TestDatabase::empty().await;
        let names = suffixes
            .iter()
            .map(|suffix| format!("{}_{suffix}", database.name()))
            .collect();
        Self { database, names }
    }

    pub fn ops(&self) -> Ops {
        Ops::on(&self.database)
    }

    pub async fn client(&self) -> Client {
        self.database.superuser().await
    }

    async fn inside(&self, name: &str) -> Client {
        let server = test_server().database(name);
        let text = format!(
            "host={} port={} user={} dbname={name}",
            server.host, server.port, server.user
        );
        let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    pub async fn clean(self) {
        let client = self.client().await;
        for name in &self.names {
            let _ = client
                .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
                .await;
        }
        for name in &self.names {
            let _ = client
                .batch_execute(&format!("DROP ROLE IF EXISTS \"{name}\""))
                .await;
        }
    }
}

pub fn outcomes(told: &Value) -> Vec<&str> {
    told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["outcome"].as_str().unwrap())
        .collect()
}

pub async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn made_once_and_kept_the_second_time() {
    let place = Place::new(&["kratos", "own", "hydra"]).await;
    let [kratos, owner, hydra] = [0, 1, 2].map(|index| place.names[index].clone());
    let hydra_of = format!("{hydra}={owner}");
    let arguments = [
        "provision",
        "--database",
        &kratos,
        "--database",
        &hydra_of,
        "--json",
    ];
    let dry = place
        .ops()
        .expect(0, &[&arguments[..], &["--dry-run"]].concat())
        .json();
    assert!(
        outcomes(&dry).iter().all(|outcome| *outcome == "missing"),
        "{dry:#}"
    );
    let first = place.ops().expect(0, &arguments).json();
    assert!(first["changed"].as_i64().unwrap() > 10, "{first:#}");
    assert!(
        outcomes(&first)
            .iter()
            .all(|outcome| matches!(*outcome, "done" | "kept")),
        "{first:#}"
    );
    let passwords = first["generated_passwords"].as_object().unwrap();
    assert_eq!(passwords.keys().collect::<Vec<_>>(), [&kratos, &owner]);
    let second = place.ops().expect(0, &arguments).json();
    assert!(
        outcomes(&second).iter().all(|outcome| *outcome == "kept"),
        "{second:#}"
    );
    assert_eq!(
        (&second["changed"], &second["generated_passwords"]),
        (&0.into(), &serde_json::json!({}))
    );
    let ran = place.ops().expect(0, &arguments[..5]);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);

    let client = place.client().await;
    let row = client
        .query_one(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication, rolcanlogin FROM pg_roles WHERE rolname = $1",
            &[&owner],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), (false, true), "least privilege");
    assert_eq!(
        text(
            &client,
            &format!("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = '{hydra}'")
        )
        .await,
        owner
    );
    let closed = format!("SELECT (NOT has_database_privilege('public', '{hydra}', 'CONNECT'))::text");
    assert_eq!(text(&client, &closed).await, "true");
    let set = text(
        &client,
        &format!("SELECT array_to_string(setconfig, ' ') FROM pg_db_role_setting WHERE setrole = '{owner}'::regrole"),
    )
    .await;
    for setting in [
        "log_parameter_max_length=0",
        "log_parameter_max_length_on_error=0",
        "log_error_verbosity=terse",
    ] {
        assert!(set.contains(setting), "{set}");
    }
    place.clean().await;
}

#[tokio::test]
async fn a_file_with_everything() {
    let place = Place::new(&["synapse", "plinth"]).await;
    let [synapse, plinth] = [0, 1].map(|index| place.names[index].clone());
    let ops = place.ops();
    let secret = "a password out of a file";
    fs::write(ops.directory.path().join("secret"), format!("{secret}\n")).unwrap();
    fs::write(
        ops.directory.path().join("provision.toml"),
        format!(
            "[[database]]\nname = '{synapse}'\nc_collation = true\nconnection_limit = 20\npassword_file = 'secret'\n\
             [[database]]\nname = '{plinth}'\nextensions = ['pgcrypto', 'uuid-ossp']\ncreate_roles = true\ncreate_databases = true\n"
        ),
    )
    .unwrap();
    let ran = ops.expect(0, &["provision", "--file", "provision.toml"]);
    assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret));
    assert!(
        ran.stdout
            .contains(&format!("Password of {plinth}, shown this once: ")),
        "{}",
        ran.stdout
    );
    assert!(
        !ran.stdout.contains(&format!("Password of {synapse}")),
        "{}",
        ran.stdout
    );
    let client = place.client().await;
    let sql = format!(
        "SELECT concat_ws(' ', datcollate, datctype, pg_encoding_to_char(encoding), datconnlimit) FROM pg_database WHERE datname = '{synapse}'"
    );
    assert_eq!(text(&client, &sql).await, "C C UTF8 20");
    let sql = format!(
        "SELECT concat_ws(' ', rolcreaterole, rolcreatedb, rolsuper) FROM pg_roles WHERE rolname = '{plinth}'"
    );
    assert_eq!(text(&client, &sql).await, "t t f");
    let inside = place.inside(&plinth).await;
    assert_eq!(
        text(
            &inside,
            "SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'"
        )
        .await,
        "pgcrypto uuid-ossp"
    );
    drop(inside);
    let verifier = text(
        &client,
        &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{synapse}'"),
    )
    .await;
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    // The same password again changes nothing, another one does.
    let again = ops
        .expect(0, &["provision", "--file", "provision.toml", "--json"])
        .json();
    assert_eq!(again["changed"], 0, "{again:#}");
    fs::write(ops.directory.path().join("secret"), "another password of a file").unwrap();
    let again = ops
        .expect(0, &["provision", "--file", "provision.toml", "--json"])
        .json();
    assert_eq!(again["changed"], 1, "{again:#}");
    assert_ne!(
        text(
            &client,
            &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{synapse}'")
        )
        .await,
        verifier
    );
    // What Plinth needs is there: its own migrations run as that owner.
    client
        .batch_execute(&format!(
            "GRANT plinth_app, plinth_system TO \"{plinth}\" WITH ADMIN OPTION"
        ))
        .await
        .unwrap();
    let address = place.database.address();
    let url = format!(
        "postgresql://{plinth}@/{plinth}?host={}&port={}",
        address.host, address.port
    );
    Ops::new()
        .with("DATABASE_URL", &url)
        .expect(0, &["migrate", "run"]);
    client
        .batch_execute(&format!("DROP DATABASE \"{plinth}\" WITH (FORCE)"))
        .await
        .unwrap();
    place.clean().await;
}

#[tokio::test]
async fn what_is_different_is_named_and_left() {
    let place = Place::new(&["synapse"]).await;
    let name = place.names[0].clone();
    let client = place.client().await;
    client
        .batch_execute(&format!("CREATE ROLE {name} LOGIN SUPERUSER"))
        .await
        .unwrap();
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    let ops = place.ops();
    fs::write(
        ops.directory.path().join("wanted.toml"),
        format!("[[database]]\nname = '{name}'\nc_collation = true\n"),
    )
    .unwrap();
    let ran = ops.expect(1, &["provision", "--file", "wanted.toml"]);
    for word in [
        "DIFFERENT",
        "it has more rights than it needs: SUPERUSER",
        "NOSUPERUSER",
        "it belongs to plinth",
        "OWNER TO",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    assert!(
        ran.stderr.contains("different, and left as it is"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        text(
            &client,
            &format!("SELECT rolsuper::text FROM pg_roles WHERE rolname = '{name}'")
        )
        .await,
        "true"
    );
    place.clean().await;
}

#[tokio::test]
async fn the_script_does_the_same_and_holds_no_password() {
    let place = Place::new(&["kratos", "own"]).await;
    let [kratos, owner] = [0, 1].map(|index| place.names[index].clone());
    let of = format!("{kratos}={owner}");
    let script = Ops::new()
        .expect(0, &["provision", "--database", &of, "--print"])
        .stdout;
    assert!(
        !script.contains("SCRAM-SHA-256$") && script.contains(&format!("\\password \"{owner}\"")),
        "{script}"
    );
    let address = place.database.address();
    let psql = |password: &str| {
        let mut child = std::process::Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only"])
            .arg(format!("--set=password_{owner}={password}"))
            .env("PGHOST", &address.host)
            .env("PGPORT", address.port.to_string())
            .env("PGUSER", &address.user)
            .env("PGDATABASE", "postgres")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        String::from_utf8(output.stdout).unwrap()
    };
    psql("a-password-of-psql");
    // Again, and nothing is left for the program either.
    assert_eq!(psql("a-password-of-psql").trim(), "");
    let ops = place.ops().with(
        &format!("PROVISION_{}_PASSWORD", owner.to_uppercase()),
        "a-password-of-psql",
    );
    let told = ops.expect(0, &["provision", "--database", &of, "--json"]).json();
    assert_eq!(told["changed"], 0, "{told:#}");
    let json = Ops::new()
        .expect(0, &["provision", "--database", &of, "--print", "--json"])
        .json();
    assert_eq!(json["script"], script);
    place.clean().await;
}

#[test]
fn nonsense_is_64() {
    let ops = Ops::new();
    fs::write(
        ops.directory.path().join("bad.toml"),
        "[[database]]\nname = 'kratos'\nownr = 'x'\n",
    )
    .unwrap();
    fs::write(ops.directory.path().join("empty.toml"), "").unwrap();
    for arguments in [
        &["provision"][..],
        &["provision", "--database", "Bad Name"],
        &["provision", "--database", "a;b"],
        &["provision", "--database", "postgres"],
        &["provision", "--database", "kratos=pg_admin"],
        &["provision", "--database", "kratos", "--database", "kratos"],
        &["provision", "--database", "kratos", "--password-file", "hydra=/x"],
        &["provision", "--file", "bad.toml"],
        &["provision", "--file", "empty.toml"],
        &["provision", "--file", "not-there.toml"],
        &["provision", "--database", "kratos", "--print", "--dry-run"],
    ] {
        let ran = ops.expect(64, arguments);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
    }
}
