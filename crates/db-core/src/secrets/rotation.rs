//! `plinth-ops keys`: which key protects what, everything under the newest key, and the end of a key.
//!
//! Rotation reads a batch, lets the server decrypt and encrypt it outside of any lock, and writes it in one short
//! transaction: only rows that still have the ciphertext that was read, and none that somebody else has locked, so that it
//! neither undoes a write nor waits for one. Where it was broken off, the next run goes on: what is done is under the newest key.

use std::time::{Duration, Instant};

use pg_connect::{ConnectError, describe};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::encrypted::{ENCRYPTED, EncryptedColumn, Stored, key_usage, pgcrypto};
use super::keyring::{Keyring, KeyringError, PGP_OPTIONS};
use crate::clock::Clock;
use crate::ids::PLATFORM_DOMAIN;
use crate::owner::Owner;

/// Values in one transaction: some ten milliseconds.
const BATCH: i64 = 500;

/// How long rows that others hold are waited for without any coming free.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many values that cannot be decrypted are named; the rest is counted.
const NAMED: usize = 20;

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

/// How far a rotation has come.
#[derive(Clone, Debug)]
pub struct RotationStep<'a> {
    /// `table.column`.
    pub column: &'a str,
    /// Values of the column that were re-encrypted.
    pub done: u64,
    /// Values of the column that needed it when it began.
    pub of: u64,
}

