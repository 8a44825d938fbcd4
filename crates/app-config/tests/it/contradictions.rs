//! Two spellings of one setting in the same layer.

use crate::support::{Place, address, config, problems, whole};

#[test]
fn parts_that_differ_name_both_variables_and_values() {
    let found = problems("DBHOST=a\nPOSTGRES_HOST=b\nDBUSERNAME=u");
    for part in [r#"DBHOST="a""#, r#"POSTGRES_HOST="b""#, "contradict"] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

#[test]
fn a_url_is_compared_part_by_part() {
    let found =
        problems("DATABASE_URL=postgresql://u@a/d?sslmode=disable\nDATABASE_HOST=b\nDATABASE_SSL=true");
    for part in [
        r#"DATABASE_HOST="b""#,
        r#"DATABASE_URL (its database.host is "a")"#,
        r#"DATABASE_SSL="require""#,
        r#"DATABASE_URL (its database.ssl is "disable")"#,
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

#[test]
fn secrets_that_differ_are_named_without_their_values() {
    let found =
        problems("DATABASE_URL=postgresql://u:hunter2@a/d\nDBPASSWORD=swordfish\nPOSTGRES_PASSWORD=hunter2");
    assert!(
        found.contains("DATABASE_URL (its password)") && found.contains("DBPASSWORD"),
        "{found}"
    );
    assert!(
        !found.contains("hunter2") && !found.contains("swordfish"),
        "{found}"
    );
}

#[test]
fn every_alias_pair_is_compared() {
    let found = problems(
        "PLINTH_DATABASE_POOL_SIZE=4\nDATABASE_POOL_SIZE=5\nPLINTH_REQUIRE_TLS=1\nPLINTH_DATABASE_REQUIRE_TLS=0",
    );
    assert!(found.contains(r#"DATABASE_POOL_SIZE="5""#), "{found}");
    assert!(
        found.contains("PLINTH_REQUIRE_TLS") && found.contains("PLINTH_DATABASE_REQUIRE_TLS"),
        "{found}"
    );
}

#[test]
fn equal_values_are_fine_however_they_are_spelled() {
    let lines = "DBHOST=a\nPOSTGRES_HOST=a\nDATABASE_URL=postgresql://u@a:5432/d?sslmode=require\nDBSSL=true\n\
                 DATABASE_PORT=05432\nPLINTH_MIGRATE_ON_START=no\nPLINTH_DATABASE_MIGRATE_ON_START=false";
    assert_eq!(whole(&address(lines)), "u:(none)@a:5432/d require");
    assert!(!config(lines).database.migrate_on_start);
}

#[test]
fn a_stronger_layer_overrides_without_complaint() {
    let loaded = Place::new()
        .file(".env", "DBHOST=a\nDBUSERNAME=u\n")
        .env("POSTGRES_HOST=b")
        .load();
    assert_eq!(
        whole(&loaded.config.database.address.unwrap()),
        "u:(none)@b:5432/u prefer"
    );
}

#[test]
fn one_name_twice_in_a_file_must_agree() {
    let found = Place::new().file(".env", "DBHOST=a\nDBHOST=b\n").problems();
    assert!(found.contains("DBHOST stands in .env twice"), "{found}");
}

#[test]
fn flags_that_differ_contradict_too() {
    let place = Place::new();
    let error = place
        .loader()
        .flags(["database.pool_size=1", "database.pool_size=2"])
        .load()
        .unwrap_err();
    assert!(error.to_string().contains("on the command line"), "{error}");
}
