//! Secrets of a copy. A ciphertext is bound to its domain and its row: what is copied is decrypted and encrypted anew, inside
//! PostgreSQL, each value under keys derived for it alone.

use std::collections::BTreeSet;

use db_core::DomainId;
use db_core::secrets::encrypted::EncryptedColumn;
use db_core::secrets::keyring::{Keyring, PGP_OPTIONS, Place};
use pg_catalog::quote_ident;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;
use uuid::Uuid;

use super::catalogue::Table;
use super::remap::Staged;
use super::{DomainError, manifest, stage};

/// Values in one statement.
const BATCH: i64 = 500;

/// Whether any staged row holds a secret, and whether all columns that do are known.
///
/// # Errors
/// A column names keys, and nobody knows what it holds: it could not be read in the copy.
pub(super) async fn are_there(
    client: &Client,
    staged: &[Staged],
    known: &[EncryptedColumn],
) -> Result<bool, DomainError> {
    let mut any = false;
    for (index, table) in staged {
        let columns: BTreeSet<&str> = manifest::key_columns(table).collect();
        for column in columns {
            let sql = format!(
                "SELECT EXISTS (SELECT FROM {} WHERE {} IS NOT NULL)",
                stage::name(*index),
                quote_ident(column)
            );
            if !client.query_one(&sql, &[]).await?.get::<_, bool>(0) {
                continue;
            }
            any = true;
            if !known
                .iter()
                .any(|known| is_of(known, table) && known.key_id == column)
            {
                return Err(DomainError::failed(format!(
                    "{} has values that are encrypted under the key in {column}, and this version of Plinth does not know how: \
                     the copy could not read them",
                    table.name
                )));
            }
        }
    }
    Ok(any)
}

fn is_of(column: &EncryptedColumn, table: &Table) -> bool {
    table.name == format!("public.{}", quote_ident(column.table))
}

/// Encrypts all staged secrets for the rows that they become. The map of ids has to be filled.
pub(super) async fn encrypt_anew(
    client: &Client,
    staged: &[Staged],
    known: &[EncryptedColumn],
    keyring: &Keyring,
    (from, to): (Uuid, Uuid),
) -> Result<u64, DomainError> {
    let mut count = 0;
    for column in known {
        let Some((index, _)) = staged.iter().find(|(_, table)| is_of(column, table)) else {
            continue;
        };
        let rows = Rows {
            client,
            column,
            at: stage::name(*index),
            keyring,
            from: DomainId::new(from),
            to: DomainId::new(to),
        };
        let mut after = Uuid::nil();
        while let Some((last, done)) = rows.batch(after).await? {
            after = last;
            count += done;
        }
    }
    Ok(count)
}

struct Rows<'a> {
    client: &'a Client,
    column: &'a EncryptedColumn,
    /// The staging table.
    at: String,
    keyring: &'a Keyring,
    from: DomainId,
    to: DomainId,
}

impl Rows<'_> {
    /// The next ones behind an id; the last id and how many, until there are none.
    async fn batch(&self, after: Uuid) -> Result<Option<(Uuid, u64)>, DomainError> {
        let (column, key_id) = (quote_ident(self.column.column), quote_ident(self.column.key_id));
        let sql = format!(
            "SELECT s.id, (SELECT i.new FROM pg_temp.plinth_ids i WHERE i.old = s.id), s.{key_id}, s.{column}, {} FROM {} s
              WHERE s.{column} IS NOT NULL AND s.id > $1 ORDER BY s.id LIMIT $2",
            self.column.label_sql(),
            self.at
        );
        let rows = self.client.query(&sql, &[&after, &BATCH]).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let last: Uuid = last.get(0);
        let (mut ids, mut texts, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let (id, becomes): (Uuid, Uuid) = (row.get(0), row.get(1));
            let label: String = row.get(4);
            old.push(self.key(row.get(2), &label, self.from, id)?);
            new.push(self.key(self.keyring.newest_id(), &label, self.to, becomes)?);
            ids.push(id);
            texts.push(row.get::<_, Vec<u8>>(3));
        }
        let exposed = |keys: &[SecretString]| {
            keys.iter()
                .map(|key| key.expose_secret().to_owned())
                .collect::<Vec<_>>()
        };
        let sql = format!(
            "UPDATE {} s SET {key_id} = $5, {column} = public.pgp_sym_encrypt(public.pgp_sym_decrypt(v.text, v.old), v.new, $6)
               FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[]) v (id, text, old, new) WHERE s.id = v.id",
            self.at
        );
        let updated = self
            .client
            .execute(
                &sql,
                &[
                    &ids,
                    &texts,
                    &exposed(&old),
                    &exposed(&new),
                    &self.keyring.newest_id(),
                    &PGP_OPTIONS,
                ],
            )
            .await
            .map_err(|error| {
                DomainError::failed(format!(
                    "a value of {} cannot be encrypted anew: {}",
                    self.column.name(),
                    pg_connect::describe(&error)
                ))
            })?;
        Ok(Some((last, updated)))
    }

    fn key(
        &self,
        key_id: &str,
        label: &str,
        domain: DomainId,
        row: Uuid,
    ) -> Result<SecretString, DomainError> {
        self.keyring
            .derive(key_id, Place { label, domain, row })
            .map_err(|error| DomainError::failed(format!("a value of {}: {error}", self.column.name())))
    }
}

