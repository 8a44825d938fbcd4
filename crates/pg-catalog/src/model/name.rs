use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A schema and a name in it. Prints, and is serialised, as SQL takes it: `public.cards`, `public."Odd one"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    /// The schema, unquoted.
    pub schema: String,
    /// The name, unquoted.
    pub name: String,
}

impl QualifiedName {
    /// From the two bare names, unquoted.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }
}

/// Text that is not a qualified name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a qualified name: write schema.name, each quoted where SQL wants it quoted")]
pub struct NotAName(String);

impl NotAName {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for QualifiedName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let not_a_name = || NotAName(text.to_owned());
        let (schema, rest) = take_ident(text).ok_or_else(not_a_name)?;
        let rest = rest.strip_prefix('.').ok_or_else(not_a_name)?;
        match take_ident(rest) {
            Some((name, "")) => Ok(Self { schema, name }),
            _ => Err(not_a_name()),
        }
    }
}

/// The identifier that `text` begins with, unquoted, and what follows it.
pub(crate) fn take_ident(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

impl Serialize for QualifiedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QualifiedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// An identifier as SQL takes it: quoted where it would otherwise be folded, misread or a keyword. As the server's `quote_ident`, but
/// with the keywords of all of 14 to 18.
#[must_use]
pub fn quote_ident(name: &str) -> Cow<'_, str> {
    let plain = name
        .chars()
        .enumerate()
        .all(|(at, c)| matches!(c, 'a'..='z' | '_') || (at > 0 && c.is_ascii_digit()));
    if plain && !name.is_empty() && KEYWORDS.split_ascii_whitespace().all(|word| word != name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A string as SQL takes it, whatever `standard_conforming_strings` says.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// `SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'` of 14 to 18.
const KEYWORDS: &str = "
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
case cast char character check coalesce collate collation column concurrently constraint create cross
current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on
only or order out outer overlaps overlay placing position precision primary real references returning right
row select session_user setof similar smallint some substring symmetric system_user table tablesample then
time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when
where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi
xmlroot xmlserialize xmltable";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (schema, name) in [
            ("public", "cards"),
            ("Odd", "a.b"),
            ("a\"b", "select"),
            ("x", "\"\""),
            ("täg", "1"),
        ] {
            let written = QualifiedName::new(schema, name);
            assert_eq!(written.to_string().parse::<QualifiedName>().unwrap(), written);
        }
        assert_eq!(
            QualifiedName::new("public", "user").to_string(),
            "public.\"user\""
        );
        for nonsense in ["", "a", "a.", ".a", "a.b.c", "\"a.b", "a.\"b\"c"] {
            assert!(nonsense.parse::<QualifiedName>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn literals() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\b"), r"E'a\\b'");
    }
}
