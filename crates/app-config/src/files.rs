//! The layers that are files: TOML and `.env`.

use std::path::Path;

use crate::environment::Environment;
use crate::kind::Kind;
use crate::layer::{Findings, Layer};
use crate::settings::{self, Setting};

/// Reads TOML into a layer; `file` is its name in messages.
pub(crate) fn read_toml(text: &str, file: &str, layer: &mut Layer<'_>, findings: &mut Findings) {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            // toml's own rendering shows the line, which may hold a secret.
            let error: toml::de::Error = error;
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(0, |before| before.matches('\n').count() + 1);
            return findings.problems.push(format!(
                "{file} line {line} is not valid TOML: {}",
                error.message()
            ));
        }
    };
    for (section, value) in &table {
        let toml::Value::Table(keys) = value else {
            findings.problems.push(unknown_key(section, file));
            continue;
        };
        for (name, value) in keys {
            let key = format!("{section}.{name}");
            let Some(spelled) = settings::by_key(&key) else {
                findings.problems.push(unknown_key(&key, file));
                continue;
            };
            if spelled.in_file && keys.contains_key(name.strip_suffix("_file").unwrap_or(name)) {
                let plain = spelled.setting.key;
                let problem = format!("{plain} and {key} are both set in {file}: keep one of them");
                findings.refuse(spelled.setting, problem);
                continue;
            }
            let text = if spelled.in_file {
                value.as_str().map(str::to_owned)
            } else {
                to_text(spelled.setting, value)
            };
            match text {
                Some(text) => layer.take(spelled, &key, text, findings),
                None => {
                    let (is, expected) = (value.type_str(), toml_form(spelled.setting));
                    findings.refuse(
                        spelled.setting,
                        format!("{key} in {file} is of type {is}: expected {expected}"),
                    );
                }
            }
        }
    }
}

fn unknown_key(key: &str, file: &str) -> String {
    format!(
        "{key} in {file} is not a setting; did you mean {}?",
        settings::nearest_key(key)
    )
}

/// The value as text, if it has the TOML type that the setting's kind asks for.
fn to_text(setting: &Setting, value: &toml::Value) -> Option<String> {
    use toml::Value::{Array, Boolean, Float, Integer, String};
    match (setting.kind, value) {
        (Kind::Integer { .. } | Kind::Ratio, Integer(number)) => Some(number.to_string()),
        (Kind::Ratio, Float(number)) => Some(number.to_string()),
        (Kind::Boolean | Kind::Ssl, Boolean(yes)) => Some(yes.to_string()),
        (Kind::Integer { .. } | Kind::Ratio | Kind::Boolean, _) => None,
        (Kind::Networks, Array(items)) => items
            .iter()
            .map(toml::Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        (Kind::Networks, _) => None,
        (_, String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn toml_form(setting: &Setting) -> String {
    let accepts = setting.kind.accepts();
    match setting.kind {
        Kind::Integer { .. } | Kind::Ratio | Kind::Boolean => format!("{accepts}, without quotes"),
        Kind::Networks => "a list of texts in quotes, such as [\"10.0.0.0/8\"]".into(),
        _ => format!("{accepts}, in quotes"),
    }
}

/// Reads `.env` as variables; none where there is no such file.
pub(crate) fn read_dot_env(path: &Path, findings: &mut Findings) -> Environment {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Environment::default(),
        Err(error) => {
            findings.problems.push(format!(".env cannot be read: {error}"));
            return Environment::default();
        }
    };
    warn_of_substitution(&text, findings);
    let mut variables: Vec<(String, String)> = Vec::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => match variables.iter().find(|(other, _)| *other == name) {
                Some((_, other)) if *other != value && settings::by_variable(&name).is_some() => {
                    findings
                        .problems
                        .push(format!("{name} stands in .env twice, with different values"));
                }
                Some(_) => {}
                None => variables.push((name, value)),
            },
            // What dotenvy hands back may be a secret: it only serves to find the line.
            Err(dotenvy::Error::LineParse(rest, _)) => {
                let number = text
                    .lines()
                    .position(|line| rest.lines().next().is_some_and(|rest| line.contains(rest)));
                let place = number.map_or(String::new(), |index| format!(" line {}", index + 1));
                findings.problems.push(format!(
                    ".env{place} cannot be read: a value with spaces, quotes or # goes in single quotes"
                ));
            }
            Err(_) => findings.problems.push(".env cannot be read to its end".into()),
        }
    }
    variables.into_iter().collect()
}

/// `DBPASSWORD=pa$word` would become `pa`: `.env` files substitute variables outside single quotes.
fn warn_of_substitution(text: &str, findings: &mut Findings) {
    for line in text.lines() {
        let line = line.trim_start();
        let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim_start());
        let dollar = value.contains('$') && !value.contains("\\$") && !value.starts_with('\'');
        if dollar && settings::by_variable(name).is_some_and(|spelled| spelled.setting.secret) {
            findings.warnings.push(format!(
                "{name} in .env contains a $, which stands for another variable there; if it is meant as it is, put \
                 the value in single quotes"
            ));
        }
    }
}