/// What a rotation has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// The key that everything is under.
    pub newest: String,
    /// How many values were re-encrypted, column by column.
    pub columns: Vec<Protected>,
    /// How many in all.
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
async fn remembered(client: &Client, lock: &str) -> Result<Vec<String>, KeysError> {
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

/// Re-encrypts every value of `columns` (all: [`ENCRYPTED`]) that is under another key than the newest. Several at once share
/// the work.
///
/// # Errors
/// See [`KeysError`]. What was done until then stays.
pub async fn keys_rotate(
    owner: &Owner,
    keyring: &Keyring,
    clock: &Clock,
    columns: &[EncryptedColumn],
    mut tell: impl FnMut(RotationStep<'_>),
) -> Result<Rotated, KeysError> {
    let client = owner.connect().await?;
    // The role of the whole session: each statement sees the rows whoever the owner is.
    client.batch_execute("SET ROLE plinth_system").await?;
    keyring.check(&remembered(&client, "").await?)?;
    // First of all: from now on values need it.
    remember_newest(&client, keyring).await?;
    let mut rotation = Rotation {
        pgcrypto: pgcrypto(&client).await?,
        client,
        keyring,
        problems: Vec::new(),
        unnamed: 0,
    };
    let mut rotated = Rotated {
        newest: keyring.newest_id().to_owned(),
        columns: Vec::new(),
        values: 0,
    };
    for column in columns {
        if !column.is_there(&rotation.client).await? {
            continue;
        }
        let values = match rotation.column(column, &mut tell).await {
            Err(KeysError::Held {
                rotated: here,
                held,
                column,
            }) => {
                return Err(KeysError::Held {
                    rotated: rotated.values + here,
                    held,
                    column,
                });
            }
            result => result?,
        };
        rotated.values += values;
        rotated.columns.push(Protected {
            column: column.name(),
            values,
        });
    }
    let Rotation {
        client,
        mut problems,
        unnamed,
        ..
    } = rotation;
    if rotated.values > 0 {
        note(
            &client,
            clock,
            "installation.keys_rotated",
            &serde_json::json!(rotated),
        )
        .await?;
    }
    if unnamed > 0 {
        problems.push(format!("and {unnamed} more"));
    }
    if problems.is_empty() {
        Ok(rotated)
    } else {
        Err(KeysError::NotAll {
            rotated: rotated.values,
            problems,
        })
    }
}

struct Rotation<'a> {
    client: Client,
    keyring: &'a Keyring,
    pgcrypto: String,
    problems: Vec<String>,
    unnamed: u64,
}

/// What became of a batch.
#[derive(Default)]
struct Batch {
    written: u64,
    /// Rows that somebody has locked, or changed meanwhile.
    passed: u64,
}

impl Rotation<'_> {
    /// Passes over a column until nothing is left under another key of the ring.
    async fn column(
        &mut self,
        column: &EncryptedColumn,
        tell: &mut impl FnMut(RotationStep<'_>),
    ) -> Result<u64, KeysError> {
        let name = column.name();
        let newest = self.keyring.newest_id().to_owned();
        let counted = column.count(&self.client).await?;
        let others: Vec<String> = self
            .keyring
            .ids()
            .filter(|id| *id != newest)
            .map(ToOwned::to_owned)
            .collect();
        for (key, values) in &counted {
            if *key != newest && !others.contains(key) {
                self.problem(format!(
                    "{name}: {values} values under the key {key}, which is not in POSTGRES_ENCRYPTION_KEY"
                ));
            }
        }
        let of = others.iter().filter_map(|key| counted.get(key)).sum();
        let (mut done, mut moved_at) = (0, Instant::now());
        tell(RotationStep {
            column: &name,
            done,
            of,
        });
        loop {
            let mut passed = 0;
            // What cannot be decrypted is told once: later passes only look at rows that were passed over.
            let first = self.problems.len() as u64 + self.unnamed;
            let mut after: Option<Vec<String>> = None;
            loop {
                let batch = column
                    .read(&self.client, &others, after.as_deref(), BATCH)
                    .await?;
                let Some(last) = batch.last() else { break };
                after = Some(last.primary_key.clone());
                let became = self.batch(column, &batch).await?;
                if became.written > 0 {
                    moved_at = Instant::now();
                    done += became.written;
                    tell(RotationStep {
                        column: &name,
                        done,
                        of: of.max(done),
                    });
                }
                passed += became.passed;
            }
            if passed == 0 {
                return Ok(done);
            }
            if moved_at.elapsed() > PATIENCE {
                return Err(KeysError::Held {
                    rotated: done,
                    held: passed,
                    column: name,
                });
            }
            self.forget_since(first);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Problems of a pass that is made again.
    fn forget_since(&mut self, first: u64) {
        self.unnamed = self.unnamed.min(first.saturating_sub(NAMED as u64));
        self.problems
            .truncate(usize::try_from(first).unwrap_or(usize::MAX));
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < NAMED {
            self.problems.push(problem);
        } else {
            self.unnamed += 1;
        }
    }

    /// Re-encrypts a batch at once; where one of its values fails, one after the other.
    async fn batch(&mut self, column: &EncryptedColumn, batch: &[Stored]) -> Result<Batch, KeysError> {
        let all: Vec<&Stored> = batch.iter().collect();
        match self.fresh(&all).await {
            Ok(fresh) => self.write(column, &all, &fresh).await,
            Err(KeysError::Statement(error)) if error.as_db_error().is_some() => {
                let (mut good, mut fresh) = (Vec::new(), Vec::new());
                for stored in batch {
                    match self.fresh(&[stored]).await {
                        Ok(one) => {
                            good.push(stored);
                            fresh.extend(one);
                        }
                        Err(KeysError::Statement(error)) if error.as_db_error().is_some() => {
                            self.problem(format!(
                                "{}, under the key {}: {}",
                                stored.describe(column),
                                stored.key_id,
                                describe(&error)
                            ));
                        }
                        Err(error) => return Err(error),
                    }
                }
                self.write(column, &good, &fresh).await
            }
            Err(error) => Err(error),
        }
    }

    /// The same values under the newest key. The plain text does not leave the server.
    async fn fresh(&self, values: &[&Stored]) -> Result<Vec<Vec<u8>>, KeysError> {
        let newest = self.keyring.newest_id();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for stored in values {
            old.push(self.keyring.derive(&stored.key_id, stored.place())?);
            new.push(self.keyring.derive(newest, stored.place())?);
        }
        let ciphertexts: Vec<&[u8]> = values.iter().map(|stored| stored.ciphertext.as_slice()).collect();
        let old: Vec<&str> = old.iter().map(|key| key.expose_secret()).collect();
        let new: Vec<&str> = new.iter().map(|key| key.expose_secret()).collect();
        let sql = format!(
            "SELECT {0}.pgp_sym_encrypt({0}.pgp_sym_decrypt(v.ciphertext, v.old), v.new, $4)
               FROM unnest($1::bytea[], $2::text[], $3::text[]) WITH ORDINALITY AS v(ciphertext, old, new, number) ORDER BY v.number",
            self.pgcrypto
        );
        let rows = self
            .client
            .query(&sql, &[&ciphertexts, &old, &new, &PGP_OPTIONS])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Writes those that are still what they were, and that nobody holds.
    async fn write(
        &self,
        column: &EncryptedColumn,
        values: &[&Stored],
        fresh: &[Vec<u8>],
    ) -> Result<Batch, KeysError> {
        if values.is_empty() {
            return Ok(Batch::default());
        }
        let EncryptedColumn {
            table,
            column: ciphertext,
            key_id,
            primary_key,
            ..
        } = column;
        let width = primary_key.len();
        let keys: Vec<Vec<&str>> = (0..width)
            .map(|index| {
                values
                    .iter()
                    .map(|stored| {
                        stored
                            .primary_key
                            .get(index)
                            .map(String::as_str)
                            .unwrap_or_default()
                    })
                    .collect()
            })
            .collect();
        let key_ids: Vec<&str> = values.iter().map(|stored| stored.key_id.as_str()).collect();
        let old: Vec<&[u8]> = values.iter().map(|stored| stored.ciphertext.as_slice()).collect();
        let newest = self.keyring.newest_id();

        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&newest, &key_ids, &old, &fresh];
        parameters.extend(keys.iter().map(|key| key as &(dyn ToSql + Sync)));
        let arrays: Vec<String> = (5..5 + width).map(|n| format!("${n}::text[]")).collect();
        let names: Vec<String> = (0..width).map(|n| format!("k{n}")).collect();
        let found: Vec<String> = (0..)
            .zip(*primary_key)
            .map(|(n, (name, kind)): (usize, _)| format!("t.{name} = f.k{n}::{kind}"))
            .collect();
        let same: Vec<String> = primary_key
            .iter()
            .map(|(name, _)| format!("t.{name} = l.{name}"))
            .collect();
        let taken: Vec<String> = primary_key.iter().map(|(name, _)| format!("t.{name}")).collect();
        let sql = format!(
            "WITH l AS MATERIALIZED (
                 SELECT {}, f.new
                   FROM public.{table} t
                   JOIN unnest($2::text[], $3::bytea[], $4::bytea[], {}) AS f(key_id, old, new, {})
                     ON {} AND t.{key_id} = f.key_id AND t.{ciphertext} = f.old
                    FOR NO KEY UPDATE OF t SKIP LOCKED)
             UPDATE public.{table} t SET {ciphertext} = l.new, {key_id} = $1 FROM l WHERE {}",
            taken.join(", "),
            arrays.join(", "),
            names.join(", "),
            found.join(" AND "),
            same.join(" AND "),
        );
        let written = self.client.execute(&sql, &parameters).await?;
        Ok(Batch {
            written,
            passed: (values.len() as u64).saturating_sub(written),
        })
    }
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
        insert_note(&client, clock, "installation.key_retired", &after).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok((key.id.clone(), key.remembered))
}

/// A row in the platform's activity stream, by nobody: it was the installation.
async fn note(
    client: &Client,
    clock: &Clock,
    action: &str,
    after: &serde_json::Value,
) -> Result<(), KeysError> {
    client.batch_execute("BEGIN").await?;
    insert_note(client, clock, action, after).await?;
    Ok(client.batch_execute("COMMIT").await?)
}

async fn insert_note(
    client: &Client,
    clock: &Clock,
    action: &str,
    after: &serde_json::Value,
) -> Result<(), KeysError> {
    client
        .execute(
            "INSERT INTO activity_stream (domain_id, id, action, target_type, after)
             VALUES ($1, $2, $3, 'installation', $4::text::jsonb)",
            &[
                &PLATFORM_DOMAIN.uuid(),
                &clock.uuid(),
                &action,
                &after.to_string(),
            ],
        )
        .await?;
    Ok(())
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
