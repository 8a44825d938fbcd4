//! The merged layers, as the sections read them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::kind;
use crate::layer::{Findings, Given};
use crate::origin::Source;

/// The winning value of every setting that has one, and the findings so far.
pub(crate) struct Reader<'a> {
    values: &'a BTreeMap<&'static str, Given>,
    findings: &'a mut Findings,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(values: &'a BTreeMap<&'static str, Given>, findings: &'a mut Findings) -> Self {
        Self { values, findings }
    }

    pub(crate) fn given(&self, key: &str) -> Option<&'a Given> {
        self.values.get(key)
    }

    /// The value, `None` where none is set.
    pub(crate) fn optional<T: FromStr>(&mut self, key: &str) -> Option<T> {
        let given = self.given(key)?;
        let parsed = given.value.parse().ok();
        if parsed.is_none() {
            self.problem(format!(
                "{} does not fit: expected {}",
                self.named(key),
                given.setting.kind.accepts()
            ));
        }
        parsed
    }

    /// The value of a setting that has a default. `None` only after a problem was noted.
    pub(crate) fn required<T: FromStr>(&mut self, key: &str) -> Option<T> {
        if self.given(key).is_none() {
            // Its only value was refused while the layers were read, or the default file lacks it.
            self.problem(format!("{key} has no valid value"));
        }
        self.optional(key)
    }

    /// A duration that has a default. `None` only after a problem was noted.
    pub(crate) fn duration(&mut self, key: &str) -> Option<Duration> {
        let text: String = self.required(key)?;
        kind::duration(&text)
    }

    pub(crate) fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.optional::<String>(key).map(SecretString::from)
    }

    /// The items of a comma-separated value.
    pub(crate) fn list<T: FromStr>(&mut self, key: &str) -> Vec<T> {
        let text = self.given(key).map_or("", |given| given.value.as_str());
        text.split(',').filter_map(|item| item.parse().ok()).collect()
    }

    /// How the operator spelled the setting: `DBHOST`, or the key where it comes from a file.
    pub(crate) fn named(&self, key: &str) -> String {
        self.given(key)
            .map_or_else(|| key.to_owned(), |given| given.origin.name.clone())
    }

    /// Whether the operator gave the setting on purpose: neither a default, nor a variable of another program.
    pub(crate) fn is_deliberate(&self, key: &str) -> bool {
        self.given(key)
            .is_some_and(|given| given.origin.source != Source::Default && !given.fallback)
    }

    pub(crate) fn problem(&mut self, text: String) {
        self.findings.problems.push(text);
    }

    /// A problem between settings; not one where any of them was refused already.
    pub(crate) fn problem_between(&mut self, keys: &[&str], text: String) {
        if !keys.iter().any(|key| self.findings.refused.contains(key)) {
            self.problem(text);
        }
    }

    pub(crate) fn warning(&mut self, text: String) {
        self.findings.warnings.push(text);
    }
}
