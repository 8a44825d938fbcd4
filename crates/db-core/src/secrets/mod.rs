//! Secrets: the keyring and what it protects, passwords, and the tokens of sessions and API keys.

pub mod encrypted;
pub mod keyring;
pub mod keys;
pub mod password;
pub mod rotation;
pub mod token;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// HMAC-SHA256 of length-prefixed parts, so that no two lists of parts give the same input.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // An HMAC takes a key of any length, so that this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
