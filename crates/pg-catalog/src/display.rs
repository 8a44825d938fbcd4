//! A difference for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::diff::Difference;
use crate::model::facts::Value;
use crate::model::object::ObjectId;

/// Longer values are cut: the JSON form has them whole.
const WIDTH: usize = 100;

impl fmt::Display for Difference {
    /// `+` for what is missing, `-` for what should not be there, `~` for what is other than it should be, its attributes indented below:
    /// have -> want. What comes or goes with its table is counted on the table's line. Ends with a line feed, unless it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(f, '+', &self.added)?;
        write_lines(f, '-', &self.removed)?;
        for change in &self.changed {
            writeln!(f, "~ {}", change.object)?;
            for attribute in &change.attributes {
                let name = attribute.name;
                let (have, want) = (one_line(&attribute.have), one_line(&attribute.want));
                if have == want {
                    writeln!(f, "    {name}: differs further on, or in white space")?;
                } else {
                    writeln!(f, "    {name}: {have} -> {want}")?;
                }
            }
        }
        Ok(())
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, sign: char, objects: &[ObjectId]) -> fmt::Result {
    let all: BTreeSet<&ObjectId> = objects.iter().collect();
    let mut lines: BTreeMap<ObjectId, BTreeMap<String, usize>> = BTreeMap::new();
    for object in objects {
        let mut top = object.clone();
        while let Some(parent) = top.parent_where(|parent| all.contains(parent)) {
            top = parent;
        }
        let parts = lines.entry(top.clone()).or_default();
        if top != *object {
            *parts.entry(object.kind().to_owned()).or_default() += 1;
        }
    }
    for (object, parts) in lines {
        write!(f, "{sign} {object}")?;
        for (at, (kind, count)) in parts.iter().enumerate() {
            let before = if at == 0 { " (" } else { ", " };
            write!(f, "{before}{count} {}", plural(kind, *count))?;
        }
        f.write_str(if parts.is_empty() { "\n" } else { ")\n" })?;
    }
    Ok(())
}

fn plural(kind: &str, count: usize) -> String {
    match (kind, count) {
        (kind, 1) => kind.to_owned(),
        ("index", _) => "indexes".to_owned(),
        ("policy", _) => "policies".to_owned(),
        (kind, _) => format!("{kind}s"),
    }
}

fn one_line(value: &Value) -> String {
    let text = value.to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= WIDTH {
        return text;
    }
    let start: String = text.chars().take(WIDTH).collect();
    format!("{start}…")
}
