//! The columns whose values are encrypted under the keyring. A table with secrets adds its line to [`ENCRYPTED`]: backups
//! try a sample of it then, and `plinth-ops keys` counts and rotates it. A test compares the list with the database.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::keyring::{Keyring, Place};
use crate::ids::DomainId;
use pg_connect::describe;

/// A column that is encrypted: with `pgp_sym_encrypt`, as text, under the key that [`Keyring::derive`] gives for its place.
///
/// In the schema it is a `bytea` whose comment says `PGP_SYM_ENCRYPT`, beside a `text` column for the key's id that is named
/// `key_id` or ends with `_key_id`.
#[derive(Clone, Copy, Debug)]
pub struct EncryptedColumn {
    /// Table, in the schema `public`.
    pub table: &'static str,
    /// Column with the ciphertext.
    pub column: &'static str,
    /// Column with the id of the key.
    pub key_id: &'static str,
    /// Columns of the primary key, in its order, each with its type.
    pub primary_key: &'static [(&'static str, &'static str)],
    /// Frozen label, which every key of the column is derived with: it never changes, whatever is renamed. An SQL expression.
    label: &'static str,
    /// The row's domain: an SQL expression of type `uuid`.
    domain: &'static str,
    /// The row's id in [`Place`]: an SQL expression of type `uuid`.
    row: &'static str,
}

impl EncryptedColumn {
    /// A column of a tenant table with the primary key `(domain_id, id)`. `label` is an SQL string: `'app_credentials.secret'`,
    /// with its quotes.
    pub const fn tenant(
        table: &'static str,
        column: &'static str,
        key_id: &'static str,
        label: &'static str,
    ) -> Self {
        Self {
            table,
            column,
            key_id,
            primary_key: &[("domain_id", "uuid"), ("id", "uuid")],
            label,
            domain: "domain_id",
            row: "id",
        }
    }

    /// The frozen label, as an SQL expression of type `text` over the row.
    pub const fn label_sql(&self) -> &'static str {
        self.label
    }

    /// `table.column`, for people.
    pub fn name(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }
}

/// All of them.
pub const ENCRYPTED: &[EncryptedColumn] = &[EncryptedColumn {
    table: "installation_secrets",
    column: "ciphertext",
    key_id: "key_id",
    primary_key: &[("name", "text"), ("id", "integer")],
    // As `secret_label`.
    label: "'installation_secrets.' || name",
    domain: "platform_domain_id()",
    row: "lpad(to_hex(id), 32, '0')::uuid",
}];

/// The frozen label of a secret of the installation.
pub(crate) fn secret_label(name: &str) -> String {
    format!("installation_secrets.{name}")
}

/// A value as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// The primary key, as text, in the catalogue's order.
    pub(super) primary_key: Vec<String>,
    label: String,
    domain: Uuid,
    row: Uuid,
    pub(super) key_id: String,
    pub(super) ciphertext: Vec<u8>,
}

impl Stored {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            label: &self.label,
            domain: DomainId::new(self.domain),
            row: self.row,
        }
    }

    /// For messages: nothing of the value.
    pub(super) fn describe(&self, column: &EncryptedColumn) -> String {
        let key: Vec<String> = column
            .primary_key
            .iter()
            .zip(&self.primary_key)
            .map(|((name, _), value)| format!("{name} {value}"))
            .collect();
        format!("{} of the row {}", column.name(), key.join(", "))
    }
}

