//! Secrets that the installation keeps for itself, encrypted like everybody's; and the test that encryption works.

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::clock::random_bytes;
use crate::db::OpenError;
use crate::ids::PLATFORM_DOMAIN;
use crate::owner::SystemTx;
use crate::secrets::encrypted::secret_label;
use crate::secrets::keyring::{Keyring, PGP_OPTIONS, Place};
use crate::secrets::password::Pepper;
use pg_connect::describe;

const PEPPER: &str = "password_pepper";
const LOGIN: &str = "login";

/// Where a secret is: its generation stands in for its id.
fn place(label: &str, id: i32) -> Place<'_> {
    Place {
        label,
        domain: PLATFORM_DOMAIN,
        row: Uuid::from_u128(u128::from(id.unsigned_abs())),
    }
}

/// Stores the first generation of a secret, unless there is one.
async fn create(
    tx: &SystemTx<'_>,
    keyring: &Keyring,
    name: &str,
    secret: &SecretString,
) -> Result<(), OpenError> {
    let key_id = keyring.newest_id();
    let key = keyring.derive(key_id, place(&secret_label(name), 1))?;
    tx.client()
        .execute(
            "INSERT INTO installation_secrets (name, id, key_id, ciphertext)
             VALUES ($1, 1, $2, pgp_sym_encrypt($3, $4, $5)) ON CONFLICT DO NOTHING",
            &[
                &name,
                &key_id,
                &secret.expose_secret(),
                &key.expose_secret(),
                &PGP_OPTIONS,
            ],
        )
        .await?;
    Ok(())
}

/// All generations of a secret, newest first.
async fn load(
    tx: &SystemTx<'_>,
    keyring: &Keyring,
    name: &str,
) -> Result<Vec<(i32, SecretString)>, OpenError> {
    let rows = tx
        .client()
        .query(
            "SELECT id, key_id, ciphertext FROM installation_secrets WHERE name = $1 ORDER BY id DESC",
            &[&name],
        )
        .await?;
    let mut secrets = Vec::with_capacity(rows.len());
    for row in rows {
        let id: i32 = row.get(0);
        let key = keyring.derive(row.get(1), place(&secret_label(name), id))?;
        let secret: String = tx
            .client()
            .query_one(
                "SELECT pgp_sym_decrypt($1, $2)",
                &[&row.get::<_, Vec<u8>>(2), &key.expose_secret()],
            )
            .await?
            .get(0);
        secrets.push((id, SecretString::from(secret)));
    }
    Ok(secrets)
}

/// Stores the first pepper: the given one, or 256 random bits.
pub(super) async fn create_pepper(
    tx: &SystemTx<'_>,
    keyring: &Keyring,
    given: Option<&SecretString>,
) -> Result<Pepper, OpenError> {
    let secret = given.cloned().unwrap_or_else(Keyring::generate);
    create(tx, keyring, PEPPER, &secret).await?;
    Ok(Pepper { id: 1, secret })
}

/// All peppers, newest first.
pub(crate) async fn load_peppers(tx: &SystemTx<'_>, keyring: &Keyring) -> Result<Vec<Pepper>, OpenError> {
    let peppers = load(tx, keyring, PEPPER).await?;
    Ok(peppers
        .into_iter()
        .map(|(id, secret)| Pepper { id, secret })
        .collect())
}

/// The secret that passwords of our own logins are derived from: made when there is none. It is the same under whatever key
/// it is stored, so that replicas agree on a password while the keys change.
pub(crate) async fn login_secret(tx: &SystemTx<'_>, keyring: &Keyring) -> Result<SecretString, OpenError> {
    loop {
        if let Some((_, secret)) = load(tx, keyring, LOGIN).await?.into_iter().next() {
            return Ok(secret);
        }
        create(tx, keyring, LOGIN, &Keyring::generate()).await?;
    }
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
