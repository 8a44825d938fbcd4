//! The parts of a CREATE TABLE or ALTER TABLE: columns, constraints, actions.

use std::ops::Range;

use crate::script::{Statement, Word};

/// One column, constraint or action.
pub(crate) struct Item<'a> {
    words: &'a [Word],
}

/// The parts of the statement; none for another kind of statement.
pub(crate) fn items(statement: &Statement) -> Vec<Item<'_>> {
    let depth_of_items = match (statement.verb(), statement.kind()) {
        ("create", "table") => 1,
        ("alter", "table") => 0,
        _ => return Vec::new(),
    };
    let mut begin = statement.name_index();
    while statement.word(begin + 1) == "." {
        begin += 2;
    }
    begin += 1;
    let mut items = Vec::new();
    let mut depth = 0_usize;
    let mut first = (depth_of_items == 0).then_some(begin);
    let words = statement.words.get(begin..).unwrap_or_default();
    for (index, word) in (begin..).zip(words) {
        let ends = match word.text.as_str() {
            "(" => {
                depth += 1;
                if depth == depth_of_items && first.is_none() {
                    first = Some(index + 1);
                }
                false
            }
            ")" => {
                depth = depth.saturating_sub(1);
                depth < depth_of_items
            }
            "," => depth == depth_of_items,
            ";" => true,
            _ => false,
        };
        if ends {
            items.extend(first.and_then(|first| item(statement, first..index)));
            // What stands behind the closing bracket is no part.
            if word.text == ")" {
                return items;
            }
            first = Some(index + 1);
        }
    }
    items.extend(first.and_then(|first| item(statement, first..statement.words.len())));
    items
}

fn item(statement: &Statement, words: Range<usize>) -> Option<Item<'_>> {
    let words = statement.words.get(words)?;
    (!words.is_empty()).then_some(Item { words })
}

impl Item<'_> {
    /// The bytes of it.
    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.words.first().map_or(0, |word| word.range.start);
        start..self.words.last().map_or(start, |word| word.range.end)
    }

    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| word.text.as_str())
    }

    /// The words behind ADD, COLUMN, IF NOT EXISTS.
    fn begin(&self) -> usize {
        (0..self.words.len())
            .find(|index| !matches!(self.word(*index), "add" | "column" | "if" | "not" | "exists"))
            .unwrap_or_default()
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.words.iter().position(|other| other.text == word)
    }

    /// Whether it makes or alters this column.
    pub(crate) fn is_column(&self, name: &str) -> bool {
        let begin = self.begin();
        self.word(begin) == name
            || (matches!(self.word(0), "alter" | "drop") && self.position(name).is_some())
    }

    /// Whether it makes the constraint or index of this name, by saying the name or by the columns that PostgreSQL
    /// makes a name of.
    pub(crate) fn makes(&self, table: &str, name: &str) -> bool {
        if let Some(index) = self.position("constraint") {
            return self.word(index + 1) == name;
        }
        let (suffix, at) = if let Some(at) = self.position("references") {
            ("fkey", at)
        } else if let Some(at) = self.position("unique") {
            ("key", at)
        } else if self.position("primary").is_some() {
            return name == format!("{table}_pkey");
        } else {
            return false;
        };
        let columns: Vec<&str> = match self.position("key").filter(|_| suffix == "fkey") {
            Some(key) => self.columns_behind(key),
            None if suffix == "key" && self.begin() == at => self.columns_behind(at),
            None => vec![self.word(self.begin())],
        };
        name == format!("{table}_{}_{suffix}", columns.join("_"))
    }

    fn columns_behind(&self, index: usize) -> Vec<&str> {
        self.words
            .get(index + 1..)
            .unwrap_or_default()
            .iter()
            .skip_while(|word| word.text != "(")
            .skip(1)
            .take_while(|word| word.text != ")")
            .filter(|word| word.text != ",")
            .map(|word| word.text.as_str())
            .collect()
    }

    /// Whether it makes a foreign key.
    pub(crate) fn is_foreign_key(&self) -> bool {
        self.position("references").is_some()
    }
}
