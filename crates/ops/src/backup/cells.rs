//! The census as a file: a line for each cell, `table<TAB>domain<TAB>rows<TAB>hash`, without a domain `-`.

use std::io::{self, Cursor, Read};

use uuid::Uuid;

use super::bounds::lines;
use super::census::{Cell, Census};
use super::manifest::TableTotal;
use super::shape::Shape;

/// The text.
pub(super) fn write(census: &Census) -> Cursor<Vec<u8>> {
    let mut text = String::new();
    for (table, cells) in &census.tables {
        // A table without rows has no cell, and is there all the same.
        text.push_str(&format!("{}\n", escape(table)));
        for (domain, cell) in cells {
            let domain = domain.map_or_else(|| "-".to_owned(), |domain| domain.to_string());
            text.push_str(&format!(
                "{}\t{domain}\t{}\t{}\n",
                escape(table),
                cell.rows,
                cell.hash
            ));
        }
    }
    Cursor::new(text.into_bytes())
}

/// Reads it back.
pub(super) fn read(input: &mut dyn Read) -> io::Result<Census> {
    let mut census = Census::default();
    for line in lines(input) {
        let line = line?;
        let bad = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the cells have a line {line:?}"),
            )
        };
        let mut parts = line.split('\t');
        let table = unescape(parts.next().ok_or_else(bad)?);
        let cells = census.tables.entry(table).or_default();
        let Some(domain) = parts.next() else { continue };
        let domain = match domain {
            "-" => None,
            domain => Some(domain.parse::<Uuid>().map_err(|_error| bad())?),
        };
        let mut number = || parts.next().ok_or_else(bad);
        let rows = number()?.parse().map_err(|_error| bad())?;
        let hash = number()?.parse().map_err(|_error| bad())?;
        cells.insert(domain, Cell { rows, hash });
    }
    Ok(census)
}

/// The sums that go into the manifest.
pub(super) fn totals<'a>(
    census: &Census,
    shapes: impl Iterator<Item = (&'a String, &'a Shape)>,
) -> Vec<TableTotal> {
    shapes
        .map(|(name, shape)| {
            let total = census.tables.get(name).map(Census::total).unwrap_or_default();
            TableTotal {
                name: name.clone(),
                rows: total.rows,
                hash: total.hash.to_string(),
                shape: shape.clone(),
            }
        })
        .collect()
}

pub(super) fn escape(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
}

pub(super) fn unescape(name: &str) -> String {
    let mut out = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let mut census = Census::default();
        census
            .tables
            .insert("public.\"a\tb\\n\n\"".to_owned(), Default::default());
        let cells = census.tables.entry("public.cards".to_owned()).or_default();
        cells.insert(None, Cell { rows: 1, hash: -5 });
        cells.insert(
            Some(Uuid::from_u128(7)),
            Cell {
                rows: u64::MAX,
                hash: i128::from(i64::MIN) * 1000,
            },
        );
        assert_eq!(read(&mut write(&census)).unwrap(), census);
    }
}
