//! Which databases are wanted, out of flags or a file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ProvisionError;

/// A database, and the login that owns it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The login that owns it and nothing else; without it, of the database's name.
    #[serde(default)]
    pub owner: String,
    /// Extensions to be made in it; without it, what the program of that name is known to need.
    pub extensions: Option<Vec<String>>,
    /// Whether it sorts by bytes (LC_COLLATE and LC_CTYPE C), as Synapse wants it.
    pub c_collation: Option<bool>,
    /// Most connections to it at once.
    pub connection_limit: Option<u32>,
    /// Whether the owner makes roles, as Plinth's does.
    pub create_roles: Option<bool>,
    /// Whether the owner makes databases, for drills and restores.
    #[serde(default)]
    pub create_databases: bool,
    /// File with the owner's password on its first line.
    pub password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    database: Vec<Wanted>,
}

/// What is known of the programs that stand beside Plinth.
struct Known {
    name: &'static str,
    extensions: &'static [&'static str],
    c_collation: bool,
    create_roles: bool,
}

/// Kratos' migrations make these two extensions. Synapse refuses another collation than C:
/// <https://element-hq.github.io/synapse/latest/postgres.html#set-up-database>.
const KNOWN: [Known; 3] = [
    Known {
        name: "plinth",
        extensions: &["pgcrypto", "uuid-ossp"],
        c_collation: false,
        create_roles: true,
    },
    Known {
        name: "kratos",
        extensions: &["pg_trgm", "btree_gin"],
        c_collation: false,
        create_roles: false,
    },
    Known {
        name: "synapse",
        extensions: &[],
        c_collation: true,
        create_roles: false,
    },
];

/// Longest name that PostgreSQL does not cut.
const LONGEST: usize = 63;

/// `NAME` or `NAME=OWNER`, as on the command line.
///
/// # Errors
/// In words, for clap.
pub fn parse(text: &str) -> Result<Wanted, String> {
    let (name, owner) = text.split_once('=').unwrap_or((text, text));
    let wanted = Wanted {
        name: name.to_owned(),
        owner: owner.to_owned(),
        extensions: None,
        c_collation: None,
        connection_limit: None,
        create_roles: None,
        create_databases: false,
        password_file: None,
    };
    check(&wanted)?;
    Ok(wanted)
}

/// Those of a TOML file: `[[database]]` with the fields of [`Wanted`].
///
/// # Errors
/// It cannot be read, or says something that makes no sense.
pub fn read(path: &Path) -> Result<Vec<Wanted>, ProvisionError> {
    let invalid = |problem: String| ProvisionError::Invalid(format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    if file.database.is_empty() {
        return Err(invalid("it names no [[database]]".to_owned()));
    }
    let mut all = file.database;
    for wanted in &mut all {
        if wanted.owner.is_empty() {
            wanted.owner.clone_from(&wanted.name);
        }
        check(wanted).map_err(invalid)?;
    }
    Ok(all)
}

/// All together make sense.
///
/// # Errors
/// A database twice.
pub fn check_all(all: &[Wanted]) -> Result<(), ProvisionError> {
    for (index, wanted) in all.iter().enumerate() {
        if all.iter().take(index).any(|other| other.name == wanted.name) {
            return Err(ProvisionError::Invalid(format!(
                "the database {} is named twice",
                wanted.name
            )));
        }
    }
    Ok(())
}

impl Wanted {
    fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name == self.name)
    }

    /// Extensions to be made.
    pub fn extensions(&self) -> Vec<String> {
        match (&self.extensions, self.known()) {
            (Some(extensions), _) => extensions.clone(),
            (None, Some(known)) => known.extensions.iter().map(|name| (*name).to_owned()).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Whether it sorts by bytes.
    pub fn c_collation(&self) -> bool {
        self.c_collation
            .unwrap_or_else(|| self.known().is_some_and(|known| known.c_collation))
    }

    /// Whether the owner makes roles.
    pub fn create_roles(&self) -> bool {
        self.create_roles
            .unwrap_or_else(|| self.known().is_some_and(|known| known.create_roles))
    }
}

fn check(wanted: &Wanted) -> Result<(), String> {
    check_name("database", &wanted.name, &["postgres", "template0", "template1"])?;
    check_name("owner", &wanted.owner, &["public", "none", "postgres"])?;
    for extension in wanted.extensions.iter().flatten() {
        check_name("extension", extension, &[])?;
    }
    if wanted
        .connection_limit
        .is_some_and(|limit| i32::try_from(limit).is_err())
    {
        return Err(format!("{}: the connection limit is too large", wanted.name));
    }
    Ok(())
}

/// Names that need no thought anywhere: in shells, in URLs, in psql's variables.
fn check_name(what: &str, name: &str, taken: &[&str]) -> Result<(), String> {
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if !first || !rest || name.len() > LONGEST {
        return Err(format!(
            "{name:?} cannot be the name of a {what}: lower-case letters, digits, _ and - are, a letter or _ first, at most {LONGEST}"
        ));
    }
    if name.starts_with("pg_") && what != "extension" || taken.contains(&name) {
        return Err(format!(
            "{name:?} is PostgreSQL's own, and no name for a {what} here"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_thought_are_refused() {
        for name in [
            "",
            "A",
            "1a",
            "a b",
            "a\"b",
            "a'b",
            "a;b",
            "a$b",
            "pg_x",
            "postgres",
            "template1",
            "a=",
            "ä",
            "a\n",
            "-a",
            &"a".repeat(64),
        ] {
            assert!(parse(name).is_err(), "{name:?}");
        }
        assert!(parse("kratos=\"; DROP").is_err());
        let hydra = parse("hydra=hydra_owner").unwrap();
        assert_eq!(
            (hydra.name.as_str(), hydra.owner.as_str()),
            ("hydra", "hydra_owner")
        );
        assert!(parse(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn what_is_known_holds_until_it_is_said_otherwise() {
        let synapse = parse("synapse").unwrap();
        assert!(synapse.c_collation() && synapse.extensions().is_empty() && !synapse.create_roles());
        let plinth = parse("plinth").unwrap();
        assert!(plinth.create_roles() && !plinth.c_collation());
        let plain = Wanted {
            c_collation: Some(false),
            ..synapse
        };
        assert!(!plain.c_collation());
    }
}
