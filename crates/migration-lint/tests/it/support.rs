//! Lints a piece of SQL.

use migration_lint::{Finding, Script, Side, lint};

pub fn up(sql: &str) -> Script {
    Script::new("up.sql", sql, Side::Up, true)
}

pub fn down(sql: &str) -> Script {
    Script::new("down.sql", sql, Side::Down, true)
}

pub fn outside_of_a_transaction(sql: &str) -> Script {
    Script::new("up.sql", sql, Side::Up, false)
}

/// Rule and line of each finding that is not allowed.
pub fn found(script: &Script) -> Vec<(&'static str, usize)> {
    rules_and_lines(&lint(script, Some(&[]), &[]))
}

pub fn rules_and_lines(findings: &[Finding]) -> Vec<(&'static str, usize)> {
    findings
        .iter()
        .filter(|finding| finding.allowed.is_none())
        .map(|finding| (finding.rule, finding.start.line))
        .collect()
}