impl EncryptedColumn {
    /// Whether the database has it: one with an older schema may not.
    pub(super) async fn is_there(&self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        let row = client
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.' || quote_ident($1)) AND attname = $2
                                                           AND NOT attisdropped)",
                &[&self.table, &self.column],
            )
            .await?;
        Ok(row.get(0))
    }

    /// `$n::text::uuid, $n+1::text::integer`: the primary key as parameters.
    fn parameters(&self, first: usize) -> String {
        let parameters: Vec<String> = (first..)
            .zip(self.primary_key)
            .map(|(n, (_, kind))| format!("${n}::text::{kind}"))
            .collect();
        parameters.join(", ")
    }

    pub(super) fn key_columns(&self) -> String {
        let names: Vec<&str> = self.primary_key.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// Values under one of the keys, in the order of the primary key, behind `after`; at most `limit`.
    pub(super) async fn read(
        &self,
        client: &Client,
        key_ids: &[String],
        after: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<Stored>, tokio_postgres::Error> {
        let columns = self.key_columns();
        let as_text: Vec<String> = self
            .primary_key
            .iter()
            .map(|(name, _)| format!("{name}::text"))
            .collect();
        let behind = match after {
            Some(_) => format!("AND ({columns}) > ({})", self.parameters(3)),
            None => String::new(),
        };
        let sql = format!(
            "SELECT ARRAY[{}], {}, {}, {}, {}, {} FROM public.{}
              WHERE {} = ANY ($1) AND {} IS NOT NULL {behind} ORDER BY {columns} LIMIT $2",
            as_text.join(", "),
            self.label,
            // In a search path without public, too.
            self.domain
                .replace("platform_domain_id()", "public.platform_domain_id()"),
            self.row,
            self.key_id,
            self.column,
            self.table,
            self.key_id,
            self.column,
        );
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&key_ids, &limit];
        for value in after.unwrap_or_default() {
            parameters.push(value);
        }
        let rows = client.query(&sql, &parameters).await?;
        Ok(rows.iter().map(stored).collect())
    }

    /// How many values there are under each key id.
    pub(super) async fn count(
        &self,
        client: &Client,
    ) -> Result<BTreeMap<String, u64>, tokio_postgres::Error> {
        let sql = format!(
            "SELECT {0}, count(*) FROM public.{1} WHERE {2} IS NOT NULL GROUP BY {0}",
            self.key_id, self.table, self.column
        );
        let rows = client.query(&sql, &[]).await?;
        let counted = |row: &Row| {
            (
                row.get(0),
                u64::try_from(row.get::<_, i64>(1)).unwrap_or_default(),
            )
        };
        Ok(rows.iter().map(counted).collect())
    }
}

fn stored(row: &Row) -> Stored {
    Stored {
        primary_key: row.get(0),
        label: row.get(1),
        domain: row.get(2),
        row: row.get(3),
        key_id: row.get(4),
        ciphertext: row.get(5),
    }
}

/// Where pgcrypto's functions are, quoted.
pub(super) async fn pgcrypto(client: &Client) -> Result<String, tokio_postgres::Error> {
    let row = client
        .query_opt(
            "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pgcrypto'",
            &[],
        )
        .await?;
    Ok(row.map_or_else(|| "public".to_owned(), |row| row.get(0)))
}

/// How many values of a column need which key: `(column, key id, values)`. Columns that the database has not are left out.
///
/// # Errors
/// A statement fails.
pub async fn key_usage(
    client: &Client,
    columns: &[EncryptedColumn],
) -> Result<Vec<(String, String, u64)>, tokio_postgres::Error> {
    let mut usage = Vec::new();
    for column in columns {
        if column.is_there(client).await? {
            let counted = column.count(client).await?.into_iter();
            usage.extend(counted.map(|(key, values)| (column.name(), key, values)));
        }
    }
    Ok(usage)
}

/// What [`decrypt_sample`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Values that were decrypted.
    pub values: u64,
    /// A line for each that was not, without anything of the value.
    pub problems: Vec<String>,
}

/// Decrypts up to `per_key` values of each column under each key that it has.
///
/// # Errors
/// A statement fails for another reason than the value.
pub async fn decrypt_sample(
    client: &Client,
    keyring: &Keyring,
    columns: &[EncryptedColumn],
    per_key: i64,
) -> Result<Sample, tokio_postgres::Error> {
    let sql = format!("SELECT {}.pgp_sym_decrypt($1, $2)", pgcrypto(client).await?);
    let mut sample = Sample::default();
    for column in columns {
        if !column.is_there(client).await? {
            continue;
        }
        for key_id in column.count(client).await?.into_keys() {
            for stored in column
                .read(client, std::slice::from_ref(&key_id), None, per_key)
                .await?
            {
                let key: SecretString = match keyring.derive(&key_id, stored.place()) {
                    Ok(key) => key,
                    Err(error) => {
                        sample.problems.push(format!("{}: {error}", column.name()));
                        break;
                    }
                };
                // `execute`: the value itself is of no interest here, and is not to be kept.
                match client
                    .execute(&sql, &[&stored.ciphertext, &key.expose_secret()])
                    .await
                {
                    Ok(_) => sample.values += 1,
                    Err(error) if error.as_db_error().is_some() => sample.problems.push(format!(
                        "{} cannot be decrypted: {}",
                        stored.describe(column),
                        describe(&error)
                    )),
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(sample)
}
