//! This program's way to a database.

use std::ops::Deref;

pub use command_line::{load, runtime};

use crate::failure::Failure;

/// In messages, the log and `pg_stat_activity`.
pub const NAME: &str = "plinth-ops";

/// A database to work on: its configuration and its owner.
pub struct Program(command_line::Program);

impl Program {
    /// The owner of the configured database, or of the private one. Connects to nothing yet.
    pub fn open(settings: Vec<String>) -> Result<Self, Failure> {
        Ok(Self(command_line::Program::open(NAME, settings)?))
    }

    /// The same for a command that runs until it is told to stop, and logs meanwhile.
    pub fn open_service(settings: Vec<String>) -> Result<Self, Failure> {
        Ok(Self(command_line::Program::open_service(NAME, settings)?))
    }
}

impl Program {
    /// The configuration, to be changed by what the command line says.
    pub fn config_mut(&mut self) -> &mut app_config::Config {
        &mut self.0.config
    }
}

impl Deref for Program {
    type Target = command_line::Program;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Runs until the work is done or the process is told to stop.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    command_line::block_on(work)
}
