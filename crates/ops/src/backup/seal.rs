//! Small JSON files that end with a checksum of themselves.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Between what is sealed and the checksum. The text ends with the checksum and [`TAIL`].
const FIELD: &str = ",\n  \"sha256\": \"";
const TAIL: &str = "\"\n}\n";
const HEX: usize = 64;

/// The value as JSON, with a last field `sha256`: the checksum of the whole text with zeros in its place.
pub(super) fn seal(value: &impl Serialize) -> Result<(Vec<u8>, String), serde_json::Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    // An object ends with "\n}".
    text.truncate(text.len().saturating_sub(2));
    text.push_str(FIELD);
    let at = text.len();
    text.push_str(&"0".repeat(HEX));
    text.push_str(TAIL);
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    text.replace_range(at..at + HEX, &digest);
    Ok((text.into_bytes(), digest))
}

/// Reads it back, with its checksum. The message says what is wrong with it.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, String), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is no text: {error}"))?;
    let sealed = || -> Option<(&str, &str)> {
        let (rest, digest) = text
            .strip_suffix(TAIL)?
            .split_at_checked(text.len() - TAIL.len() - HEX)?;
        rest.ends_with(FIELD).then_some((rest, digest))
    };
    let (rest, digest) = sealed().ok_or("it does not end with its checksum")?;
    let mut hash = Sha256::new();
    hash.update(rest);
    hash.update("0".repeat(HEX));
    hash.update(TAIL);
    if hex::encode(hash.finalize()) != digest {
        return Err("its checksum is wrong".to_owned());
    }
    let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok((value, digest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
    struct Value {
        text: String,
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let value = Value {
            text: "ä, \"sha256\": \"".to_owned(),
        };
        let (sealed, digest) = seal(&value).unwrap();
        assert_eq!(open::<Value>(&sealed).unwrap(), (value, digest));
        for byte in 0..sealed.len() {
            for bit in 0..8 {
                let mut other = sealed.clone();
                other[byte] ^= 1 << bit;
                assert!(open::<Value>(&other).is_err(), "byte {byte}, bit {bit}");
            }
            assert!(open::<Value>(&sealed[..byte]).is_err(), "cut at {byte}");
        }
    }
}
