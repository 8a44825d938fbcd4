//! Small JSON files that end with a signature, where there is a key, and a checksum of themselves.
//!
//! The checksum finds faults, and needs nothing. The signature tells what this installation wrote from what somebody put there:
//! HMAC-SHA-256 under a key that is derived from one of `POSTGRES_ENCRYPTION_KEY`. docs/BACKUPS.md has both.

use db_core::secrets::keyring::Keyring;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Between what is sealed and the fingerprint of the key that signed it, and between that and the signature.
const SIGNED_WITH: &str = ",\n  \"signed_with\": \"";
const SIGNATURE: &str = "\",\n  \"hmac_sha256\": \"";
/// Between what is sealed and the checksum. The text ends with the checksum and [`TAIL`].
const FIELD: &str = ",\n  \"sha256\": \"";
const TAIL: &str = "\"\n}\n";
const HEX: usize = 64;
const FINGERPRINT: usize = 32;

/// Whether a file is what this installation wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authenticity {
    /// Signed with a key of the ring.
    Authentic,
    /// It has no signature.
    Unsigned,
    /// The signature is not that of the text.
    Forged,
    /// Signed with a key that is not in the ring; its fingerprint.
    OtherKey(String),
    /// There is no key here to tell by.
    NoKey,
}

/// A file that was opened.
#[derive(Debug, PartialEq)]
pub(super) struct Opened<T> {
    pub value: T,
    /// The checksum, in hex.
    pub sha256: String,
    pub authenticity: Authenticity,
}

/// The value as JSON, with last fields `signed_with` and `hmac_sha256`, where there is a keyring, and `sha256`: the checksum of
/// the whole text with zeros in its place. `kind` says what is signed.
pub(super) fn seal(
    value: &impl Serialize,
    kind: &str,
    keyring: Option<&Keyring>,
) -> Result<(Vec<u8>, String), serde_json::Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    // An object ends with "\n}".
    text.truncate(text.len().saturating_sub(2));
    if let Some((key, signature)) = keyring.and_then(|keyring| keyring.sign(&purpose(kind), text.as_bytes()))
    {
        text.push_str(SIGNED_WITH);
        text.push_str(&key);
        text.push_str(SIGNATURE);
        text.push_str(&hex::encode(signature));
        text.push('"');
    }
    text.push_str(FIELD);
    let at = text.len();
    text.push_str(&"0".repeat(HEX));
    text.push_str(TAIL);
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    text.replace_range(at..at + HEX, &digest);
    Ok((text.into_bytes(), digest))
}

fn purpose(kind: &str) -> String {
    format!("backup {kind}")
}

/// Reads it back, with its checksum. The message says what is wrong with it; a signature that is wrong is told as such.
pub(super) fn open<T: DeserializeOwned>(
    bytes: &[u8],
    kind: &str,
    keyring: Option<&Keyring>,
) -> Result<Opened<T>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is no text: {error}"))?;
    let sealed = || -> Option<(&str, &str)> {
        let (rest, digest) = text
            .strip_suffix(TAIL)?
            .split_at_checked(text.len() - TAIL.len() - HEX)?;
        Some((rest.strip_suffix(FIELD)?, digest))
    };
    let (rest, digest) = sealed().ok_or("it does not end with its checksum")?;
    let mut hash = Sha256::new();
    hash.update(rest);
    hash.update(FIELD);
    hash.update("0".repeat(HEX));
    hash.update(TAIL);
    if hex::encode(hash.finalize()) != digest {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(Opened {
        value: serde_json::from_str(text).map_err(|error| error.to_string())?,
        sha256: digest.to_owned(),
        authenticity: judge(rest, kind, keyring),
    })
}

/// Who wrote it. `text` is what stands before the checksum.
fn judge(text: &str, kind: &str, keyring: Option<&Keyring>) -> Authenticity {
    let Some(keyring) = keyring else {
        return Authenticity::NoKey;
    };
    let Some((signed, key, signature)) = split(text) else {
        return Authenticity::Unsigned;
    };
    match keyring.has_signed(key, &purpose(kind), signed.as_bytes(), &signature) {
        Some(true) => Authenticity::Authentic,
        Some(false) => Authenticity::Forged,
        None => Authenticity::OtherKey(key.to_owned()),
    }
}

/// What was signed, with which key, and the signature.
fn split(text: &str) -> Option<(&str, &str, [u8; 32])> {
    let (rest, signature) = at_end(text.strip_suffix('"')?, HEX)?;
    let (rest, key) = at_end(rest.strip_suffix(SIGNATURE)?, FINGERPRINT)?;
    let signature = hex::decode(signature).ok()?;
    Some((rest.strip_suffix(SIGNED_WITH)?, key, signature.try_into().ok()?))
}

fn at_end(text: &str, length: usize) -> Option<(&str, &str)> {
    text.split_at_checked(text.len().checked_sub(length)?)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[derive(Clone, Debug, PartialEq, serde::Deserialize, Serialize)]
    struct Value {
        text: String,
    }

    fn ring(key: &str) -> Keyring {
        Keyring::parse(&SecretString::from(key.repeat(8))).unwrap()
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let value = Value {
            text: "ä, \"sha256\": \"".to_owned(),
        };
        let ring = ring("0123");
        for keyring in [None, Some(&ring)] {
            let (sealed, digest) = seal(&value, "x", keyring).unwrap();
            let opened = open::<Value>(&sealed, "x", keyring).unwrap();
            assert_eq!((opened.value, opened.sha256), (value.clone(), digest));
            for byte in 0..sealed.len() {
                for bit in 0..8 {
                    let mut other = sealed.clone();
                    other[byte] ^= 1 << bit;
                    assert!(
                        open::<Value>(&other, "x", keyring).is_err(),
                        "byte {byte}, bit {bit}"
                    );
                }
                assert!(
                    open::<Value>(&sealed[..byte], "x", keyring).is_err(),
                    "cut at {byte}"
                );
            }
        }
    }

    #[test]
    fn only_the_key_makes_a_signature() {
        let value = Value {
            text: "all is well".to_owned(),
        };
        let (ours, theirs) = (ring("0123"), ring("abcd"));
        let says =
            |bytes: &[u8], kind: &str, keyring| open::<Value>(bytes, kind, keyring).unwrap().authenticity;
        let (sealed, _) = seal(&value, "manifest", Some(&ours)).unwrap();
        assert_eq!(says(&sealed, "manifest", Some(&ours)), Authenticity::Authentic);
        assert_eq!(says(&sealed, "proof", Some(&ours)), Authenticity::Forged);
        assert_eq!(says(&sealed, "manifest", None), Authenticity::NoKey);
        assert_eq!(
            says(&sealed, "manifest", Some(&theirs)),
            Authenticity::OtherKey(ours.fingerprints()[0].clone())
        );
        let (unsigned, _) = seal(&value, "manifest", None).unwrap();
        assert_eq!(says(&unsigned, "manifest", Some(&ours)), Authenticity::Unsigned);
        // Somebody changes the text and makes the checksum agree.
        let text = String::from_utf8(sealed).unwrap().replace("well", "lost");
        let at = text.len() - TAIL.len() - HEX;
        let mut text = text;
        text.replace_range(at..at + HEX, &"0".repeat(HEX));
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        text.replace_range(at..at + HEX, &digest);
        assert_eq!(
            says(text.as_bytes(), "manifest", Some(&ours)),
            Authenticity::Forged
        );
    }
}
