//! `plinth-ops keys`: which key protects what, and the end of a key. Between the two, [`rotation`](super::rotation).

use pg_connect::{ConnectError, describe};
use serde::Serialize;
use tokio_postgres::Client;

use super::encrypted::{ENCRYPTED, EncryptedColumn, key_usage};
use super::keyring::{Keyring, KeyringError};
use crate::clock::Clock;
use crate::ids::PLATFORM_DOMAIN;
use crate::models::activity::{Activity, note};
use crate::owner::Owner;

/// Why nothing was said, rotated or retired, or not all.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no installation yet.
    #[error("the installation is not set up yet: run `plinth-ops setup`")]
    NotSetUp,
    /// The keyring does not fit.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Neither the keyring nor the installation knows the key.
    #[error("there is no key {given:?}: `plinth-ops keys list` shows {known}")]
    Unknown {
        /// What was asked for.
        given: String,
        /// Ids of the keys there are.
        known: String,
    },
    /// The newest key is the one that everything is encrypted with.
    #[error(
        "the key {0} is the newest of POSTGRES_ENCRYPTION_KEY, which encrypts: put a newer one before it, restart what uses it, \
         and run `plinth-ops keys rotate` first"
    )]
    Newest(String),
    /// Values need the key.
    #[error("the key {key} is still needed by {}: run `plinth-ops keys rotate` first", needed.join(", "))]
    StillNeeded {
        /// Its id.
        key: String,
        /// A line for each column.
        needed: Vec<String>,
    },
    /// Values that the keys at hand do not open.
    #[error("{rotated} values are under the newest key now, and these are not:\n  {}", problems.join("\n  "))]
    NotAll {
        /// How many were re-encrypted.
        rotated: u64,
        /// A line for each.
        problems: Vec<String>,
    },
    /// Rows are locked by others.
    #[error(
        "{rotated} values are under the newest key now; others have been holding {held} rows of {column} for a minute: run it again"
    )]
    Held {
        /// How many were re-encrypted.
        rotated: u64,
        /// How many are left.
        held: u64,
        /// Where.
        column: String,
    },
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error("{}", describe(.0))]
    Statement(#[from] tokio_postgres::Error),
}

/// One key, as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyStanding {
    /// Its id, as it stands beside ciphertexts. Of a key that is not in the keyring the one it has unless it was given another.
    pub id: String,
    /// Its fingerprint; `None` where ciphertexts alone name the key.
    pub fingerprint: Option<String>,
    /// Whether it is in `POSTGRES_ENCRYPTION_KEY`.
    pub in_keyring: bool,
    /// Whether it is the one that encrypts.
    pub newest: bool,
    /// Whether the installation remembers it: then no server starts without it.
    pub remembered: bool,
    /// What it protects: columns that have values under it.
    pub protects: Vec<Protected>,
}

/// Values of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protected {
    /// `table.column`.
    pub column: String,
    /// How many values.
    pub values: u64,
}

/// Remembers the key that encrypts: what it protects would be lost without it.
///
/// # Errors
/// A statement fails.
pub(crate) async fn remember_newest(client: &Client, keyring: &Keyring) -> Result<(), tokio_postgres::Error> {
    let fingerprints = keyring.fingerprints();
    let newest = fingerprints.first().map(String::as_str).unwrap_or_default();
    client
        .batch_execute("BEGIN; SET LOCAL ROLE plinth_system")
        .await?;
    client
        .execute(
            "UPDATE installation SET key_fingerprints = $1::text || key_fingerprints WHERE NOT $1 = ANY (key_fingerprints)",
            &[&newest],
        )
        .await?;
    client.batch_execute("COMMIT").await
}

/// Every key that the keyring, the installation or a ciphertext knows, the keyring's first.
///
/// # Errors
/// See [`KeysError`].
pub async fn keys_list(owner: &Owner, keyring: &Keyring) -> Result<Vec<KeyStanding>, KeysError> {
    let client = owner.connect().await?;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL ROLE plinth_system")
        .await?;
    let remembered = remembered(&client, "").await?;
    let usage = key_usage(&client, ENCRYPTED).await?;
    client.batch_execute("COMMIT").await?;
    Ok(standings(keyring, &remembered, &usage))
}

fn standings(keyring: &Keyring, remembered: &[String], usage: &[(String, String, u64)]) -> Vec<KeyStanding> {
    let mut keys: Vec<KeyStanding> = keyring
        .ids()
        .zip(keyring.fingerprints())
        .enumerate()
        .map(|(index, (id, fingerprint))| KeyStanding {
            id: id.to_owned(),
            newest: index == 0,
            in_keyring: true,
            remembered: remembered.contains(&fingerprint),
            fingerprint: Some(fingerprint),
            protects: Vec::new(),
        })
        .collect();
    for fingerprint in remembered {
        if !keys
            .iter()
            .any(|key| key.fingerprint.as_ref() == Some(fingerprint))
        {
            keys.push(KeyStanding {
                id: Keyring::usual_id(fingerprint),
                fingerprint: Some(fingerprint.clone()),
                in_keyring: false,
                newest: false,
                remembered: true,
                protects: Vec::new(),
            });
        }
    }
    for (column, id, values) in usage {
        let protected = Protected {
            column: column.clone(),
            values: *values,
        };
        match keys.iter_mut().find(|key| key.id == *id) {
            Some(key) => key.protects.push(protected),
            None => keys.push(KeyStanding {
                id: id.clone(),
                fingerprint: None,
                in_keyring: false,
                newest: false,
                remembered: false,
                protects: vec![protected],
            }),
        }
    }
    keys
}

