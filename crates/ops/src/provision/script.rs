//! The same statements, for psql: where somebody else has to run them.

use std::fmt::Write as _;

use super::steps::{self, Expectation, Role, Step, quoted};
use super::{Wanted, password};

/// A script that asks before each statement, so that it may run again and again. It holds no password: psql asks for it, or is
/// given it as a variable.
pub fn script(all: &[Wanted]) -> String {
    let mut text = String::from(
        "-- Written by plinth-ops provision --print. Run it as the administrator, with psql 10 or newer:\n\
         --   psql 'host=… dbname=postgres user=…' --no-psqlrc --file provision.sql\n\
         -- It asks for the password of each login that it makes, and sends a SCRAM verifier. Without a terminal, give\n\
         -- passwords as variables (psql reads them from the environment, not from the command line, which others see):\n",
    );
    let roles = steps::roles(all);
    for role in &roles {
        let variable = variable(&role.name);
        let _ = writeln!(text, "--   \\getenv {variable} {}", variable.to_uppercase());
    }
    text.push_str(
        "-- as the first lines (psql 14), best as SCRAM verifiers: a password would be in the statement, and a server may log it.\n\
         \\set ON_ERROR_STOP on\n\\pset footer off\nSET client_min_messages = warning;\n",
    );
    for role in &roles {
        self::role(&mut text, role);
    }
    let mut inside = Vec::new();
    for wanted in all {
        let (steps, expectations) = steps::database(wanted);
        let _ = write!(text, "\n-- database {}\n", wanted.name);
        for step in steps.iter().filter(|step| step.inside.is_none()) {
            guarded(&mut text, step);
        }
        expectations
            .iter()
            .for_each(|expectation| warned(&mut text, expectation));
        inside.push((wanted, steps));
    }
    for (wanted, steps) in inside {
        let _ = write!(
            text,
            "\n-- in the database {name}\n\\connect -reuse-previous=on {}\nSET client_min_messages = warning;\n",
            quoted(&wanted.name),
            name = wanted.name
        );
        for step in steps.iter().filter(|step| step.inside.is_some()) {
            guarded(&mut text, step);
        }
    }
    text
}

/// `password_kratos`: a variable of psql.
fn variable(role: &str) -> String {
    format!("password_{}", password::variable(role).to_lowercase())
}

fn role(text: &mut String, role: &Role) {
    let _ = write!(text, "\n-- {}\n", role.made.subject);
    let _ = writeln!(text, "SELECT NOT ({}) AS is_new \\gset", role.made.there);
    guarded(text, &role.made);
    let (variable, name) = (variable(&role.name), quoted(&role.name));
    let _ = write!(
        text,
        "\\if :{{?{variable}}}\n  ALTER ROLE {name} PASSWORD :'{variable}';\n\\elif :is_new\n  \\echo Password for {name}:\n  \\password \
         {name}\n\\endif\n"
    );
    role.steps.iter().for_each(|step| guarded(text, step));
    role.expectations
        .iter()
        .for_each(|expectation| warned(text, expectation));
}

/// Runs the statement where it is needed.
fn guarded(text: &mut String, step: &Step) {
    let allowed = if step.guarded_by.is_some() {
        " AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "SELECT $sql${}$sql$ WHERE NOT ({}){allowed} \\gexec",
        step.sql, step.there
    );
}

/// Says what is different, which is nothing as a rule.
fn warned(text: &mut String, expectation: &Expectation) {
    let _ = writeln!(
        text,
        "SELECT {} || d || {} AS different FROM (SELECT {} AS d) x WHERE d IS NOT NULL;",
        steps::literal(&format!("{}: ", expectation.subject)),
        steps::literal(&format!("; {}", expectation.cure)),
        expectation.difference
    );
}
