//! `POSTGRES_ENCRYPTION_KEY` as a keyring, and the key of one value derived from it.
//!
//! A key of the ring never leaves the process. What goes to `PGP_SYM_ENCRYPT` is derived for one value, so that a
//! leaked statement opens one row, and a ciphertext moved to another row, column or domain does not decrypt.

use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::hmac;
use crate::ids::DomainId;

/// Options for `pgp_sym_encrypt`. `s2k-mode=1` (one salted hash) is sound only because the key has 256 random bits.
pub const PGP_OPTIONS: &str = "cipher-algo=aes256,compress-algo=0,s2k-mode=1";

/// Fewest bytes that a key may have.
pub const MIN_KEY_BYTES: usize = 32;

/// One or several keys, newest first: the newest encrypts, all of them decrypt.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    id: String,
    secret: SecretString,
}

/// Where a value is stored; part of its key.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Frozen name of the column, such as `app_credentials.secret`; stays when the column is renamed.
    pub label: &'a str,
    /// Domain of the row.
    pub domain: DomainId,
    /// Id of the row.
    pub row: Uuid,
}

/// Why a keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A key is shorter than [`MIN_KEY_BYTES`].
    #[error(
        "POSTGRES_ENCRYPTION_KEY: key {position} has {bytes} bytes, but needs {MIN_KEY_BYTES} or more; \
         make one with: openssl rand -hex 32"
    )]
    TooShort {
        /// Which key, counted from 1.
        position: usize,
        /// How many bytes it has.
        bytes: usize,
    },
    /// No key is given.
    #[error("POSTGRES_ENCRYPTION_KEY is empty; make one with: openssl rand -hex 32")]
    Empty,
    /// Two keys have the same id.
    #[error("POSTGRES_ENCRYPTION_KEY: two keys have the id {0:?}")]
    Duplicate(String),
    /// Data is encrypted with a key that is not in the ring.
    #[error(
        "data is encrypted with the key {fingerprint}, which is not in POSTGRES_ENCRYPTION_KEY; \
         add that key (newest first, separated by commas) or restore persistent_data/encryption.key"
    )]
    Missing {
        /// Fingerprint that the installation remembers.
        fingerprint: String,
    },
    /// A ciphertext names a key that is not in the ring.
    #[error("no key with the id {0:?} is in POSTGRES_ENCRYPTION_KEY")]
    UnknownId(String),
}

