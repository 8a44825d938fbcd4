//! What goes to stdout.

use anstyle::Style;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::failure::Failure;

/// Prints text in one go. Colours are dropped where stdout is no terminal, or `NO_COLOR` says so.
pub fn text(text: &str) -> Result<(), Failure> {
    Ok(command_line::text(text)?)
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    Ok(command_line::json(value)?)
}

/// One cell of a table.
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// In colour, or another way that stands out.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

/// Columns side by side, under a bold line of titles.
pub fn table(titles: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let bold = Style::new().bold();
    let mut lines = vec![
        titles
            .iter()
            .map(|title| Cell::styled(*title, bold))
            .collect::<Vec<_>>(),
    ];
    lines.extend(rows);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut table = String::new();
    for line in &lines {
        let mut row = String::new();
        for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Nothing is padded behind the last column.
            let padding = if index + 1 == line.len() {
                0
            } else {
                width - cell.text.chars().count() + 2
            };
            let style = cell.style;
            row.push_str(&format!("{style}{}{style:#}{:padding$}", cell.text, ""));
        }
        table.push_str(row.trim_end());
        table.push('\n');
    }
    table
}

/// A time, to the second.
pub fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `1 migration`, `2 migrations`.
pub fn count(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
