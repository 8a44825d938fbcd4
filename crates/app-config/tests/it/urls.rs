//! Database URLs.

use app_config::SslMode;

use crate::support::{Place, address, config, problems, whole};

fn url(text: &str) -> String {
    whole(&address(&format!("DATABASE_URL={text}")))
}

#[test]
fn forms_of_libpq() {
    for (text, expected) in [
        ("postgres://u@h", "u:(none)@h:5432/u prefer"),
        ("postgresql://u:p@h:6432/d", "u:p@h:6432/d prefer"),
        (
            "postgresql://u%40corp:p%2Fa%3A%40%25@h/d%20b",
            "u@corp:p/a:@%@h:5432/d b prefer",
        ),
        ("postgresql://u:a+b@h/d", "u:a+b@h:5432/d prefer"),
        ("postgresql://u:a@b@h/d", "u:a@b@h:5432/d prefer"),
        ("postgresql://u:p@[::1]:5433/d", "u:p@::1:5433/d prefer"),
        (
            "postgresql://u@%2Frun%2Fpostgresql/d",
            "u:(none)@/run/postgresql:5432/d prefer",
        ),
        (
            "postgresql://u:p@/d?host=/run/postgresql",
            "u:p@/run/postgresql:5432/d prefer",
        ),
        (
            "postgresql:///d?host=/run/postgresql&user=u",
            "u:(none)@/run/postgresql:5432/d prefer",
        ),
        (
            "postgresql://h/?user=u&password=007&port=1&dbname=d",
            "u:007@h:1/d prefer",
        ),
    ] {
        assert_eq!(url(text), expected, "{text}");
    }
}

#[test]
fn tls_in_the_query() {
    let address = address(
        "DATABASE_URL=postgresql://u@h/d?sslmode=verify-ca&sslrootcert=/a%20b.pem&sslcert=c&sslkey=k",
    );
    assert_eq!(address.ssl.mode, SslMode::VerifyCa);
    assert_eq!(address.ssl.root_cert.unwrap().to_str(), Some("/a b.pem"));
    assert_eq!(address.ssl.cert.unwrap().to_str(), Some("c"));
    assert_eq!(address.ssl.key.unwrap().to_str(), Some("k"));
    assert_eq!(url("postgresql://u@h/d?ssl=true"), "u:(none)@h:5432/d require");
}

#[test]
fn a_connect_timeout_in_the_query_counts_seconds() {
    let loaded = config("DATABASE_URL=postgresql://u@h/d?connect_timeout=10");
    assert_eq!(loaded.database.connect_timeout.as_secs(), 10);
}

/// Managed services and other libraries put their own parameters into the URL they hand out.
#[test]
fn harmless_foreign_parameters_are_ignored_with_a_warning() {
    let place = Place::new().env(
        "DATABASE_URL=postgresql://u@localhost/d?sslmode=require&channel_binding=require&pgbouncer=true&connection_limit=1",
    );
    let loaded = place.load();
    assert_eq!(
        loaded.warnings,
        ["DATABASE_URL: ignored its channel_binding, pgbouncer, connection_limit"]
    );
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        ("mysql://u@h/d", "does not start with postgresql://"),
        ("postgresql://u:p/w@h/d", "it has an @ or / behind the host"),
        ("postgresql://u@h:54a/d", "port is not a number"),
        ("postgresql://u@h:0/d", "a whole number from 1 to 65535"),
        ("postgresql://u@h:70000/d", "a whole number from 1 to 65535"),
        ("postgresql://u@a,b/d", "more than one host"),
        ("postgresql://u@[::1/d", "not closed"),
        (
            "postgresql://u@h/d?options=-c%20x",
            "its parameter options is not known",
        ),
        (
            "postgresql://u@h/d?sslmode=no-verify",
            "its part database.ssl: expected disable",
        ),
        ("postgresql://u@h/d?host=other", "it gives database.host twice"),
        ("postgresql://u%ff@h/d", "not UTF-8"),
        ("postgresql://u%00@h/d", "NUL"),
        ("postgresql:///d", "the database's host is not"),
        ("postgresql://h/d", "the database's user is not"),
    ] {
        let found = problems(&format!("DATABASE_URL={text}"));
        assert!(
            found.contains(expected) && !found.contains('\n'),
            "{text}: {found}"
        );
    }
}

#[test]
fn the_direct_address_keeps_the_protection_of_the_main_one() {
    let loaded = config(
        "DATABASE_URL=postgresql://app@pooler.example.com:6432/d?sslmode=verify-full&sslrootcert=ca.pem
DATABASE_DIRECT_URL=postgresql://owner:secret@db.example.com",
    );
    let direct = loaded.database.direct.as_ref().unwrap();
    assert_eq!(whole(direct), "owner:secret@db.example.com:5432/d verify-full");
    assert_eq!(direct.ssl.root_cert.as_ref().unwrap().to_str(), Some("ca.pem"));
    assert_eq!(loaded.database.owner_address().unwrap().user, "owner");
}

#[test]
fn the_direct_address_may_say_otherwise() {
    let loaded = config(
        "DATABASE_URL=postgresql://app@localhost/d?sslmode=disable
PLINTH_DATABASE_DIRECT_URL=postgresql://owner@db.example.com:1/other?sslmode=verify-full",
    );
    assert_eq!(
        whole(&loaded.database.direct.unwrap()),
        "owner:(none)@db.example.com:1/other verify-full"
    );
}

#[test]
fn a_direct_address_needs_a_main_one() {
    let found = problems("DATABASE_DIRECT_URL=postgresql://owner@h/d");
    assert!(
        found.contains("DATABASE_DIRECT_URL") && found.contains("the main one is missing"),
        "{found}"
    );
}
