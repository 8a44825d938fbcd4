//! `plinth-ops config show`

use crate::support::Ops;

#[test]
fn no_secret_is_shown_and_every_value_says_where_it_came_from() {
    let ops = Ops::new()
        .with(
            "DATABASE_URL",
            "postgresql://someone:hush-database@db.example.com/shop?sslmode=verify-full",
        )
        .with(
            "DATABASE_DIRECT_URL",
            "postgresql://owner:hush-direct@db.example.com/shop?sslmode=verify-full",
        )
        .with(
            "POSTGRES_ENCRYPTION_KEY",
            "hush-key-0123456789abcdef0123456789abcdef",
        )
        .with("PLINTH_PASSWORD_PEPPER", "hush-pepper")
        .with("PLINTH_SETUP_TOKEN", "hush-token-0123456789")
        .with("DATABASE_POOL_SIZE", "11");
    std::fs::write(ops.directory.path().join("operator"), "hush-operator").unwrap();
    let ops = ops.with("PLINTH_SETUP_OPERATOR_PASSWORD_FILE", "operator");

    let text = ops.expect(0, &["config", "show"]);
    let json = ops.expect(0, &["config", "show", "--json", "--set", "database.pool_size=12"]);
    for output in [&text.stdout, &text.stderr, &json.stdout, &json.stderr] {
        assert!(!output.contains("hush-"), "{output}");
    }
    let line = |key: &str| text.stdout.lines().find(|line| line.starts_with(key)).unwrap();
    assert!(line("database.host").contains("db.example.com"));
    assert!(line("database.password").contains("[redacted]"));
    assert!(line("database.pool_size").ends_with("environment: DATABASE_POOL_SIZE"));

    let json = json.json();
    let settings = json.get("settings").unwrap().as_array().unwrap();
    let pool_size = settings
        .iter()
        .find(|entry| entry.get("key").unwrap() == "database.pool_size")
        .unwrap();
    assert_eq!(
        (&pool_size["value"], &pool_size["origin"]),
        (&"12".into(), &"flag".into())
    );
    for secret in [
        "security.encryption_key",
        "security.password_pepper",
        "setup.token",
        "setup.operator_password",
    ] {
        let entry = settings
            .iter()
            .find(|entry| entry.get("key").unwrap() == secret)
            .unwrap();
        assert_eq!(entry["value"], "[redacted]", "{secret}");
    }
}
