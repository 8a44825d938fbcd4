//! `plinth-ops migrate baseline`

use db_migrate::{Baseline, Migration, Migrator};

use super::{PATIENCE, cli};
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, block_on};

pub fn run(migrations: &[Migration], options: cli::Baseline, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let asked = Baseline {
        from: options.from.map(Into::into),
        up_to: options.up_to,
        trust: options.trust,
    };
    let done = block_on(async {
        let migrator = Migrator::new(program.owner.connector(), PATIENCE).with(migrations);
        Ok::<_, Failure>(migrator.baseline(&asked).await?)
    })?;
    if options.json.json {
        return output::json(&done);
    }
    let mut text = String::new();
    for version in &done.migrations {
        text.push_str(&format!("taken over {version}\n"));
    }
    text.push_str(&format!(
        "{} taken over from {}, up to {}; the schema was {}\n",
        output::count(done.migrations.len(), "migration"),
        done.from.name(),
        done.up_to,
        if done.compared {
            "compared, and is the same"
        } else {
            "not compared"
        }
    ));
    output::text(&text)
}
