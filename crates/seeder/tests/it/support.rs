//! Runs the program; see `test_support::Program`.

use test_support::{Program, Ran, TestDatabase};

/// The program before a test's database.
pub fn seeder_on(database: &TestDatabase) -> Program {
    seeder_at(&database.url("plinth"))
}

/// The program before a database of any address.
pub fn seeder_at(database_url: &str) -> Program {
    Program::new(env!("CARGO_BIN_EXE_plinth-seeder")).with("DATABASE_URL", database_url)
}

/// The changes that were printed as JSON.
pub fn changes(ran: &Ran) -> Vec<serde_json::Value> {
    ran.json().get("changes").unwrap().as_array().unwrap().clone()
}
