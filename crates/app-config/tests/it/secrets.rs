//! Secrets: from files, unchanged, and never shown.

use app_config::{Config, SETTINGS};
use secrecy::ExposeSecret;

use crate::support::{Place, environment};

fn password(config: &Config) -> &str {
    config
        .database
        .address
        .as_ref()
        .unwrap()
        .password
        .as_ref()
        .unwrap()
        .expose_secret()
}

#[test]
fn a_password_of_digits_stays_as_it_is() {
    for value in ["007", "1e3", "true", " spaces ", "0x10"] {
        let place = Place::new().file(
            "plinth.toml",
            &format!("[database]\nhost='h'\nuser='u'\npassword='{value}'\n"),
        );
        assert_eq!(password(&place.load().config), value);
        let place = Place::new().file(".env", &format!("DBHOST=h\nDBUSERNAME=u\nDBPASSWORD='{value}'\n"));
        assert_eq!(password(&place.load().config), value);
        let place = Place::new()
            .file("secret", &format!("{value}\n"))
            .file(".env", "DBHOST=h\nDBUSERNAME=u\n");
        let place = place.env("DBPASSWORD_FILE=secret");
        assert_eq!(password(&place.load().config), value);
    }
}

#[test]
fn a_number_in_toml_is_not_a_password() {
    let found = Place::new()
        .file("plinth.toml", "[database]\npassword = 7\n")
        .problems();
    assert!(
        found.contains("database.password in plinth.toml is of type integer: expected text, in quotes"),
        "{found}"
    );
}

#[test]
fn every_secret_can_come_from_a_file() {
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        let content = if setting.key.ends_with("url") {
            "postgresql://u:pw@h/d\n"
        } else {
            "content\n"
        };
        for variable in setting.variables() {
            let place = Place::new().file("secret", content);
            // A direct address needs a main one.
            let main = if setting.key == "database.direct_url" {
                "DATABASE_URL=postgresql://u@h\n"
            } else {
                ""
            };
            let place = place.env(&format!("{main}{variable}_FILE=secret"));
            let loaded = place.load();
            let key = if setting.key == "database.url" {
                "database.password"
            } else {
                setting.key
            };
            let entry = loaded.entries.iter().find(|entry| entry.key == key).unwrap();
            assert!(
                entry.value.is_some() && entry.origin.name == format!("{variable}_FILE"),
                "{variable}"
            );
        }
    }
}

#[test]
fn only_one_newline_is_cut() {
    let place = Place::new()
        .file("secret", "a\n\n")
        .env("DBHOST=h\nDBUSERNAME=u\nDBPASSWORD_FILE=secret");
    assert_eq!(password(&place.load().config), "a\n");
}

#[test]
fn a_variable_and_its_file_are_one_too_many() {
    let place = Place::new()
        .file("secret", "a")
        .env("POSTGRES_PASSWORD=a\nPOSTGRES_PASSWORD_FILE=secret");
    let found = place.problems();
    assert!(
        found.contains("POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set"),
        "{found}"
    );
    let place = Place::new().file("secret", "a").file(
        "plinth.toml",
        "[database]\npassword='a'\npassword_file='secret'\n",
    );
    let found = place.problems();
    assert!(
        found.contains("database.password and database.password_file are both set"),
        "{found}"
    );
}

#[test]
fn a_missing_or_empty_file_is_named() {
    let found = Place::new().env("PLINTH_SETUP_TOKEN_FILE=nowhere").problems();
    assert!(
        found.contains("PLINTH_SETUP_TOKEN_FILE") && found.contains("nowhere cannot be read"),
        "{found}"
    );
    let found = Place::new()
        .file("empty", "\n")
        .env("PLINTH_SETUP_TOKEN_FILE=empty")
        .problems();
    assert!(found.contains("the file empty is empty"), "{found}");
}

#[test]
fn a_key_file_of_the_file_layer() {
    let place = Place::new().file("secret", "007\n").file(
        "plinth.toml",
        "[database]\nhost = 'h'\nuser = 'u'\npassword_file = 'secret'\n",
    );
    assert_eq!(password(&place.load().config), "007");
}

