//! `plinth-ops migrate drift`

use db_migrate::{ComparedWith, Migration, Migrator};

use super::{PATIENCE, cli};
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, block_on};

pub fn run(migrations: &[Migration], options: cli::Drift, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let drift = block_on(async {
        let migrator = Migrator::new(program.owner.connector(), PATIENCE).with(migrations);
        Ok::<_, Failure>(migrator.drift(options.fingerprint).await?)
    })?;
    if options.json.json {
        output::json(&drift)?;
    } else {
        let up_to = match &drift.up_to {
            Some(version) => format!("the migrations up to {version}"),
            None => "no migration at all".to_owned(),
        };
        output::text(&match (drift.drifted, drift.compared_with) {
            (false, ComparedWith::Scratch) => {
                format!("no drift: the schema is what {up_to} make of an empty database\n")
            }
            (false, ComparedWith::Fingerprint) => {
                format!("no drift: the schema has the fingerprint that it had after {up_to}\n")
            }
            (true, ComparedWith::Scratch) => format!(
                "the schema is not as {up_to} make it (+ is missing in it, - is there besides, ~ is other: as it is -> as it should \
                 be):\n{}",
                drift.named()
            ),
            (true, ComparedWith::Fingerprint) if drift.surroundings.is_empty() => format!(
                "the schema is not as it was after {up_to}: its fingerprint is another. What differs can be told where the login \
                 may make a database\n"
            ),
            (true, ComparedWith::Fingerprint) => format!(
                "what is around the schema is not as it has to be (as it is -> as it should be; what differs within the schema, \
                 its fingerprint does not tell):\n{}",
                drift.named()
            ),
        })?;
    }
    if !drift.drifted {
        return Ok(());
    }
    Err(Failure::Drift(if drift.is_empty() {
        "another fingerprint".to_owned()
    } else {
        output::count(drift.len(), "difference")
    }))
}
