//! Passwords: `crypt()` in the database over an HMAC of the password under a pepper, behind a limit.
//!
//! The HMAC comes first because pgcrypto cuts bcrypt's input at 72 bytes, and so that no password goes over the wire.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::hmac;
use crate::clock::random_bytes;
use crate::error::{Error, Result};

/// Fewest characters of a password. Source: NIST SP 800-63B, section 3.1.1.2, for passwords used alone: at least 8
/// for what is checked against guessing limits; we ask for more, since bcrypt is all that protects a stolen hash.
pub const MIN_PASSWORD_CHARS: usize = 10;

/// Most characters of a password.
pub const MAX_PASSWORD_CHARS: usize = 256;

/// One generation of the pepper.
#[derive(Clone, Debug)]
pub struct Pepper {
    /// Generation, stored beside each hash.
    pub id: i32,
    /// 32 random bytes as 64 hexadecimal digits.
    pub secret: SecretString,
}

/// What hashing and checking passwords needs.
#[derive(Debug)]
pub struct Passwords {
    peppers: Vec<Pepper>,
    cost: i32,
    /// A check keeps a database backend busy for 50 to 200 ms: without a limit, sign-ins starve everything else.
    sign_ins: Semaphore,
    /// Everything else that hashes takes turns apart, so that whoever makes many accounts stops nobody's sign-in.
    others: Semaphore,
}

/// How long a hash waits for its turn before the caller is told to come back.
const PATIENCE: Duration = Duration::from_secs(3);

/// A password as the database may see it, under the newest pepper.
#[derive(Debug)]
pub struct NewHash {
    /// Goes into `crypt(proof, gen_salt('bf', cost))`.
    pub proof: SecretString,
    /// Generation of the pepper.
    pub pepper_id: i32,
    /// bcrypt cost, the base-2 logarithm of its rounds.
    pub cost: i32,
}

impl Passwords {
    /// Peppers newest first; `cost` is bcrypt's; at most `concurrency` sign-ins are checked at once in this process, and
    /// one other password hashed beside them.
    pub fn new(peppers: Vec<Pepper>, cost: i32, concurrency: usize) -> Self {
        Self {
            peppers,
            cost,
            sign_ins: Semaphore::new(concurrency.max(1)),
            others: Semaphore::new(1),
        }
    }

    /// bcrypt cost of new hashes.
    pub fn cost(&self) -> i32 {
        self.cost
    }

    /// Waits for a turn to check one password at sign-in.
    ///
    /// # Errors
    /// `Unavailable` when too many are waiting.
    pub async fn sign_in_turn(&self) -> Result<SemaphorePermit<'_>> {
        turn(&self.sign_ins).await
    }

    /// Waits for a turn to run one hash for anything else than a sign-in.
    ///
    /// # Errors
    /// `Unavailable` when too many are waiting.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        turn(&self.others).await
    }

    /// A new password, to be stored.
    ///
    /// # Errors
    /// The installation has no pepper.
    pub fn hash(&self, password: &SecretString) -> Result<NewHash> {
        let pepper = self
            .peppers
            .first()
            .ok_or_else(|| Error::Internal("no password pepper".to_owned()))?;
        Ok(NewHash {
            proof: proof(pepper, password),
            pepper_id: pepper.id,
            cost: self.cost,
        })
    }

    /// A password to check: ids of the peppers, and the proof under each.
    pub fn proofs(&self, password: &SecretString) -> (Vec<i32>, Vec<String>) {
        self.peppers
            .iter()
            .map(|pepper| (pepper.id, proof(pepper, password).expose_secret().to_owned()))
            .unzip()
    }
}

/// A password for somebody who chose none: 96 random bits, to be shown once.
pub fn generate() -> SecretString {
    SecretString::from(hex::encode(random_bytes::<12>()))
}

async fn turn(permits: &Semaphore) -> Result<SemaphorePermit<'_>> {
    match tokio::time::timeout(PATIENCE, permits.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Error::Unavailable(
            "too many passwords are being hashed".to_owned(),
        )),
    }
}

/// 43 characters of base64: within bcrypt's 72 bytes, and no NUL among them.
fn proof(pepper: &Pepper, password: &SecretString) -> SecretString {
    let mac = hmac(
        pepper.secret.expose_secret().as_bytes(),
        &[b"plinth password", password.expose_secret().as_bytes()],
    );
    SecretString::from(STANDARD_NO_PAD.encode(mac))
}
