//! What `--help` says beside what the command line itself tells: commands in groups, and examples.

use std::fmt::Write as _;

use anstyle::Style;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::cli::Cli;

/// The command line with groups and examples.
pub struct Helped(pub Cli);

impl Parser for Helped {}

impl CommandFactory for Helped {
    fn command() -> Command {
        helped(Cli::command())
    }

    fn command_for_update() -> Command {
        helped(Cli::command_for_update())
    }
}

impl FromArgMatches for Helped {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Cli::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Commands that belong together, in the order in which one meets them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Find out", &["doctor", "config", "verify"]),
    ("Set up", &["provision", "setup", "migrate"]),
    ("Every day", &["domain", "keys", "worker"]),
    ("Backups", &["backup", "restore"]),
    ("Shell", &["completions"]),
];

/// What one types, by command.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "config show",
        "plinth-ops config show
plinth-ops config show --json | jq '.settings[] | select(.origin != \"default\")'
plinth-ops --set database.pool_size=20 config show",
    ),
    (
        "doctor",
        "plinth-ops doctor
plinth-ops doctor --replicas 3             # connections of three servers
plinth-ops doctor --strict --json          # for monitoring
DATABASE_URL=postgresql://… plinth-ops doctor",
    ),
    (
        "verify kratos",
        "plinth-ops verify kratos                   # the database kratos of the configured server
KRATOS_DSN=postgres://… plinth-ops verify kratos --json",
    ),
    (
        "provision",
        "DATABASE_URL=postgresql://postgres@db/postgres plinth-ops provision --database plinth --database kratos
plinth-ops provision --database hydra=hydra_owner --password-file hydra_owner=/run/secrets/hydra
plinth-ops provision --file provision.toml --dry-run
plinth-ops provision --database synapse --print > provision.sql",
    ),
    (
        "setup",
        "plinth-ops setup --operator-email you@example.com --domain-slug acme --domain-name 'Acme Ltd'
PLINTH_SETUP_OPERATOR_PASSWORD_FILE=/run/secrets/operator plinth-ops setup --json
plinth-ops setup --demo                    # to look around",
    ),
    (
        "migrate run",
        "plinth-ops migrate run --dry-run           # what it would do, and which locks it takes
plinth-ops migrate run --wait 60           # in a deployment",
    ),
    ("migrate revert", "plinth-ops migrate revert --dry-run\nplinth-ops migrate revert 2               # asks for the database's name"),
    ("migrate redo", "plinth-ops migrate redo                    # after editing the newest migration"),
    ("migrate show", "plinth-ops migrate show\nplinth-ops migrate show --json"),
    ("migrate baseline", "plinth-ops migrate baseline --from diesel"),
    (
        "migrate generate",
        "plinth-ops migrate generate --name add_card_color
plinth-ops migrate generate --name rename_color --rename column:public.cards.color=colour",
    ),
    ("migrate drift", "plinth-ops migrate drift\nplinth-ops migrate drift --fingerprint --json"),
    ("migrate verify", "plinth-ops migrate verify                  # what is new on this branch\nplinth-ops migrate verify --all"),
    ("migrate lint", "plinth-ops migrate lint"),
    (
        "domain create",
        "plinth-ops domain create globex --name Globex --admin-email admin@globex.example
plinth-ops domain create globex --admin-email a@globex.example --admin-password-file - < password",
    ),
    ("domain list", "plinth-ops domain list\nplinth-ops domain list --json | jq -r '.domains[].slug'"),
    (
        "domain export",
        "plinth-ops domain export acme --to acme.plinth
plinth-ops domain export acme --from-backup latest",
    ),
    (
        "domain restore",
        "plinth-ops domain restore acme.plinth
plinth-ops domain restore acme --from-backup latest --replace",
    ),
    ("domain copy", "plinth-ops domain copy acme --as acme-test"),
    ("domain erase", "plinth-ops domain erase globex"),
    ("keys list", "plinth-ops keys list"),
    ("keys rotate", "POSTGRES_ENCRYPTION_KEY=new,old plinth-ops keys rotate"),
    ("keys retire", "plinth-ops keys retire 5f0a1c2d"),
    ("worker", "plinth-ops worker\nplinth-ops worker --queue mail --concurrency 4"),
    (
        "backup create",
        "PLINTH_BACKUP_URL=/var/backups/plinth plinth-ops backup create
plinth-ops backup create --no-drill --at s3://bucket/plinth",
    ),
    ("backup list", "plinth-ops backup list\nplinth-ops backup list --json --at s3://bucket/plinth"),
    ("backup show", "plinth-ops backup show                     # the newest"),
    ("backup verify", "plinth-ops backup verify --all"),
    ("backup drill", "plinth-ops backup drill                    # proves the newest"),
    ("backup prune", "plinth-ops backup prune --dry-run\nplinth-ops backup prune --keep-daily 14 --keep-monthly 24"),
    (
        "restore",
        "plinth-ops restore latest --into plinth_yesterday   # beside the live one
plinth-ops restore latest --force                    # in its place; the old one stays, renamed",
    ),
    (
        "completions",
        "source <(plinth-ops completions bash)
plinth-ops completions zsh > ~/.zfunc/_plinth-ops
plinth-ops completions fish > ~/.config/fish/completions/plinth-ops.fish",
    ),
];