impl Keyring {
    /// Reads keys separated by commas, newest first, each `key` or `id:key`. A key without an id gets one from its
    /// fingerprint.
    ///
    /// # Errors
    /// An empty ring, a key that is too short, two keys of one id.
    pub fn parse(text: &SecretString) -> Result<Self, KeyringError> {
        let mut keys: Vec<Key> = Vec::new();
        let entries = text
            .expose_secret()
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            let (id, secret) = match entry.split_once(':') {
                Some((id, secret)) => (Some(id.trim().to_owned()), secret.trim()),
                None => (None, entry),
            };
            if secret.len() < MIN_KEY_BYTES {
                return Err(KeyringError::TooShort {
                    position: index + 1,
                    bytes: secret.len(),
                });
            }
            let id = id.unwrap_or_else(|| Self::usual_id(&fingerprint(secret.as_bytes())));
            if keys.iter().any(|key| key.id == id) {
                return Err(KeyringError::Duplicate(id));
            }
            keys.push(Key {
                id,
                secret: SecretString::from(secret),
            });
        }
        if keys.is_empty() {
            Err(KeyringError::Empty)
        } else {
            Ok(Self { keys })
        }
    }

    /// A new random key in the form that `POSTGRES_ENCRYPTION_KEY` takes: 64 hexadecimal digits.
    pub fn generate() -> SecretString {
        SecretString::from(hex::encode(crate::clock::random_bytes::<32>()))
    }

    /// Id of the key that encrypts.
    pub fn newest_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// The key for one value, in the form that goes to `pgp_sym_encrypt`: 64 hexadecimal digits.
    ///
    /// # Errors
    /// The id is not in the ring.
    pub fn derive(&self, key_id: &str, place: Place<'_>) -> Result<SecretString, KeyringError> {
        let key = self
            .keys
            .iter()
            .find(|key| key.id == key_id)
            .ok_or_else(|| KeyringError::UnknownId(key_id.to_owned()))?;
        Ok(key.derive(&[
            b"plinth value",
            key.id.as_bytes(),
            place.label.as_bytes(),
            place.domain.uuid().as_bytes(),
            place.row.as_bytes(),
        ]))
    }

    /// Ids of all keys, newest first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// The id of a key that was given none.
    pub(crate) fn usual_id(fingerprint: &str) -> String {
        fingerprint.chars().take(8).collect()
    }

    /// Fingerprints of all keys, newest first: 32 hexadecimal digits that tell nothing of the key.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys
            .iter()
            .map(|key| fingerprint(key.secret.expose_secret().as_bytes()))
            .collect()
    }

    /// Signs a text with the newest key: HMAC-SHA-256 under a key derived for `purpose`, which keeps what was signed for one
    /// thing from being passed off as another. With the fingerprint of the key, under which it is verified.
    pub fn sign(&self, purpose: &str, text: &[u8]) -> Option<(String, [u8; 32])> {
        let key = self.keys.first()?;
        Some((
            fingerprint(key.secret.expose_secret().as_bytes()),
            key.signature(purpose, text),
        ))
    }

    /// Whether the key with this fingerprint signed the text. `None` when it is not in the ring.
    pub fn has_signed(
        &self,
        key_fingerprint: &str,
        purpose: &str,
        text: &[u8],
        signature: &[u8; 32],
    ) -> Option<bool> {
        let key = self
            .keys
            .iter()
            .find(|key| fingerprint(key.secret.expose_secret().as_bytes()) == key_fingerprint)?;
        // All bytes, however early they differ: how long it takes tells nothing.
        let differing = key
            .signature(purpose, text)
            .iter()
            .zip(signature)
            .fold(0, |differing, (ours, theirs)| differing | (ours ^ theirs));
        Some(differing == 0)
    }

    /// Checks that every key the installation remembers is here.
    ///
    /// # Errors
    /// Names the fingerprint that is missing.
    pub fn check(&self, remembered: &[String]) -> Result<(), KeyringError> {
        let ours = self.fingerprints();
        match remembered.iter().find(|fingerprint| !ours.contains(fingerprint)) {
            Some(fingerprint) => Err(KeyringError::Missing {
                fingerprint: fingerprint.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Key {
    fn derive(&self, parts: &[&[u8]]) -> SecretString {
        SecretString::from(hex::encode(hmac(self.secret.expose_secret().as_bytes(), parts)))
    }

    fn signature(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
        let parts: [&[u8]; 2] = [b"plinth signature", purpose.as_bytes()];
        let derived = hmac(self.secret.expose_secret().as_bytes(), &parts);
        hmac(&derived, &[text])
    }
}

fn fingerprint(secret: &[u8]) -> String {
    hex::encode(hmac(secret, &[b"plinth fingerprint"]))
        .chars()
        .take(32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> Result<Keyring, KeyringError> {
        Keyring::parse(&SecretString::from(text))
    }

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn short_empty_and_duplicate_keys_are_refused() {
        assert!(matches!(
            ring("short"),
            Err(KeyringError::TooShort {
                position: 1,
                bytes: 5
            })
        ));
        assert!(matches!(
            ring(&format!("{A},b:short")),
            Err(KeyringError::TooShort { position: 2, .. })
        ));
        assert!(matches!(ring(" , "), Err(KeyringError::Empty)));
        assert!(matches!(
            ring(&format!("x:{A},x:{B}")),
            Err(KeyringError::Duplicate(_))
        ));
    }

    #[test]
    fn a_derived_key_belongs_to_one_place() {
        let ring = ring(A).unwrap();
        let place = Place {
            label: "t.c",
            domain: crate::ids::PLATFORM_DOMAIN,
            row: Uuid::from_u128(1),
        };
        let derive = |place| {
            ring.derive(ring.newest_id(), place)
                .unwrap()
                .expose_secret()
                .to_owned()
        };
        assert_eq!(derive(place), derive(place));
        assert_ne!(
            derive(place),
            derive(Place {
                row: Uuid::from_u128(2),
                ..place
            })
        );
        assert_ne!(
            derive(place),
            derive(Place {
                label: "t.d",
                ..place
            })
        );
        assert_ne!(
            derive(place),
            derive(Place {
                domain: DomainId::new(Uuid::from_u128(3)),
                ..place
            })
        );
        assert!(!derive(place).contains(A));
    }

    #[test]
    fn the_ring_knows_which_remembered_key_is_missing() {
        let old = ring(A).unwrap();
        assert!(
            ring(&format!("{B},{A}"))
                .unwrap()
                .check(&old.fingerprints())
                .is_ok()
        );
        assert!(matches!(
            ring(B).unwrap().check(&old.fingerprints()),
            Err(KeyringError::Missing { .. })
        ));
    }

    #[test]
    fn a_signature_is_for_one_text_one_purpose_and_one_key() {
        let (a, b) = (ring(A).unwrap(), ring(&format!("{B},{A}")).unwrap());
        let (key, signature) = a.sign("x", b"text").unwrap();
        assert_eq!(key, a.fingerprints()[0]);
        // An older key of a ring still verifies.
        for ring in [&a, &b] {
            assert_eq!(ring.has_signed(&key, "x", b"text", &signature), Some(true));
            assert_eq!(ring.has_signed(&key, "y", b"text", &signature), Some(false));
            assert_eq!(ring.has_signed(&key, "x", b"texu", &signature), Some(false));
        }
        let other = b.sign("x", b"text").unwrap();
        assert_ne!(other, (key, signature));
        assert_eq!(a.has_signed(&other.0, "x", b"text", &other.1), None);
        assert_eq!(
            a.has_signed(&a.fingerprints()[0], "x", b"text", &other.1),
            Some(false)
        );
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let ring = ring(&format!("new:{A}")).unwrap();
        assert!(!format!("{ring:?}").contains(A));
    }
}
