//! One file for each table: its row, what is inserted and changed, and its queries, noun first (`card_move`).

pub mod activity;
pub mod api_key;
pub mod board;
pub mod board_column;
pub mod card;
mod card_place;
pub mod domain;
pub mod organization;
pub mod project;
pub mod session;
pub mod text;
pub mod user;

use crate::error::{Error, Result};

/// Compares the version that the caller read, if it said one, with the one that is stored.
fn check_version(expected: Option<i32>, current: i32) -> Result<()> {
    match expected {
        Some(expected) if expected != current => Err(Error::StaleVersion { expected, current }),
        _ => Ok(()),
    }
}