/// The installation's fingerprints; `lock` is how the row is locked.
pub(super) async fn remembered(client: &Client, lock: &str) -> Result<Vec<String>, KeysError> {
    let there: bool = client
        .query_one("SELECT to_regclass('installation') IS NOT NULL", &[])
        .await?
        .get(0);
    if !there {
        return Err(KeysError::NotSetUp);
    }
    let sql = format!("SELECT key_fingerprints FROM installation {lock}");
    let row = client.query_opt(&sql, &[]).await?.ok_or(KeysError::NotSetUp)?;
    Ok(row.get(0))
}

/// Forgets a key, by its id or fingerprint, that nothing needs any more. Then it can be taken out of `POSTGRES_ENCRYPTION_KEY`.
/// `true` where the installation remembered it.
///
/// Processes that still have it as their newest key would go on encrypting with it: they are to have the newer one first.
///
/// # Errors
/// [`KeysError::StillNeeded`], [`KeysError::Newest`], [`KeysError::Unknown`], and what statements fail with.
pub async fn key_retire(
    owner: &Owner,
    keyring: &Keyring,
    clock: &Clock,
    columns: &[EncryptedColumn],
    given: &str,
) -> Result<(String, bool), KeysError> {
    let client = owner.connect().await?;
    // Dropping the connection is the rollback.
    client
        .batch_execute("BEGIN; SET LOCAL ROLE plinth_system")
        .await?;
    let remembered = remembered(&client, "FOR UPDATE").await?;
    let keys = standings(keyring, &remembered, &key_usage(&client, columns).await?);
    let matches = |key: &&KeyStanding| {
        key.id == given
            || (given.len() >= 8
                && key
                    .fingerprint
                    .as_ref()
                    .is_some_and(|whole| whole.starts_with(given)))
    };
    let key = keys.iter().find(matches).ok_or_else(|| KeysError::Unknown {
        given: given.to_owned(),
        known: keys
            .iter()
            .map(|key| key.id.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    if key.newest {
        return Err(KeysError::Newest(key.id.clone()));
    }
    // Which id a key had that is not at hand nobody knows: any id that is not of a key at hand may be its own.
    let needed: Vec<String> = keys
        .iter()
        .filter(|other| other.id == key.id || (!key.in_keyring && !other.in_keyring))
        .flat_map(|other| {
            other.protects.iter().map(|protected| {
                format!(
                    "{} ({} values under {})",
                    protected.column, protected.values, other.id
                )
            })
        })
        .collect();
    if !needed.is_empty() {
        return Err(KeysError::StillNeeded {
            key: key.id.clone(),
            needed,
        });
    }
    client
        .execute(
            "UPDATE installation SET key_fingerprints = array_remove(key_fingerprints, $1)",
            &[&key.fingerprint],
        )
        .await?;
    if key.remembered {
        let after = serde_json::json!({ "id": key.id, "fingerprint": key.fingerprint });
        let retired = Activity::of_installation("installation.key_retired").after(&after);
        note(&client, clock, [(PLATFORM_DOMAIN, retired)]).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok((key.id.clone(), key.remembered))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn every_key_is_listed_once_with_what_it_protects() {
        let (new, old) = (
            "new:0123456789abcdef0123456789abcdef",
            "fedcba9876543210fedcba9876543210",
        );
        let keyring = Keyring::parse(&SecretString::from(format!("{new},{old}"))).unwrap();
        let old_fingerprint = keyring.fingerprints()[1].clone();
        let lost = "ffffffff00000000ffffffff00000000".to_owned();
        let usage = [
            ("t.c".to_owned(), Keyring::usual_id(&old_fingerprint), 3),
            ("t.c".to_owned(), "who".to_owned(), 1),
        ];
        let keys = standings(&keyring, &[old_fingerprint, lost], &usage);
        let seen: Vec<(&str, bool, bool, bool, u64)> = keys
            .iter()
            .map(|key| {
                let values = key.protects.iter().map(|protected| protected.values).sum();
                (
                    key.id.as_str(),
                    key.newest,
                    key.in_keyring,
                    key.remembered,
                    values,
                )
            })
            .collect();
        let old_id = keys[1].id.clone();
        assert_eq!(
            seen,
            [
                ("new", true, true, false, 0),
                (old_id.as_str(), false, true, true, 3),
                ("ffffffff", false, false, true, 0),
                ("who", false, false, false, 1),
            ]
        );
    }
}
