//! The compiled-in file, the table of settings and the structs: one and the same.

use std::collections::BTreeSet;
use std::time::Duration;

use app_config::{Config, CookieSecure, DEFAULT_TOML, Kind, LocalPostgres, LogFormat, SETTINGS};

use crate::support::{Place, config};

/// The default file with its commented settings turned on.
fn everything_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.split_once(" = ").is_some_and(|(name, _)| is_name(name)) => rest.to_owned(),
        _ => line.to_owned(),
    };
    DEFAULT_TOML.lines().map(on).collect::<Vec<_>>().join("\n")
}

fn is_name(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn the_default_file_documents_exactly_the_settings_there_are() {
    let table: toml::Table = everything_on().parse().unwrap();
    let documented: BTreeSet<String> = table
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_table()
                .unwrap()
                .keys()
                .map(move |key| format!("{section}.{key}"))
        })
        .collect();
    let known: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
    assert_eq!(documented, known);
    assert_eq!(known.len(), SETTINGS.len(), "no key twice");
}

#[test]
fn every_documented_variable_is_in_the_file() {
    for setting in SETTINGS {
        for variable in setting.also.iter().chain(setting.fallback) {
            assert!(DEFAULT_TOML.contains(variable), "{variable}");
        }
    }
}

/// The examples are valid, and agree with one another.
#[test]
fn the_examples_in_the_default_file_load() {
    let text = everything_on()
        .replace("user = \"plinth\"", "user = \"plinth\" # as in the url")
        .replace("sslmode=verify-full", "sslmode=prefer");
    let loaded = Place::new().file("plinth.toml", &text).load();
    assert_eq!(loaded.config.database.direct.unwrap().user, "owner");
    assert!(loaded.config.setup.operator_password.is_some());
}

#[test]
fn no_variable_means_two_settings() {
    let mut seen = BTreeSet::new();
    for name in SETTINGS.iter().flat_map(|setting| setting.variables()) {
        assert!(seen.insert(name.clone()), "{name}");
    }
}

/// The values that product.md and the manuals promise.
#[test]
fn the_defaults() {
    let Config {
        server,
        database,
        security,
        setup,
        backup,
        jobs,
        telemetry,
        paths,
    } = Config::default();
    assert_eq!(server.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(server.metrics_bind.to_string(), "127.0.0.1:9464");
    assert_eq!((server.workers, server.body_limit_bytes), (0, 1024 * 1024));
    assert_eq!(server.cookie_secure, CookieSecure::Auto);
    assert_eq!(server.send_timeout, Duration::from_secs(60));
    assert!(server.trusted_proxies.is_empty());
    assert!(database.address.is_none() && database.direct.is_none());
    assert_eq!(database.pool_size, 8);
    assert_eq!(database.domain_share, 0.75);
    assert_eq!(database.acquire_timeout, Duration::from_secs(3));
    assert_eq!(database.statement_timeout, Duration::from_secs(10));
    assert_eq!(database.idle_in_transaction_timeout, Duration::from_secs(15));
    assert_eq!(database.connection_lifetime, Duration::from_secs(1800));
    assert!(database.migrate_on_start && !database.require_tls);
    assert_eq!(database.local, LocalPostgres::Auto);
    assert!(security.encryption_key.is_none() && security.password_pepper.is_none());
    assert_eq!(security.bcrypt_cost, 10);
    assert_eq!(security.session_idle, Duration::from_secs(24 * 3600));
    assert_eq!(security.session_lifetime, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(
        (
            security.login_rate_per_address,
            security.login_rate_per_account,
            security.login_rate_per_account_total
        ),
        (30, 10, 100)
    );
    assert_eq!(security.denial_rate_per_credential, 60);
    assert!(!setup.at_start() && setup.token.is_none());
    assert!(backup.url.is_none() && backup.recipients.is_empty());
    assert_eq!(
        (backup.keep_daily, backup.keep_weekly, backup.keep_monthly),
        (7, 5, 12)
    );
    assert_eq!(
        (&backup.schedule, &backup.drill_schedule, &backup.prune_schedule),
        (
            &Some("30 2 * * *".to_owned()),
            &Some("30 4 * * 0".to_owned()),
            &Some("30 5 * * *".to_owned())
        )
    );
    assert_eq!(backup.time_zone, "UTC");
    assert!(jobs.worker);
    assert_eq!((jobs.concurrency, jobs.keep_activity_days), (16, 365));
    assert_eq!(jobs.metrics_bind.to_string(), "127.0.0.1:9465");
    assert_eq!(jobs.shutdown_grace, Duration::from_secs(20));
    assert_eq!(
        (telemetry.log_filter.as_str(), telemetry.log_format),
        ("info", LogFormat::Text)
    );
    assert!(telemetry.otlp_endpoint.is_none());
    assert_eq!(paths.persistent_dir.to_str(), Some("persistent_data"));
    assert!(paths.state_dir.is_none());
}

#[test]
fn an_empty_place_gives_the_defaults() {
    assert_eq!(format!("{:?}", config("")), format!("{:?}", Config::default()));
}

/// A word that the table accepts but the struct does not know would be found at start only.
#[test]
fn every_word_of_every_choice_is_understood() {
    let mut tried = 0;
    for setting in SETTINGS {
        let Kind::OneOf(words) = setting.kind else {
            continue;
        };
        for word in words {
            config(&format!("{}={word}", setting.variable()));
            tried += 1;
        }
    }
    assert!(tried >= 7, "{tried}");
}
