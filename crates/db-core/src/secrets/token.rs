//! Tokens of sessions and API keys: what the client holds, and what we store of it.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::clock::random_bytes;
use crate::ids::ApiKeyId;

/// Beginning of every API key, for secret scanners.
pub const API_KEY_PREFIX: &str = "plinth_key_";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// A UUID in base 62.
const ID_CHARS: usize = 22;
/// 30 characters of base 62: 178 bits.
const SECRET_CHARS: usize = 30;
/// A CRC-32 in base 62.
const CHECKSUM_CHARS: usize = 6;

/// SHA-256 of a token: what is stored and compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token as the client sent it.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A new session token: 256 random bits as 64 hexadecimal digits.
pub fn new_session_token() -> SecretString {
    SecretString::from(hex::encode(random_bytes::<32>()))
}

/// An API key as the client holds it: prefix, id, secret, checksum.
#[derive(Clone, Debug)]
pub struct ApiKeyToken {
    /// Id of the key's row, so that it is found without trying hashes.
    pub id: ApiKeyId,
    secret: SecretString,
}

impl ApiKeyToken {
    /// A new key for this row.
    pub fn generate(id: ApiKeyId) -> Self {
        Self {
            id,
            secret: SecretString::from(random_base62()),
        }
    }

    /// Reads `plinth_key_<22 of id><30 of secret><6 of checksum>`. `None` for anything else: a typing error costs no
    /// query.
    pub fn parse(token: &str) -> Option<Self> {
        let body = token.strip_prefix(API_KEY_PREFIX)?;
        if body.len() != ID_CHARS + SECRET_CHARS + CHECKSUM_CHARS || !body.is_ascii() {
            return None;
        }
        let (signed, sum) = body.split_at(ID_CHARS + SECRET_CHARS);
        if checksum(signed) != sum {
            return None;
        }
        let (id, secret) = signed.split_at(ID_CHARS);
        Some(Self {
            id: ApiKeyId::new(Uuid::from_u128(from_base62(id)?)),
            secret: SecretString::from(secret),
        })
    }

    /// The whole key. Shown to its maker once.
    pub fn reveal(&self) -> SecretString {
        let signed = format!(
            "{}{}",
            to_base62(self.id.uuid().as_u128(), ID_CHARS),
            self.secret.expose_secret()
        );
        SecretString::from(format!("{API_KEY_PREFIX}{signed}{}", checksum(&signed)))
    }

    /// What goes to `crypt()`: SHA-256 of the secret in base64, so that the secret itself is in no statement.
    pub fn proof(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD_NO_PAD
            .encode(Sha256::digest(self.secret.expose_secret().as_bytes()))
    }

    /// Last four characters of the whole key.
    pub fn last_four(&self) -> String {
        let token = self.reveal();
        let token = token.expose_secret();
        token.chars().skip(token.len() - 4).collect()
    }
}

/// Uniform over base 62: bytes that would favour the first characters are thrown away.
fn random_base62() -> String {
    let mut text = String::with_capacity(SECRET_CHARS);
    while text.len() < SECRET_CHARS {
        for byte in random_bytes::<32>() {
            if text.len() < SECRET_CHARS
                && byte < 248
                && let Some(&character) = BASE62.get(usize::from(byte % 62))
            {
                text.push(char::from(character));
            }
        }
    }
    text
}

fn to_base62(mut value: u128, width: usize) -> String {
    let mut digits = Vec::with_capacity(width);
    for _ in 0..width {
        let digit = usize::try_from(value % 62).unwrap_or_default();
        digits.push(BASE62.get(digit).copied().unwrap_or(b'0'));
        value /= 62;
    }
    digits.iter().rev().map(|&byte| char::from(byte)).collect()
}

fn from_base62(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = BASE62.iter().position(|&b| b == byte)?;
        value.checked_mul(62)?.checked_add(u128::try_from(digit).ok()?)
    })
}

fn checksum(text: &str) -> String {
    to_base62(u128::from(crc32fast::hash(text.as_bytes())), CHECKSUM_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_a_changed_character_does_not() {
        let key = ApiKeyToken::generate(ApiKeyId::new(Uuid::from_u128(
            0x0192_0000_0000_7000_8000_0123_4567_89ab,
        )));
        let text = key.reveal().expose_secret().to_owned();
        let back = ApiKeyToken::parse(&text).unwrap();
        assert_eq!(back.id, key.id);
        assert_eq!(back.proof(), key.proof());
        assert!(text.ends_with(&key.last_four()));
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            assert!(
                ApiKeyToken::parse(std::str::from_utf8(&bytes).unwrap()).is_none(),
                "position {position}"
            );
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = ApiKeyToken::generate(ApiKeyId::new(Uuid::from_u128(7)));
        assert!(!format!("{key:?}").contains(key.secret.expose_secret()));
        assert_eq!(format!("{:?}", TokenHash::of("x")), "TokenHash(…)");
    }
}