fn helped(command: Command) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{}:\n{{options}}{{after-help}}",
        groups(&command),
        heading("Options")
    );
    examples(command.help_template(template), "")
}

fn heading(text: &str) -> String {
    let style = Style::new().bold().underline();
    format!("{style}{text}{style:#}")
}

/// The subcommands under the headings of their groups.
fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        let _ = writeln!(text, "{}:", heading(group));
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            let bold = Style::new().bold();
            let _ = writeln!(text, "  {bold}{name:13}{bold:#}{about}");
        }
        text.push('\n');
    }
    text
}

/// Puts examples at the end of the help of every command that has some.
fn examples(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    for name in names {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path} {name}")
        };
        command = command.mut_subcommand(&name, |subcommand| {
            let subcommand = examples(subcommand, &path);
            match EXAMPLES.iter().find(|(of, _)| *of == path) {
                Some((_, lines)) => {
                    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
                    subcommand.after_help(format!("{}:\n{}", heading("Examples"), lines.join("\n")))
                }
                None => subcommand,
            }
        });
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &Command, path: &str, found: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            let path = format!("{path} {}", subcommand.get_name()).trim().to_owned();
            if subcommand.has_subcommands() {
                leaves(subcommand, &path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_command_has_its_group_and_its_examples() {
        let command = Helped::command();
        command.clone().debug_assert();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let mut there: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        there.sort_unstable();
        assert_eq!(grouped, there);
        let mut found = Vec::new();
        leaves(&command, "", &mut found);
        let mut named: Vec<String> = EXAMPLES.iter().map(|(path, _)| (*path).to_owned()).collect();
        found.sort();
        named.sort();
        assert_eq!(named, found, "examples, and commands");
    }

    #[test]
    fn what_prints_a_result_prints_it_as_json_too() {
        let mut found = Vec::new();
        let command = Helped::command();
        leaves(&command, "", &mut found);
        let without: Vec<&String> = found
            .iter()
            .filter(|path| {
                let mut of = &command;
                for name in path.split(' ') {
                    of = of.find_subcommand(name).unwrap();
                }
                of.get_arguments()
                    .all(|argument| argument.get_long() != Some("json"))
            })
            .collect();
        // A script for a shell, and a program that runs until it is stopped.
        assert_eq!(without, ["worker", "completions"]);
    }

    /// An example that cannot be typed helps nobody.
    #[test]
    fn examples_are_understood() {
        for (path, lines) in EXAMPLES {
            for line in lines.lines() {
                let line = line.split(" | ").next().unwrap().split(" > ").next().unwrap();
                let line = line.split(" # ").next().unwrap().split(" < ").next().unwrap();
                let line = line.trim_start_matches("source <(").trim_end_matches(')');
                let words = line.replace('\'', "").replace("Acme Ltd", "Acme");
                let words = words.split_whitespace().skip_while(|word| *word != "plinth-ops");
                if let Err(error) = Helped::command().try_get_matches_from(words) {
                    panic!("{path}: {line}: {error}");
                }
            }
        }
    }
}
