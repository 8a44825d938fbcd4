//! Where a value came from.

use std::fmt;

/// A layer of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file of defaults that is compiled in.
    Default,
    /// The configuration file, under the name it was asked for.
    File(String),
    /// `.env` in the working directory.
    DotEnv,
    /// The process environment.
    Environment,
    /// The command line.
    Flag,
}

/// Where a value came from: the layer, and for variables the spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The layer.
    pub source: Source,
    /// The variable or key that gave the value.
    pub name: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Default => f.write_str("default"),
            Source::File(file) => f.write_str(file),
            Source::DotEnv => write!(f, ".env: {}", self.name),
            Source::Environment => write!(f, "environment: {}", self.name),
            Source::Flag => f.write_str("flag"),
        }
    }
}