#[test]
fn a_dollar_in_a_dot_env_secret_is_pointed_out() {
    let loaded = Place::new()
        .file(".env", "DBHOST=localhost\nDBUSERNAME=u\nDBPASSWORD=pa$word\n")
        .load();
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.contains("single quotes")),
        "{:?}",
        loaded.warnings
    );
    let place = Place::new().file(".env", "DBHOST=localhost\nDBUSERNAME=u\nDBPASSWORD='pa$word'\n");
    let loaded = place.load();
    assert_eq!(password(&loaded.config), "pa$word");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

const SECRET: &str = "hunter2-hunter2-hunter2";

/// Everything that can be formatted, formatted.
#[test]
fn no_secret_is_ever_shown() {
    let lines = format!(
        "DATABASE_URL=postgresql://u:{SECRET}@db.example.com/d?pgbouncer=true
DATABASE_DIRECT_URL=postgresql://owner:{SECRET}@db.example.com/d
POSTGRES_ENCRYPTION_KEY={SECRET}
PLINTH_PASSWORD_PEPPER={SECRET}
PLINTH_SETUP_TOKEN={SECRET}
PLINTH_SETUP_OPERATOR_PASSWORD={SECRET}"
    );
    let place = Place::new().env(&lines);
    let loader = place.loader().flags([format!("database.password={SECRET}")]);
    let loaded = loader.load().unwrap();
    let everything = [
        format!("{loaded:?} {loaded:#?}"),
        format!("{:?}", environment(&lines)),
        loaded.to_text(),
        loaded.to_json().to_string(),
        loaded.config.database.address.as_ref().unwrap().to_string(),
        loaded.config.database.direct.as_ref().unwrap().to_string(),
    ]
    .join("\n");
    assert!(
        everything.contains("owner@db.example.com:5432/d"),
        "the test saw the configuration"
    );
    assert_eq!(everything.matches(SECRET).count(), 0, "{everything}");
    assert_eq!(password(&loaded.config), SECRET);
}

/// Every way to get a secret wrong, and none repeats it.
#[test]
fn no_error_repeats_a_secret() {
    let environments = [
        format!("DATABASE_URL={SECRET}"),
        format!("DATABASE_URL=mysql://u:{SECRET}@h/d"),
        format!("DATABASE_URL=postgresql://u:p/{SECRET}@h/d"),
        format!("DATABASE_URL=postgresql://u:1/{SECRET}@h/d"),
        format!("DATABASE_URL=postgresql://u:1?{SECRET}@h/d"),
        format!("DATABASE_URL=postgresql://u:{SECRET}@h/d?options=x"),
        format!("DATABASE_URL=postgresql://u:{SECRET}%ff@h/d"),
        format!("DATABASE_URL=postgresql://u:{SECRET}@a,b/d"),
        format!("DATABASE_URL=postgresql://u:{SECRET}@h/d\nDBPASSWORD=other"),
        format!("DATABASE_DIRECT_URL=postgresql://u:{SECRET}@h/d"),
        format!("DATABASE_DIRECT_URL=postgresql://u:{SECRET}@/d\nDATABASE_URL=postgresql://u@h/d"),
        format!("DBPASSWORD={SECRET}\nDBNAME=d"),
        format!("PLINTH_SETUP_TOKEM={SECRET}"),
    ];
    for lines in environments {
        let place = Place::new().env(&lines);
        let error = place.loader().load().expect_err(&lines);
        let text = format!("{error} {error:?} {:?}", place.loader());
        assert!(!text.contains("hunter2"), "{lines}: {text}");
    }
    let files = [
        ("plinth.toml", format!("[database]\npassword = {SECRET}\n")),
        ("plinth.toml", format!("[database]\npassword = '{SECRET}\n")),
        ("plinth.toml", format!("[database]\npassword = ['{SECRET}']\n")),
        (".env", format!("DBPASSWORD=a {SECRET}\n")),
        (".env", format!("DBPASSWORD='{SECRET}\n")),
        (".env", format!("DBPASSWORD={SECRET}\nDBPASSWORD=other\n")),
    ];
    for (file, content) in files {
        let place = Place::new().file(file, &content);
        let error = place.loader().load().expect_err(&content);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2"), "{content}: {text}");
    }
}