#[cfg(test)]
mod tests {
    use test_support::{ACME, KEY, TestDatabase, World};

    use super::*;
    use crate::backup::domain::catalogue::Tables;
    use crate::backup::domain::remap;

    const VAULT: EncryptedColumn = EncryptedColumn::tenant("vault", "secret", "key_id", "'vault.secret'");

    #[tokio::test]
    async fn a_copied_secret_opens_in_its_new_place_and_nowhere_else() {
        let database = TestDatabase::new().await;
        let client = database.superuser().await;
        let acme = World::new(database.superuser().await).domain(ACME).await;
        client
            .batch_execute(
                "CREATE TABLE public.vault (domain_id uuid NOT NULL, id uuid NOT NULL, key_id text, secret bytea, PRIMARY KEY (domain_id, id));
                 SET search_path = ''",
            )
            .await
            .unwrap();
        let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
        let place = |domain, row| Place {
            label: "vault.secret",
            domain: DomainId::new(domain),
            row,
        };
        let count = 2 * usize::try_from(BATCH).unwrap() + 1;
        for number in 0..count {
            let id = db_core::Clock::System.uuid();
            let key = keyring.derive(keyring.newest_id(), place(acme, id)).unwrap();
            client
                .execute(
                    "INSERT INTO public.vault VALUES ($1, $2, $3, public.pgp_sym_encrypt($4, $5, $6))",
                    &[
                        &acme,
                        &id,
                        &keyring.newest_id(),
                        &format!("secret {number}"),
                        &key.expose_secret(),
                        &PGP_OPTIONS,
                    ],
                )
                .await
                .unwrap();
        }
        let mut tables = Tables::read(&client).await.unwrap();
        tables.leave_out(|table| table.name != "public.vault");
        client.batch_execute("BEGIN").await.unwrap();
        remap::make(&client).await.unwrap();
        stage::make(&client, &tables).await.unwrap();
        let at = stage::name(0);
        client
            .execute(
                &format!("INSERT INTO {at} (domain_id, id, key_id, secret) SELECT domain_id, id, key_id, secret FROM public.vault"),
                &[],
            )
            .await
            .unwrap();
        let staged: Vec<Staged> = tables.tables.into_iter().enumerate().collect();
        let twin = db_core::Clock::System.uuid();
        remap::fill(&client, &staged, acme, twin).await.unwrap();
        assert!(are_there(&client, &staged, &[]).await.is_err(), "it is not known");
        assert!(are_there(&client, &staged, &[VAULT]).await.unwrap());
        let done = encrypt_anew(&client, &staged, &[VAULT], &keyring, (acme, twin))
            .await
            .unwrap();
        assert_eq!(done, count as u64);

        let rows = client
            .query(
                &format!("SELECT s.id, i.new, s.key_id, s.secret FROM {at} s JOIN pg_temp.plinth_ids i ON i.old = s.id ORDER BY s.id"),
                &[],
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), count);
        let sql = "SELECT public.pgp_sym_decrypt($1, $2)";
        let mut read = BTreeSet::new();
        for row in &rows {
            let secret: Vec<u8> = row.get(3);
            let key = keyring.derive(row.get(2), place(twin, row.get(1))).unwrap();
            let text: String = client
                .query_one(sql, &[&secret, &key.expose_secret()])
                .await
                .unwrap()
                .get(0);
            read.insert(text);
        }
        assert!(read.len() == count && read.contains("secret 1000"));
        let old = keyring
            .derive(rows[0].get(2), place(acme, rows[0].get(0)))
            .unwrap();
        let secret: Vec<u8> = rows[0].get(3);
        assert!(
            client
                .query_one(sql, &[&secret, &old.expose_secret()])
                .await
                .is_err()
        );
    }
}
