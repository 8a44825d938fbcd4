//! The order of the layers, and where each value says it came from.

use crate::support::{Place, origin, whole};

#[test]
fn each_layer_beats_the_one_before() {
    let pool = |place: &Place, flags: &[&str]| {
        let loaded = place.loader().flags(flags.iter().copied()).load().unwrap();
        (
            loaded.config.database.pool_size,
            origin(&loaded, "database.pool_size"),
        )
    };
    let place = Place::new();
    assert_eq!(pool(&place, &[]), (8, "default".into()));
    let place = place.file("plinth.toml", "[database]\npool_size = 2\n");
    assert_eq!(pool(&place, &[]), (2, "plinth.toml".into()));
    let place = place.file(".env", "DATABASE_POOL_SIZE=3\n");
    assert_eq!(pool(&place, &[]), (3, ".env: DATABASE_POOL_SIZE".into()));
    let place = place.env("PLINTH_DATABASE_POOL_SIZE=4");
    assert_eq!(
        pool(&place, &[]),
        (4, "environment: PLINTH_DATABASE_POOL_SIZE".into())
    );
    assert_eq!(pool(&place, &["database.pool_size=5"]), (5, "flag".into()));
}

#[test]
fn libpq_s_variables_beat_defaults_only() {
    let place = Place::new().env("PGPORT=5433");
    assert_eq!(origin(&place.load(), "database.port"), "environment: PGPORT");
    let place = place.file("plinth.toml", "[database]\nport = 5434\n");
    assert_eq!(origin(&place.load(), "database.port"), "plinth.toml");
}

/// The password of the weaker layer belongs to another server.
#[test]
fn a_url_replaces_the_whole_address_of_weaker_layers() {
    let place = Place::new()
        .file(
            ".env",
            "DBHOST=old\nDBPORT=6000\nDBUSERNAME=old\nDBPASSWORD=old\nDBNAME=old\n",
        )
        .env("DATABASE_URL=postgresql://new@new.example.com");
    let loaded = place.load();
    assert_eq!(
        whole(loaded.config.database.address.as_ref().unwrap()),
        "new:(none)@new.example.com:5432/new prefer"
    );
    assert_eq!(origin(&loaded, "database.host"), "environment: DATABASE_URL");
    assert_eq!(origin(&loaded, "database.password"), "default");
}

#[test]
fn parts_beat_single_parts_of_a_weaker_url() {
    let place = Place::new()
        .file(".env", "DATABASE_URL=postgresql://u:p@a:6000/d\n")
        .env("DBHOST=b");
    assert_eq!(
        whole(&place.load().config.database.address.unwrap()),
        "u:p@b:6000/d prefer"
    );
}

#[test]
fn the_configuration_file_can_be_another_one() {
    let place = Place::new()
        .file("plinth.toml", "[database]\npool_size = 2\n")
        .file("other.toml", "[database]\npool_size = 3\n")
        .file("third.toml", "[database]\npool_size = 4\n")
        .env("PLINTH_CONFIG_FILE=other.toml");
    let loaded = place.load();
    assert_eq!(loaded.config.database.pool_size, 3);
    assert_eq!(origin(&loaded, "database.pool_size"), "other.toml");
    let loaded = place
        .loader()
        .config_file(Some("third.toml".into()))
        .load()
        .unwrap();
    assert_eq!(loaded.config.database.pool_size, 4);
}

#[test]
fn a_configuration_file_that_was_named_must_exist() {
    let found = Place::new().env("PLINTH_CONFIG_FILE=missing.toml").problems();
    assert!(found.contains("missing.toml cannot be read"), "{found}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded = Place::new()
        .file(".env", "DATABASE_POOL_SIZE=3\n")
        .env("DATABASE_POOL_SIZE=\nDATABASE_URL=")
        .load();
    assert_eq!(loaded.config.database.pool_size, 3);
    assert!(loaded.config.database.address.is_none());
}

#[test]
fn show_as_text_and_as_json() {
    let place = Place::new().env("DBHOST=db.example.com\nDBUSERNAME=u\nDBPASSWORD=007");
    let loaded = place.load();
    let text = loaded.to_text();
    let line = |key: &str| {
        text.lines()
            .find(|line| line.starts_with(key))
            .unwrap()
            .to_owned()
    };
    assert!(line("database.host ").ends_with("environment: DBHOST"), "{text}");
    assert!(line("database.password ").contains("[redacted]"), "{text}");
    assert!(line("database.name ").contains("(not set)"), "{text}");
    assert!(line("database.pool_size ").ends_with("  default"), "{text}");
    assert!(line("warning: ").contains("does not verify"), "{text}");

    let json = loaded.to_json();
    let settings = json.get("settings").unwrap().as_array().unwrap();
    let host = settings
        .iter()
        .find(|setting| setting.get("key").unwrap() == "database.host")
        .unwrap();
    let expected = serde_json::json!({"key": "database.host", "value": "db.example.com", "origin": "environment: DBHOST"});
    assert_eq!(host, &expected);
}
