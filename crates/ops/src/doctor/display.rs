//! The report for people.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Report;
use super::catalogue;
use super::check::{Check, Status};

const SKIPPED: Style = Style::new().dimmed();

/// Where lines are broken.
const WIDTH: usize = 118;

/// Groups, a line for each check, and cause and cure beneath what is not as it should be.
pub fn text(report: &Report) -> String {
    let bold = Style::new().bold();
    let titles = report
        .checks
        .iter()
        .map(|check| check.title.chars().count())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    let mut group = "";
    for check in &report.checks {
        if group != catalogue::group(check.id) {
            group = catalogue::group(check.id);
            let between = if text.is_empty() { "" } else { "\n" };
            let target = match group {
                "owner" => report.owner.as_deref(),
                "pooled" => report.pooled.as_deref(),
                _ => None,
            };
            let target = target.map_or_else(String::new, |target| format!("  {target}"));
            let _ = writeln!(
                text,
                "{between}{bold}{}{bold:#}{target}",
                catalogue::heading(group)
            );
        }
        if let Some(why) = all_skipped(report, group) {
            if first_of_group(report, check) {
                paragraph(&mut text, &format!("  {SKIPPED}skipped{SKIPPED:#}  "), why, 11);
            }
            continue;
        }
        line(&mut text, check, titles);
    }
    text.push('\n');
    paragraph(&mut text, "", &summary(report), 0);
    text
}

/// The reason, where a whole group was skipped for the same one.
fn all_skipped<'a>(report: &'a Report, group: &str) -> Option<&'a str> {
    let mut those = report
        .checks
        .iter()
        .filter(|check| catalogue::group(check.id) == group);
    let why = those.next()?.found.as_str();
    let mut all = report
        .checks
        .iter()
        .filter(|check| catalogue::group(check.id) == group);
    all.all(|check| check.status == Status::Skipped && check.found == why)
        .then_some(why)
}

fn first_of_group(report: &Report, check: &Check) -> bool {
    let group = catalogue::group(check.id);
    let mut those = report
        .checks
        .iter()
        .filter(|other| catalogue::group(other.id) == group);
    those.next().is_some_and(|first| first.id == check.id)
}

fn line(text: &mut String, check: &Check, titles: usize) {
    let (word, style) = match check.status {
        Status::Ok => ("ok", Style::new().fg_color(Some(AnsiColor::Green.into()))),
        Status::Warning => ("warning", Style::new().fg_color(Some(AnsiColor::Yellow.into()))),
        Status::Failed => (
            "FAILED",
            Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        ),
        Status::Skipped => ("skipped", SKIPPED),
    };
    let margin = 13 + titles;
    let head = format!(
        "  {style}{word}{style:#}{:pad$}{:titles$}  ",
        "",
        check.title,
        pad = 9 - word.len()
    );
    paragraph(text, &head, &check.found, margin);
    for (label, words) in [("cause:", &check.cause), ("cure:", &check.cure)] {
        if let Some(words) = words {
            let head = format!("{:margin$}{label:6} ", "");
            paragraph(text, &head, words, margin + 7);
        }
    }
}

/// Words behind a head, and on further lines below one another.
fn paragraph(text: &mut String, head: &str, words: &str, margin: usize) {
    text.push_str(head);
    let mut column = margin;
    for (index, word) in words.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(text, "\n{:margin$}", "");
            column = margin;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

/// `1 failed (owner.tcp), 2 warnings (backup.last, logging.errors), 30 ok, 4 skipped`
pub fn summary(report: &Report) -> String {
    let words = [
        (Status::Failed, "failed", "failed", true),
        (Status::Warning, "warning", "warnings", true),
        (Status::Ok, "ok", "ok", false),
        (Status::Skipped, "skipped", "skipped", false),
    ];
    let mut parts = Vec::new();
    for (status, one, many, named) in words {
        let ids: Vec<&str> = report
            .checks
            .iter()
            .filter(|check| check.status == status)
            .map(|check| check.id)
            .collect();
        if ids.is_empty() {
            continue;
        }
        let mut part = format!("{} {}", ids.len(), if ids.len() == 1 { one } else { many });
        if named {
            let _ = write!(part, " ({})", ids.join(", "));
        }
        parts.push(part);
    }
    parts.join(", ")
}
