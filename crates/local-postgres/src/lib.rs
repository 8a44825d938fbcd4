//! A private PostgreSQL cluster for development and tests: the database of someone who has configured none.
//!
//! ```no_run
//! use local_postgres::{Durability, LocalPostgres, Options, default_state_dir};
//!
//! let state_dir = default_state_dir(std::path::Path::new("."))?.join("postgres");
//! let server = LocalPostgres::start(Options::new(state_dir, Durability::Durable))?;
//! let address = server.address(); // host is a directory: a Unix socket, no TCP port is opened
//! server.stop()?;
//! # Ok::<(), local_postgres::Error>(())
//! ```
//!
//! What it promises:
//! - It runs binaries that are already installed ([`Binaries::find`]) and never downloads; `scripts/ensure-postgres` does that.
//! - Started by root, initdb and postgres run as an unprivileged user, because both refuse root.
//! - Any number of programs may use one cluster at once. The first starts it, later ones attach, and **the last to stop
//!   shuts it down**. Who still uses it is a file lock, which the kernel releases when a program is killed; so a server
//!   that outlived its program is attached to by the next one, and stopped by it.
//! - It signals a process only after making sure that it is a `postgres` working in this cluster's data directory, and
//!   deletes nothing but a stale `postmaster.pid` and the remains of an unfinished `initdb`.
//!
//! Everything blocks: call it before an async runtime starts, or from a thread that may block. It needs Linux (`/proc`).

mod binaries;
mod cluster;
mod configured;
mod control;
mod error;
mod locks;
mod paths;
mod process;
mod server;
mod server_user;

pub use binaries::{Binaries, Version};
pub use configured::stand_in;
pub use error::{Error, Result};
pub use paths::default_state_dir;
pub use server::{Address, Durability, LocalPostgres, Options, Ownership, StopOutcome};
