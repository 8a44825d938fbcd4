//! That the rules see mistakes: each is made in the production file, one at a time.

use super::{PRODUCTION, parse, root, rules, text};

/// Each line makes one mistake in the production file, which must not pass.
#[test]
fn the_rules_see_mistakes() {
    let mistakes = [
        ("127.0.0.1:${API_PORT:-8080}", "${API_PORT:-8080}"),
        ("127.0.0.1:${METRICS_PORT:-9464}", "0.0.0.0:${METRICS_PORT:-9464}"),
        (
            "127.0.0.1:${WORKER_METRICS_PORT:-9465}",
            "${WORKER_METRICS_PORT:-9465}",
        ),
        (
            "      test: [\"CMD\", \"plinth-ops\", \"worker\", \"--healthcheck\"]",
            "      disable: true",
        ),
        ("read_only: true", "read_only: false"),
        ("cap_drop: [ALL]", "cap_drop: [NET_RAW]"),
        ("no-new-privileges:true", "no-new-privileges:false"),
        ("user: \"10001:10001\"", "user: \"0:0\""),
        ("    user: \"999:999\"\n", ""),
        (
            "POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password",
            "POSTGRES_PASSWORD: plinth",
        ),
        (
            "PLINTH_SETUP_TOKEN_FILE: /run/secrets/setup_token",
            "PLINTH_SETUP_TOKEN: ${SETUP_TOKEN:-letmein}",
        ),
        (
            "DATABASE_POOL_SIZE: ${DATABASE_POOL_SIZE:-16}",
            "PGOPTIONS: postgresql://plinth:plinth@postgres/plinth",
        ),
        ("secrets: [pgbouncer_userlist]", "secrets: [userlist]"),
        (
            "secrets: [postgres_password, api_password]",
            "secrets: [api_password]",
        ),
        (
            "condition: service_healthy\n    # More",
            "condition: service_started\n    # More",
        ),
        ("restart: \"no\"", "restart: unless-stopped"),
        ("        required: false\n\n  # Roles", "\n  # Roles"),
        (
            "restart: unless-stopped\n    command: [\"plinth-api\"]",
            "command: [\"plinth-api\"]",
        ),
        (
            "test: [\"CMD\", \"pg_isready\", \"--quiet\", \"--host\", \"/run/pgbouncer\"",
            "disable: true #",
        ),
        ("deploy/postgres/init.sh:", "deploy/postgres/start.sh:"),
        ("pgbouncer.ini:ro", "pgbouncer.ini"),
        ("- backups:/backups", "- backup:/backups"),
        ("networks: [database]", "networks: [databases]"),
        ("dockerfile: deploy/Dockerfile", "dockerfile: Dockerfile"),
        ("image: postgres:17\n", "image: postgres\n"),
        (
            "      pgbouncer:\n        condition",
            "      bouncer:\n        condition",
        ),
    ];
    for (from, to) in mistakes {
        let changed = parse(&changed(from, to)).unwrap_or_else(|error| panic!("{from:?} to {to:?}: {error}"));
        let mut seen = rules::breaches(&changed, &root());
        seen.extend(rules::production_breaches(&changed));
        assert!(!seen.is_empty(), "{from:?} became {to:?} and nothing was seen");
    }
}

#[test]
fn misspelt_and_missing_keys_are_seen() {
    for (from, to, named) in [
        (
            "    healthcheck:\n      test: [\"CMD\", \"plinth-api\"",
            "    helthcheck:\n      test: [\"CMD\", \"plinth-api\"",
            "helthcheck",
        ),
        ("          memory: 512M\n", "", "memory"),
        ("internal: true", "internall: true", "internall"),
    ] {
        let error = parse(&changed(from, to)).expect_err(named);
        assert!(error.contains(named), "{error}");
    }
}

/// The production file with a mistake in it.
fn changed(from: &str, to: &str) -> String {
    let original = text(PRODUCTION);
    assert!(original.contains(from), "{from:?} is no longer in {PRODUCTION}");
    original.replacen(from, to, 1)
}
