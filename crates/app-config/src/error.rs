//! What is wrong with a configuration.

use std::fmt;

/// Everything that is wrong with a configuration, at once. No message holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigError {
    /// One sentence for each problem: which setting, which value, what is accepted.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "the configuration is not valid: {problem}"),
            problems => {
                write!(f, "the configuration has {} problems:", problems.len())?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}
