//! `migrate drift`: roles, settings and the database itself, on a server of the test's own, for other tests share theirs.

use test_support::KEY;

use crate::doctor_server::Server;
use crate::support::Ops;

/// What is the operator's, and the server's own login.
const LEGITIMATE: &str = "
    CREATE ROLE plinth_app_plinth LOGIN IN ROLE plinth_app;
    ALTER ROLE plinth_app_plinth SET idle_in_transaction_session_timeout = 60000;
    ALTER ROLE plinth_app_plinth SET log_parameter_max_length_on_error = 0;
    ALTER ROLE plinth_app_plinth IN DATABASE plinth SET statement_timeout = '20s';
    ALTER ROLE postgres SET log_parameter_max_length = 0;
    ALTER DATABASE plinth SET work_mem = '8MB';
    ALTER DATABASE plinth SET search_path = '$user', public;
    ALTER ROLE ALL SET statement_timeout = '10min';
    GRANT CONNECT ON DATABASE plinth TO plinth_app_plinth;
    REVOKE CONNECT, TEMPORARY ON DATABASE plinth FROM PUBLIC;
    CREATE ROLE backups LOGIN BYPASSRLS IN ROLE plinth_system; GRANT CONNECT ON DATABASE plinth TO backups;
    CREATE ROLE elsewhere LOGIN BYPASSRLS IN ROLE plinth_app; ALTER ROLE elsewhere SET search_path = elsewhere";

/// What is not, how it is taken back, and how it is named.
const BY_HAND: [(&str, &str, &str); 13] = [
    (
        "ALTER ROLE plinth_app BYPASSRLS",
        "ALTER ROLE plinth_app NOBYPASSRLS",
        "~ role plinth_app\n    bypassrls: yes -> no",
    ),
    (
        "ALTER ROLE plinth_system LOGIN",
        "ALTER ROLE plinth_system NOLOGIN",
        "~ role plinth_system\n    login: yes -> no",
    ),
    (
        "GRANT plinth_system TO plinth_app",
        "REVOKE plinth_system FROM plinth_app",
        "~ role plinth_app\n    member of: plinth_system -> none",
    ),
    (
        "GRANT pg_read_all_data TO plinth_app_plinth",
        "REVOKE pg_read_all_data FROM plinth_app_plinth",
        "~ role plinth_app_plinth\n    member of: pg_read_all_data -> plinth_app alone",
    ),
    (
        "ALTER ROLE plinth_app_plinth BYPASSRLS",
        "ALTER ROLE plinth_app_plinth NOBYPASSRLS",
        "~ role plinth_app_plinth\n    bypassrls: yes -> no",
    ),
    (
        "ALTER ROLE plinth_app SET row_security = off",
        "ALTER ROLE plinth_app RESET row_security",
        "~ role plinth_app\n    setting row_security: off -> none",
    ),
    (
        "ALTER ROLE plinth_app_plinth IN DATABASE plinth SET search_path = evil",
        "ALTER ROLE plinth_app_plinth IN DATABASE plinth RESET search_path",
        "~ role plinth_app_plinth in database plinth\n    setting search_path: evil -> none",
    ),
    (
        "ALTER ROLE ALL SET plinth.domain_id = '00000000-0000-7000-8000-000000000000'",
        "ALTER ROLE ALL RESET plinth.domain_id",
        "~ all roles\n    setting plinth.domain_id: 00000000-0000-7000-8000-000000000000 -> none",
    ),
    (
        "ALTER DATABASE plinth SET search_path = public, evil",
        "ALTER DATABASE plinth RESET search_path",
        "~ database plinth\n    setting search_path: public, evil -> none",
    ),
    (
        "ALTER DATABASE plinth SET row_security = off",
        "ALTER DATABASE plinth RESET row_security",
        "~ database plinth\n    setting row_security: off -> none",
    ),
    (
        "GRANT CREATE ON DATABASE plinth TO backups",
        "REVOKE CREATE ON DATABASE plinth FROM backups",
        "~ database plinth\n    grant to backups: CREATE -> none",
    ),
    (
        "GRANT TEMP ON DATABASE plinth TO plinth_app",
        "REVOKE TEMP ON DATABASE plinth FROM plinth_app",
        "~ database plinth\n    grant to plinth_app: TEMPORARY -> none",
    ),
    (
        "GRANT TEMP ON DATABASE plinth TO PUBLIC",
        "REVOKE TEMP ON DATABASE plinth FROM PUBLIC",
        "~ database plinth\n    grant to PUBLIC: TEMPORARY -> none",
    ),
];

#[tokio::test]
async fn what_the_server_shares_is_named() {
    let server = Server::start("host all all 127.0.0.1/32 trust", &[], None);
    let client = server.client("postgres").await;
    client.batch_execute("CREATE DATABASE plinth").await.unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &server.tcp("postgres", "/plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY);
    ops.expect(0, &["migrate", "run"]);
    ops.expect(0, &["migrate", "drift"]);
    for sql in LEGITIMATE.split(';') {
        client.batch_execute(sql).await.unwrap();
    }
    let clean = ops.expect(0, &["migrate", "drift", "--json"]).json();
    assert_eq!(clean["surroundings"], serde_json::json!([]));
    ops.expect(0, &["migrate", "drift", "--fingerprint"]);

    // Each by itself where it is cheap, all together in full.
    for (sql, back, named) in BY_HAND {
        client.batch_execute(sql).await.unwrap();
        let ran = ops.expect(3, &["migrate", "drift", "--fingerprint"]);
        assert!(
            ran.stdout.ends_with(&format!("{named}\n")),
            "{sql}:\n{}",
            ran.stdout
        );
        assert!(ran.stderr.contains("1 difference"), "{sql}:\n{}", ran.stderr);
        client.batch_execute(back).await.unwrap();
    }
    for (sql, ..) in BY_HAND {
        client.batch_execute(sql).await.unwrap();
    }
    let ran = ops.expect(3, &["migrate", "drift"]);
    for (sql, _, named) in BY_HAND {
        assert!(ran.stdout.contains(named), "{sql}:\n{}", ran.stdout);
    }
    for (_, back, _) in BY_HAND {
        client.batch_execute(back).await.unwrap();
    }
    ops.expect(0, &["migrate", "drift"]);
}
