//! One file for each table: its row, what is inserted and changed, and its queries, noun first (`card_move`). Besides,
//! parts of some that are an affair of their own: `card_place` (where a card goes), `ceiling` (what an actor may hand on).

pub mod activity;
pub mod api_key;
pub mod backup_run;
pub mod board;
pub mod board_column;
pub mod card;
mod card_place;
mod ceiling;
pub mod domain;
pub mod domain_host;
pub mod job;
pub mod job_batch;
pub mod job_schedule;
pub mod organization;
pub mod organization_member;
pub mod project;
pub mod queue;
pub mod role;
pub mod session;
pub mod tag;
pub mod user;
pub mod user_role;

use diesel::sql_types::Text;

use crate::error::{Error, Result};

diesel::define_sql_function! {
    /// PostgreSQL's own idea of lower case, which the CHECKs on `name_key` have too.
    fn lower(text: Text) -> Text;
}

/// Compares the version that the caller read, if it said one, with the one that is stored.
fn check_version(expected: Option<i32>, current: i32) -> Result<()> {
    match expected {
        Some(expected) if expected != current => Err(Error::StaleVersion { expected, current }),
        _ => Ok(()),
    }
}
