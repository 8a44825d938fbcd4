//! `plinth-ops config`

use crate::cli::{Config, Json};
use crate::failure::Failure;
use crate::{output, program};

pub fn run(command: Config, settings: Vec<String>) -> Result<(), Failure> {
    let Config::Show(Json { json }) = command;
    let loaded = program::load(settings)?;
    if json {
        output::json(&loaded.to_json())
    } else {
        output::text(&loaded.to_text())
    }
}
