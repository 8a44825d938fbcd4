//! The effective configuration, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::layer::Given;
use crate::origin::{Origin, Source};
use crate::sections::DatabaseConfig;
use crate::settings::SETTINGS;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// One setting, its value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Section and name: `database.pool_size`.
    pub key: &'static str,
    /// The value in its canonical form, [`REDACTED`] for a secret, `None` where nothing is set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

pub(crate) fn entries(values: &BTreeMap<&'static str, Given>, database: &DatabaseConfig) -> Vec<Entry> {
    // The parts of database.url stand for it.
    SETTINGS
        .iter()
        .filter(|setting| setting.key != "database.url")
        .map(|setting| {
            let given = values.get(setting.key);
            let value = given.map(|given| match (setting.key, setting.secret) {
                ("database.direct_url", _) => database
                    .direct
                    .as_ref()
                    .map_or_else(|| REDACTED.into(), |direct| direct.to_string()),
                (_, true) => REDACTED.into(),
                (_, false) => given.value.clone(),
            });
            let default = || Origin {
                source: Source::Default,
                name: setting.key.to_owned(),
            };
            Entry {
                key: setting.key,
                value,
                origin: given.map_or_else(default, |given| given.origin.clone()),
            }
        })
        .collect()
}

pub(crate) fn text(entries: &[Entry], warnings: &[String]) -> String {
    let width = |column: fn(&Entry) -> usize| entries.iter().map(column).max().unwrap_or_default();
    let keys = width(|entry| entry.key.len());
    // A very long value does not push every origin off the screen.
    let values = width(|entry| shown(entry).chars().count()).min(40);
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(
            text,
            "{:keys$}  {:values$}  {}",
            entry.key,
            shown(entry),
            entry.origin
        );
    }
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn shown(entry: &Entry) -> &str {
    entry.value.as_deref().unwrap_or("(not set)")
}

pub(crate) fn json(entries: &[Entry], warnings: &[String]) -> serde_json::Value {
    let settings: Vec<_> = entries
        .iter()
        .map(|entry| {
            serde_json::json!({ "key": entry.key, "value": entry.value, "origin": entry.origin.to_string() })
        })
        .collect();
    serde_json::json!({ "settings": settings, "warnings": warnings })
}
