//! Secrets that the installation keeps for itself, encrypted like everybody's; and the test that encryption works.

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::clock::random_bytes;
use crate::db::OpenError;
use crate::ids::PLATFORM_DOMAIN;
use crate::migrate::describe;
use crate::owner::SystemTx;
use crate::secrets::keyring::{Keyring, PGP_OPTIONS, Place};
use crate::secrets::password::Pepper;
use crate::setup::SetupError;

const PEPPER: &str = "password_pepper";

/// The row's generation stands in for its id.
fn pepper_place(id: i32) -> Place {
    let row = Uuid::from_u128(u128::from(id.unsigned_abs()));
    Place {
        label: "installation_secrets.password_pepper",
        domain: PLATFORM_DOMAIN,
        row,
    }
}

/// Stores the first pepper: the given one, or 256 random bits.
pub(super) async fn create_pepper(
    tx: &SystemTx<'_>,
    keyring: &Keyring,
    given: Option<&SecretString>,
) -> Result<Pepper, SetupError> {
    let pepper = Pepper {
        id: 1,
        secret: given.cloned().unwrap_or_else(Keyring::generate),
    };
    let key_id = keyring.newest_id();
    let key = keyring.derive(key_id, pepper_place(pepper.id))?;
    tx.client()
        .execute(
            "INSERT INTO installation_secrets (name, id, key_id, ciphertext)
             VALUES ($1, $2, $3, pgp_sym_encrypt($4, $5, $6))",
            &[
                &PEPPER,
                &pepper.id,
                &key_id,
                &pepper.secret.expose_secret(),
                &key.expose_secret(),
                &PGP_OPTIONS,
            ],
        )
        .await?;
    Ok(pepper)
}

/// All peppers, newest first.
pub(crate) async fn load_peppers(tx: &SystemTx<'_>, keyring: &Keyring) -> Result<Vec<Pepper>, OpenError> {
    let rows = tx
        .client()
        .query(
            "SELECT id, key_id, ciphertext FROM installation_secrets WHERE name = $1 ORDER BY id DESC",
            &[&PEPPER],
        )
        .await?;
    let mut peppers = Vec::with_capacity(rows.len());
    for row in rows {
        let id: i32 = row.get(0);
        let key = keyring.derive(row.get(1), pepper_place(id))?;
        let secret: String = tx
            .client()
            .query_one(
                "SELECT pgp_sym_decrypt($1, $2)",
                &[&row.get::<_, Vec<u8>>(2), &key.expose_secret()],
            )
            .await?
            .get(0);
        peppers.push(Pepper {
            id,
            secret: SecretString::from(secret),
        });
    }
    Ok(peppers)
}

/// Encrypts and decrypts, and checks that a wrong key and a moved ciphertext are refused: some servers decrypt with any
/// key (CVE-2026-14663, with other ciphers than ours).
pub(crate) async fn self_test(client: &Client, keyring: &Keyring) -> Result<(), OpenError> {
    let place = Place {
        label: "self-test",
        domain: PLATFORM_DOMAIN,
        row: Uuid::from_u128(1),
    };
    let moved = Place {
        row: Uuid::from_u128(2),
        ..place
    };
    let key = keyring.derive(keyring.newest_id(), place)?;
    let moved = keyring.derive(keyring.newest_id(), moved)?;
    let plain = hex::encode(random_bytes::<16>());
    let cipher: Vec<u8> = client
        .query_one(
            "SELECT pgp_sym_encrypt($1, $2, $3)",
            &[&plain, &key.expose_secret(), &PGP_OPTIONS],
        )
        .await?
        .get(0);
    let decrypt = async |key: &SecretString| {
        let row = client
            .query_one("SELECT pgp_sym_decrypt($1, $2)", &[&cipher, &key.expose_secret()])
            .await?;
        Ok::<String, tokio_postgres::Error>(row.get(0))
    };
    match decrypt(&key).await {
        Ok(back) if back == plain => {}
        Ok(_) => return Err(OpenError::SelfTest("a value came back changed".to_owned())),
        Err(error) => return Err(OpenError::SelfTest(describe(&error))),
    }
    let wrong = Keyring::generate();
    for (name, key) in [("a wrong key", &wrong), ("the key of another row", &moved)] {
        if decrypt(key).await.is_ok() {
            return Err(OpenError::SelfTest(format!(
                "{name} decrypts too; update PostgreSQL"
            )));
        }
    }
    Ok(())
}
