//! `plinth-ops provision` by an administrator who is no superuser, as with a managed server.

use serde_json::Value;

use crate::doctor_server::Server;
use crate::provision::{Place, outcomes, text};
use crate::support::Ops;

#[tokio::test]
async fn an_administrator_who_is_no_superuser_and_a_log_without_secrets() {
    let server = Server::start(
        "host all all 127.0.0.1/32 scram-sha-256",
        &["log_statement = 'all'", "log_min_duration_statement = 0"],
        None,
    );
    let client = server.client("postgres").await;
    client
        .batch_execute("CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'administrators-secret'")
        .await
        .unwrap();
    let given = "given-to-hydra-7261";
    let ops = Ops::new()
        .with(
            "DATABASE_URL",
            &server.tcp("admin:administrators-secret", "/postgres"),
        )
        .with("PROVISION_HYDRA_PASSWORD", given);
    let arguments = [
        "provision",
        "--database",
        "kratos",
        "--database",
        "hydra",
        "--database",
        "synapse",
        "--json",
    ];
    let told = ops.expect(0, &arguments).json();
    assert!(
        outcomes(&told).contains(&"not_allowed"),
        "only a superuser sets log_parameter_max_length: {told:#}"
    );
    let made = told["generated_passwords"].as_object().unwrap().clone();
    assert_eq!(made.keys().collect::<Vec<_>>(), ["kratos", "synapse"]);
    let told = ops.expect(0, &arguments).json();
    assert_eq!(
        (&told["changed"], &told["generated_passwords"]),
        (&0.into(), &serde_json::json!({})),
        "{told:#}"
    );
    assert_eq!(
        text(
            &client,
            "SELECT datcollate::text FROM pg_database WHERE datname = 'synapse'"
        )
        .await,
        "C"
    );

    // Each gets into its own database with its password, and into no other.
    let kratos = made["kratos"].as_str().unwrap();
    let doctor = |login: &str, database: &str| {
        let url = server.tcp(login, database);
        Ops::new()
            .with("DATABASE_URL", &url)
            .run(&["doctor", "--json"])
            .json()["checks"]
            .clone()
    };
    let status = |checks: &Value, id: &str| {
        checks
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["id"] == id)
            .unwrap()["status"]
            .clone()
    };
    assert_eq!(
        status(&doctor(&format!("kratos:{kratos}"), "/kratos"), "owner.database"),
        "ok"
    );
    assert_eq!(
        status(&doctor(&format!("hydra:{given}"), "/hydra"), "owner.database"),
        "ok"
    );
    assert_eq!(
        status(&doctor(&format!("kratos:{kratos}"), "/hydra"), "owner.database"),
        "failed"
    );

    let log = server.log();
    assert!(
        log.contains("ALTER ROLE \"kratos\" PASSWORD 'SCRAM-SHA-256$"),
        "statements are logged"
    );
    for secret in made
        .values()
        .map(|password| password.as_str().unwrap())
        .chain([given])
    {
        assert!(!log.contains(secret), "a password in the server's log");
    }
}

#[tokio::test]
async fn a_login_that_may_not_fails_with_the_servers_word_and_goes_on_later() {
    let place = Place::new(&["poor", "kratos"]).await;
    let [poor, kratos] = [0, 1].map(|index| place.names[index].clone());
    let client = place.client().await;
    client
        .batch_execute(&format!("CREATE ROLE {poor} LOGIN CREATEROLE"))
        .await
        .unwrap();
    let ops = Ops::new().with("DATABASE_URL", &place.database.url(&poor));
    let ran = ops.expect(1, &["provision", "--database", &kratos]);
    assert!(
        ran.stderr.contains("permission denied to create database"),
        "{}",
        ran.stderr
    );
    // The role is made by then, and its password is shown: it is nowhere else.
    assert!(
        ran.stdout.contains(&format!("Password of {kratos}")),
        "{}",
        ran.stdout
    );
    client
        .batch_execute(&format!("ALTER ROLE {poor} CREATEDB"))
        .await
        .unwrap();
    ops.expect(0, &["provision", "--database", &kratos]);
    client
        .batch_execute(&format!("DROP DATABASE {kratos}"))
        .await
        .unwrap();
    client
        .batch_execute(&format!("DROP ROLE {kratos}; DROP ROLE {poor}"))
        .await
        .unwrap();
}
