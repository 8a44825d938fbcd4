//! The sections of the configuration: plain structs, one file each, with how each is read.

mod backup;
mod database;
mod jobs;
mod paths;
mod security;
mod server;
mod setup;
mod telemetry;

pub use backup::BackupConfig;
pub use database::{DatabaseConfig, LocalPostgres};
pub use jobs::JobsConfig;
pub use paths::PathsConfig;
pub use security::SecurityConfig;
pub use server::{CookieSecure, Network, ServerConfig};
pub use setup::SetupConfig;
pub use telemetry::{LogFormat, TelemetryConfig};
