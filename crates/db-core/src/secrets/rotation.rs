//! `plinth-ops keys rotate`: everything under the newest key.
//!
//! Rotation reads a batch, lets the server decrypt and encrypt it outside of any lock, and writes it in one short
//! transaction: only rows that still have the ciphertext that was read, and none that somebody else has locked, so that it
//! neither undoes a write nor waits for one. Where it was broken off, the next run goes on: what is done is under the newest key.

use std::time::{Duration, Instant};

use pg_connect::describe;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::encrypted::{EncryptedColumn, Stored, pgcrypto};
use super::keyring::{Keyring, PGP_OPTIONS};
use super::keys::{KeysError, Protected, remember_newest, remembered};
use crate::clock::Clock;
use crate::ids::PLATFORM_DOMAIN;
use crate::models::activity::{Activity, note};
use crate::owner::Owner;

/// Values in one transaction: some ten milliseconds.
const BATCH: i64 = 500;

/// How long rows that others hold are waited for without any coming free.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many values that cannot be decrypted are named; the rest is counted.
const NAMED: usize = 20;

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
        let noted = Activity::of_installation("installation.keys_rotated").after(&rotated);
        note(&client, clock, [(PLATFORM_DOMAIN, noted)]).await?;
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
