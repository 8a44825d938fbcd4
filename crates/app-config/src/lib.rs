//! Plinth's configuration: layers, aliases, validation, redaction.
//!
//! Layers, weakest first: the compiled-in [`DEFAULT_TOML`], `plinth.toml` (or `PLINTH_CONFIG_FILE`), `.env` in the
//! working directory, the process environment, flags. [`SETTINGS`] lists every setting with all its spellings.
//!
//! - A stronger layer overrides a weaker one. Within a layer two spellings of one setting must agree.
//! - A variable that is empty counts as not set.
//! - `DATABASE_URL` is a whole address: parts of it given in weaker layers are not mixed into it.
//! - libpq's `PG…` variables (and `RUST_LOG`, `OTEL_EXPORTER_OTLP_ENDPOINT`) are heard only where nothing but a
//!   default gives the setting: they often stand in a shell for other reasons.
//! - An unknown `PLINTH_…` variable is an error. `PLINTH_TEST_…` is left to the tests.

mod address;
mod address_parts;
mod database_url;
mod environment;
mod error;
mod files;
mod kind;
mod layer;
mod load;
mod origin;
mod reader;
mod sections;
mod settings;
mod show;

pub use address::{DatabaseAddress, Ssl, SslMode};
pub use environment::Environment;
pub use error::ConfigError;
pub use kind::Kind;
pub use load::{Config, DEFAULT_TOML, Loaded, Loader};
pub use origin::{Origin, Source};
pub use sections::{
    BackupConfig, CookieSecure, DatabaseConfig, JobsConfig, LocalPostgres, LogFormat, Network, PathsConfig,
    SecurityConfig, ServerConfig, SetupConfig, TelemetryConfig,
};
pub use settings::{SETTINGS, Setting};
pub use show::{Entry, REDACTED};
