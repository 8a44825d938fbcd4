//! Plinth's data: schema, migrations, tenancy, secrets, permissions, models and their queries.
//!
//! Nothing outside of this crate sees a connection. Tenant data is reached through [`Pool::read`], [`Pool::read_once`]
//! and [`Pool::write`], which take an [`Access`] (who, which permission, on what) and hand out what every query asks for:
//! a [`Tx`], the [`SingleStatement`] of a read that has one only, a [`WriteTx`]. What belongs to the installation is reached
//! as the owner, through [`Owner`]. The rules are in `docs/TENANCY.md`.

mod access;
mod cached;
mod clock;
mod db;
mod error;
mod ids;
pub mod jobs;
mod login;
pub mod models;
mod owner;
mod page;
mod pool;
mod pooler;
pub mod provision;
mod rank;
pub mod rbac;
mod schema;
pub mod secrets;
pub mod setup;
mod single_statement;
pub mod tenancy;
pub mod text;
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
pub use single_statement::{Executor, SingleStatement};
pub use tx::{Pool, Tx, WriteTx};
