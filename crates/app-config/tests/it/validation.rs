//! What is refused, and in which words.

use std::net::IpAddr;

use crate::support::{Place, config, problems};

#[test]
fn an_unknown_variable_is_an_error_with_the_nearest_name() {
    for (typed, meant) in [
        ("PLINTH_DATABASE_POOLSIZE", "PLINTH_DATABASE_POOL_SIZE"),
        ("PLINTH_MIGRATE_ONSTART", "PLINTH_MIGRATE_ON_START"),
        ("PLINTH_SETUP_TOKENS", "PLINTH_SETUP_TOKEN"),
        ("PLINTH_PASSWORD_PEPER_FILE", "PLINTH_PASSWORD_PEPPER_FILE"),
        ("PLINTH_CONFIGFILE", "PLINTH_CONFIG_FILE"),
        // Only secrets come from files.
        ("PLINTH_SERVER_BIND_FILE", "PLINTH_SERVER_BIND"),
    ] {
        let found = problems(&format!("{typed}=x"));
        assert!(found.contains(&format!("{typed} in the environment")), "{found}");
        assert!(found.ends_with(&format!("did you mean {meant}?")), "{found}");
    }
    let found = Place::new().file(".env", "PLINTH_SERVER_BNID=x\n").problems();
    assert!(
        found.contains("PLINTH_SERVER_BNID in .env") && found.contains("PLINTH_SERVER_BIND?"),
        "{found}"
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    config(
        "PLINTH_TEST_ANYTHING=1
DBHOSTS=a
PLINTH_SERVICE_HOST=10.0.0.1
PLINTH_SERVICE_PORT_HTTP=8080
PLINTH_PORT=tcp://10.0.0.1:8080
PLINTH_PORT_8080_TCP=tcp://10.0.0.1:8080
PLINTH_PORT_8080_TCP_ADDR=10.0.0.1
PLINTH_API_PORT_8080_TCP_PROTO=tcp",
    );
    let loaded = Place::new()
        .env("POSTGRES_PORT=tcp://10.0.0.2:5432\nPOSTGRES_HOST=localhost\nPOSTGRES_USER=u")
        .load();
    assert_eq!(loaded.config.database.address.unwrap().port, 5432);
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.contains("Kubernetes")),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn unknown_keys_of_file_and_flags_name_the_nearest() {
    for (content, expected) in [
        (
            "[server]\nbnid = 'x'\n",
            "server.bnid in plinth.toml is not a setting; did you mean server.bind?",
        ),
        ("[databse]\npool_size = 1\n", "did you mean database.pool_size?"),
        ("bind = 'x'\n", "bind in plinth.toml is not a setting"),
    ] {
        let found = Place::new().file("plinth.toml", content).problems();
        assert!(found.contains(expected), "{found}");
    }
    let place = Place::new();
    let error = place
        .loader()
        .flags(["database.pool_sise=1"])
        .load()
        .unwrap_err()
        .to_string();
    assert!(error.contains(
        "database.pool_sise on the command line is not a setting; did you mean database.pool_size?"
    ));
    assert!(place.loader().flags(["database.pool_size"]).load().is_err());
}

#[test]
fn values_are_strict_and_errors_say_what_is_accepted() {
    for (line, expected) in [
        (
            "DATABASE_POOL_SIZE=many",
            r#"DATABASE_POOL_SIZE="many" in the environment: expected a whole number from 1"#,
        ),
        ("DATABASE_POOL_SIZE=0", "from 1 to 10000"),
        ("DATABASE_POOL_SIZE=-1", "from 1 to 10000"),
        ("DATABASE_POOL_SIZE=+8", "from 1 to 10000"),
        ("DATABASE_POOL_SIZE=8.0", "from 1 to 10000"),
        ("DBPORT=99999", "from 1 to 65535"),
        ("DBHOST=a b", "one host name"),
        ("DBSSL=maybe", "verify-full, true (require) or false (disable)"),
        ("PLINTH_MIGRATE_ON_START=nope", "expected true or false"),
        ("PLINTH_DATABASE_ACQUIRE_TIMEOUT=3", "a duration with its unit"),
        ("PLINTH_DATABASE_ACQUIRE_TIMEOUT=0s", "a duration with its unit"),
        ("PLINTH_SERVER_BIND=8080", "an IP address and a port"),
        (
            "PLINTH_SERVER_TRUSTED_PROXIES=10.0.0.0/33",
            "IP addresses or networks",
        ),
        (
            "PLINTH_SERVER_COOKIE_SECURE=sometimes",
            "one of auto, always, never",
        ),
        ("PLINTH_SECURITY_BCRYPT_COST=9", "from 10 to 16"),
        ("PLINTH_SECURITY_BCRYPT_COST=17", "from 10 to 16"),
        ("PLINTH_TELEMETRY_SAMPLE_RATIO=1.5", "a number from 0 to 1"),
        ("PLINTH_TELEMETRY_SAMPLE_RATIO=NaN", "a number from 0 to 1"),
        (
            "PLINTH_TELEMETRY_OTLP_ENDPOINT=localhost:4318",
            "starts with http://",
        ),
    ] {
        let found = problems(line);
        assert!(found.contains(expected), "{line}: {found}");
        assert!(found.contains(line.split('=').next().unwrap()), "{line}: {found}");
    }
}

#[test]
fn toml_values_have_their_own_type() {
    for (content, expected) in [
        (
            "[database]\npool_size = '8'\n",
            "is of type string: expected a whole number from 1 to 10000, without quotes",
        ),
        (
            "[database]\nmigrate_on_start = 'true'\n",
            "expected true or false, without quotes",
        ),
        (
            "[server]\ntrusted_proxies = '10.0.0.0/8'\n",
            "expected a list of texts in quotes",
        ),
        ("[server]\nbind = 8080\n", "in quotes"),
        ("[server]\nbind = \n", "plinth.toml line 2 is not valid TOML"),
    ] {
        let found = Place::new().file("plinth.toml", content).problems();
        assert!(found.contains(expected), "{content}: {found}");
    }
}

/// Mistakes in values, in names, and between settings: one run tells them all.
#[test]
fn all_problems_come_together() {
    let found = problems(
        "DATABASE_POOL_SIZE=many
PLINTH_SERVER_BNID=x
DBHOST=a
POSTGRES_HOST=b
DBUSERNAME=u
PLINTH_SECURITY_SESSION_IDLE=60d
PLINTH_DATABASE_SSL_CERT=client.pem",
    );
    assert!(found.starts_with("the configuration has 5 problems:"), "{found}");
    assert_eq!(found.lines().count(), 6, "{found}");
    assert!(
        found.contains("PLINTH_SECURITY_SESSION_IDLE is longer than security.session_lifetime"),
        "{found}"
    );
    assert!(
        found.contains("PLINTH_DATABASE_SSL_CERT is set without"),
        "{found}"
    );
}

/// What follows from a refused value is no problem of its own.
#[test]
fn a_refused_value_is_reported_once() {
    let found = problems("DATABASE_URL=nonsense\nDBNAME=d");
    assert!(!found.contains('\n'), "{found}");
    let found = problems("DBHOST=a b\nDBUSERNAME=u");
    assert!(!found.contains('\n'), "{found}");
}

#[test]
fn half_an_address_names_what_is_missing() {
    let found = problems("DBNAME=d\nDBPASSWORD=x");
    assert!(
        found.contains("DBNAME is set, but the database's host is not") && found.contains("DBHOST"),
        "{found}"
    );
    let found = problems("POSTGRES_HOST=h");
    assert!(
        found.contains("POSTGRES_HOST is set, but the database's user is not"),
        "{found}"
    );
    // A password alone is often there for the compose file's PostgreSQL.
    let loaded = Place::new().env("POSTGRES_PASSWORD=x").load();
    assert!(loaded.config.database.address.is_none());
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.contains("POSTGRES_PASSWORD")),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn an_unverified_server_elsewhere_is_a_warning_or_under_require_tls_a_refusal() {
    let warned = |lines: &str| {
        Place::new()
            .env(lines)
            .load()
            .warnings
            .iter()
            .any(|text| text.contains("verify"))
    };
    let url = |host: &str, query: &str| format!("DATABASE_URL=postgresql://u@{host}/d{query}");
    assert!(warned(&url("db.example.com", "")));
    assert!(warned(&url("db.example.com", "?sslmode=require")));
    assert!(!warned(&url(
        "db.example.com",
        "?sslmode=require&sslrootcert=ca.pem"
    )));
    assert!(!warned(&url("db.example.com", "?sslmode=verify-ca")));
    for local in ["localhost", "127.0.0.1", "[::1]", "%2Frun"] {
        assert!(!warned(&url(local, "")), "{local}");
    }
    let found = problems(&format!(
        "PLINTH_REQUIRE_TLS=true\n{}",
        url("db.example.com", "?sslmode=require")
    ));
    assert!(
        found.contains("PLINTH_REQUIRE_TLS refuses this") && found.contains("db.example.com:5432"),
        "{found}"
    );
    config(&format!(
        "PLINTH_REQUIRE_TLS=true\n{}",
        url("db.example.com", "?sslmode=verify-full")
    ));
    let direct = "DATABASE_DIRECT_URL=postgresql://o@other.example.com/d";
    let found = problems(&format!(
        "PLINTH_REQUIRE_TLS=true\n{}\n{direct}",
        url("localhost", "")
    ));
    assert!(
        found.contains("the direct database at other.example.com:5432"),
        "{found}"
    );
}

#[test]
fn trusted_proxies_are_networks() {
    let server = config("PLINTH_SERVER_TRUSTED_PROXIES=10.0.0.0/8, 192.168.1.5,fd00::/8").server;
    let trusts = |ip: &str| server.trusts(ip.parse::<IpAddr>().unwrap());
    for ip in ["10.255.0.1", "::ffff:10.0.0.1", "192.168.1.5", "fd12::1"] {
        assert!(trusts(ip), "{ip}");
    }
    for ip in ["11.0.0.1", "192.168.1.6", "fe80::1", "::1", "a00::"] {
        assert!(!trusts(ip), "{ip}");
    }
    let nobody = config("").server;
    assert!(!nobody.trusts("127.0.0.1".parse().unwrap()));
    let all = config("PLINTH_SERVER_TRUSTED_PROXIES=0.0.0.0/0").server;
    assert!(all.trusts("8.8.8.8".parse().unwrap()) && !all.trusts("::1".parse().unwrap()));
}

#[test]
fn setup_at_start_is_asked_for() {
    assert!(!config("").setup.at_start());
    assert!(!config("PLINTH_SETUP_TOKEN=0123456789abcdef").setup.at_start());
    for line in [
        "PLINTH_SETUP_AUTO=true",
        "PLINTH_SETUP_DEMO=true",
        "PLINTH_SETUP_OPERATOR_EMAIL=a@example.com",
        "PLINTH_SETUP_OPERATOR_PASSWORD=long enough",
        "PLINTH_SETUP_DOMAIN_SLUG=acme",
        "PLINTH_SETUP_DOMAIN_NAME=Acme",
    ] {
        assert!(config(line).setup.at_start(), "{line}");
    }
    let short = Place::new().env("PLINTH_SETUP_TOKEN=short").load();
    assert!(
        short
            .warnings
            .iter()
            .any(|text| text.contains("PLINTH_SETUP_TOKEN")),
        "{:?}",
        short.warnings
    );
}
