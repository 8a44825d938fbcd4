//! A schema in 64 characters.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::Catalog;
use crate::model::facts::Value;

/// SHA-256, in hex, of all that is compared. Equal for two catalogues exactly when [`Catalog::diff`] finds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Catalog {
    /// The fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        // What is hashed changes with this crate; the number changes with it, so that nobody takes one for the other.
        write(&mut hash, "pg-catalog 1");
        for (object, facts) in self.objects() {
            write(&mut hash, "object");
            write(&mut hash, &object.to_string());
            for (name, value) in facts {
                write(&mut hash, name);
                write_value(&mut hash, &value);
            }
        }
        Fingerprint(hex::encode(hash.finalize()))
    }
}

/// With its length in front, so that no two sequences of texts look alike.
fn write(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

fn write_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::None => write(hash, "none"),
        Value::Flag(_) => write(hash, "flag"),
        Value::Number(_) => write(hash, "number"),
        Value::Text(_) => write(hash, "text"),
        Value::List(list) => {
            write(hash, "list");
            write(hash, &list.len().to_string());
            for item in list {
                write(hash, item);
            }
            return;
        }
    }
    write(hash, &value.to_string());
}
