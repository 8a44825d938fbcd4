//! Plinth's data: schema, migrations, tenancy, secrets, permissions, models and their queries.
//!
//! Nothing outside of this crate sees a connection. Tenant data is reached through [`Pool::read`] and [`Pool::write`],
//! which take an [`Access`] (who, which permission, on what) and hand out a [`Tx`] that every query asks for. What
//! belongs to the installation is reached as the owner, through [`Owner`]. The rules are in `docs/TENANCY.md`.

mod access;
mod cached;
mod clock;
mod db;
mod error;
mod ids;
mod login;
pub mod migrate;
pub mod models;
mod owner;
mod page;
mod pool;
mod pooler;
mod rank;
pub mod rbac;
mod schema;
pub mod secrets;
pub mod setup;
pub mod tenancy;
mod tx;

pub use access::{Access, Credential, Origin, Target, VerifiedKey};
pub use clock::{Clock, random_bytes};
pub use db::{Db, OpenError, connect_options};
pub use error::{Error, Meaning, Result};
pub use ids::*;
pub use owner::{Owner, OwnerError, SystemError, SystemTx};
pub use page::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest};
pub use pool::ConnectionFailure;
pub use rbac::Permission;
pub use tx::{Pool, Tx, WriteTx};
