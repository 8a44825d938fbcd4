//! `docs/CONFIGURATION.md` lists the settings there are. `make update` writes its tables anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use app_config::{DEFAULT_TOML, Kind, SETTINGS, Setting};

const BEGIN: &str = "<!-- settings: written by make update -->";
const END: &str = "<!-- end of settings -->";

/// What the default file says of one setting.
struct Documented {
    meaning: String,
    /// As the file has it; `None` where there is no default.
    default: Option<String>,
}

/// The default file by keys. A comment speaks for all settings up to the next comment.
fn documented() -> BTreeMap<String, Documented> {
    let mut found = BTreeMap::new();
    let (mut section, mut comment, mut finished) = ("", Vec::new(), false);
    for line in DEFAULT_TOML.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            comment.clear();
        } else if let Some(text) = line.strip_prefix("# ") {
            if finished {
                comment.clear();
                finished = false;
            }
            comment.push(text);
        } else if let Some((name, value)) = line.split_once(" = ") {
            finished = true;
            let default = (!name.starts_with('#')).then(|| value.to_owned());
            let key = format!("{section}.{}", name.trim_start_matches('#'));
            found.insert(
                key,
                Documented {
                    meaning: meaning(&comment.join(" ")),
                    default,
                },
            );
        }
    }
    found
}

/// Without the sentences that list other spellings: those have a column of their own.
fn meaning(comment: &str) -> String {
    let sentences = comment.split_inclusive(". ").filter(|sentence| {
        let lists_names = sentence.starts_with("Also ") || sentence.starts_with("Else ");
        !lists_names || sentence.contains('(')
    });
    sentences.collect::<String>().trim().to_owned()
}

fn row(setting: &Setting, documented: &Documented) -> String {
    let mut names: Vec<String> = std::iter::once(setting.variable())
        .chain(setting.also.iter().map(|name| (*name).to_owned()))
        .map(|name| format!("`{name}`"))
        .collect();
    if setting.takes_file() {
        names.push("each with `_FILE`".to_owned());
    }
    for name in setting.fallback {
        names.push(format!("else `{name}`"));
    }
    // What the comment says already is not said twice.
    let range = match setting.kind {
        Kind::Integer { min, max } if max >= u64::from(u32::MAX) => format!("At least {min}."),
        Kind::Integer { min, max } => format!("{min} to {max}."),
        _ => String::new(),
    };
    let said = documented.meaning.contains(range.trim_end_matches('.'));
    let accepts = if said { String::new() } else { range };
    let key = setting.key.split_once('.').unwrap().1;
    let default = documented
        .default
        .as_ref()
        .map_or("none".to_owned(), |value| format!("`{value}`"));
    let meaning = format!("{} {}", documented.meaning, accepts);
    format!(
        "| `{key}` | {} | {default} | {} |\n",
        names.join(", "),
        meaning.trim().replace('|', "\\|")
    )
}

fn tables() -> String {
    let documented = documented();
    let mut text = String::new();
    let mut last = "";
    for setting in SETTINGS {
        let section = setting.key.split_once('.').unwrap().0;
        if section != last {
            let _ = write!(
                text,
                "\n### `[{section}]`\n\n| setting | variables | default | meaning |\n|---|---|---|---|\n"
            );
            last = section;
        }
        let said = documented
            .get(setting.key)
            .expect("every setting is in the default file");
        text.push_str(&row(setting, said));
    }
    text.push('\n');
    text
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "make update says through the environment that the file is to be written"
)]
fn the_document_lists_the_settings_there_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");
    let committed = std::fs::read_to_string(path).unwrap();
    let (head, rest) = committed
        .split_once(BEGIN)
        .expect("the mark where the tables begin");
    let (_, tail) = rest.split_once(END).expect("the mark where the tables end");
    let generated = format!("{head}{BEGIN}\n{}{END}{tail}", tables());
    if std::env::var_os("PLINTH_TEST_UPDATE").is_some() {
        std::fs::write(path, &generated).unwrap();
        return;
    }
    assert!(
        committed == generated,
        "docs/CONFIGURATION.md is out of step: run make update"
    );
}
