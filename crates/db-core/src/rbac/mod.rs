//! Who may do what: the catalogue of permissions, the system roles, and writing both into the database.

mod permission;
mod role;
pub mod seed;

pub use permission::{Held, Permission, held};
pub use role::SystemRole;
