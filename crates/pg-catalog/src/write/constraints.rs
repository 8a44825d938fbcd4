//! Constraints of tables and domains.

use super::columns::alter_table;
use super::step::{Pair, Script, Step};
use super::words;
use crate::model::name::{QualifiedName, quote_ident, quote_literal};
use crate::model::table::{Constraint, ConstraintKind};

/// As in `CREATE TABLE` and after `ADD`.
pub(super) fn clause(name: &str, constraint: &Constraint) -> String {
    format!("CONSTRAINT {} {}", quote_ident(name), constraint.sql())
}

/// Whether an index stands behind it.
pub(super) fn has_index(constraint: &Constraint) -> bool {
    use ConstraintKind::{Exclusion, PrimaryKey, Unique};
    matches!(constraint.kind, PrimaryKey | Unique | Exclusion)
}

/// Whether it can be added first and looked at later.
pub(super) fn can_wait(constraint: &Constraint) -> bool {
    use ConstraintKind::{Check, ForeignKey, NotNull};
    matches!(constraint.kind, Check | ForeignKey | NotNull)
        && !constraint.definition.ends_with(" NOT ENFORCED")
}

/// What the clause does not say: options of the index, comment.
pub(super) fn finish(script: &mut Script, table: &QualifiedName, name: &str, constraint: &Constraint) {
    if !constraint.options.is_empty() {
        let index = QualifiedName::new(&table.schema, name);
        script.add(format!(
            "ALTER INDEX {index} SET ({})",
            words::options(&constraint.options)
        ));
    }
    let target = format!("CONSTRAINT {} ON {table}", quote_ident(name));
    let comment = words::comment(&target, None, constraint.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
}

fn drop(table: &QualifiedName, name: &str) -> String {
    format!("ALTER TABLE {table} DROP CONSTRAINT {}", quote_ident(name))
}

/// Adds it at once, rows looked at and index built under the lock.
pub(super) fn add(table: &QualifiedName, name: &str, constraint: &Constraint) -> Pair {
    let mut script = Script::default();
    script.add(alter_table(table, &[format!("ADD {}", clause(name, constraint))]));
    finish(&mut script, table, name, constraint);
    let mut down = Script::default();
    down.add(drop(table, name));
    Pair::new(script.step().note(held(constraint)), down.step())
}

/// As [`add`], where the rows may not be what they were: what cannot be validated stays `NOT VALID`, with a warning.
pub(super) fn add_if_valid(table: &QualifiedName, name: &str, constraint: &Constraint) -> Pair {
    let mut pair = add_not_valid(table, name, constraint);
    let condition = match constraint.kind {
        ConstraintKind::ForeignKey => "foreign_key_violation",
        _ => "check_violation",
    };
    let name = quote_ident(name);
    let warning = quote_literal(&format!(
        "{name} on {table} stays NOT VALID: rows that it needs are lost"
    ));
    pair.up.sql.push_str(&format!(
        "DO $$
BEGIN
    ALTER TABLE {table} VALIDATE CONSTRAINT {name};
EXCEPTION WHEN {condition} THEN
    RAISE WARNING '%', {warning};
END
$$;
"
    ));
    pair
}

fn held(constraint: &Constraint) -> &'static str {
    match constraint.kind {
        ConstraintKind::ForeignKey => "Reads the whole table; nobody writes to the two tables meanwhile.",
        ConstraintKind::Check | ConstraintKind::NotNull => "Reads the whole table under ACCESS EXCLUSIVE.",
        _ => "Builds the index under ACCESS EXCLUSIVE.",
    }
}

/// Adds it for the rows to come, and validates those that are there in a part of its own. `Validate` is for one that is there already, too.
pub(super) fn add_not_valid(table: &QualifiedName, name: &str, constraint: &Constraint) -> Pair {
    let later = Constraint {
        validated: false,
        ..constraint.clone()
    };
    let mut pair = add(table, name, &later);
    pair.up.notes.clear();
    pair
}

pub(super) fn validate(table: &QualifiedName, name: &str, have: &Constraint, want: &Constraint) -> Pair {
    let quoted = quote_ident(name);
    let up = Step::new(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {quoted};\n"));
    let before = Constraint {
        validated: false,
        comment: want.comment.clone(),
        ..have.clone()
    };
    let mut down = Script::default();
    down.add(alter_table(
        table,
        &[
            format!("DROP CONSTRAINT {quoted}"),
            format!("ADD {}", clause(name, &before)),
        ],
    ));
    finish(&mut down, table, name, &before);
    Pair::new(
        up.note("Reads the whole table, beside readers and writers."),
        down.step(),
    )
}

/// Builds the index first, beside readers and writers, and makes it the constraint's afterwards. `index` is its name until then.
pub(super) fn by_index(
    table: &QualifiedName,
    name: &str,
    index: &str,
    constraint: &Constraint,
) -> Option<(Pair, Pair)> {
    let (words, rest) = match constraint.kind {
        ConstraintKind::PrimaryKey => ("PRIMARY KEY", constraint.definition.strip_prefix("PRIMARY KEY")?),
        ConstraintKind::Unique => ("UNIQUE", constraint.definition.strip_prefix("UNIQUE")?),
        _ => return None,
    };
    // `UNIQUE NULLS NOT DISTINCT (a)`: an index says it at its end. `WITHOUT OVERLAPS` (18) is no btree.
    let (distinct, columns) = match rest.trim_start().strip_prefix("NULLS NOT DISTINCT") {
        Some(columns) => (" NULLS NOT DISTINCT", columns.trim_start()),
        None => ("", rest.trim_start()),
    };
    if columns.contains(" WITHOUT OVERLAPS") {
        return None;
    }
    let options = words::with(&constraint.options);
    let index_name = QualifiedName::new(&table.schema, index);
    let unique = |how: &str| {
        let quoted = quote_ident(index);
        format!("CREATE UNIQUE INDEX {how}{quoted} ON {table} {columns}{distinct}{options}")
    };
    let mut build = Script::default();
    build.add(unique("CONCURRENTLY IF NOT EXISTS "));
    let mut unbuild = Script::default();
    unbuild.add(format!("DROP INDEX CONCURRENTLY IF EXISTS {index_name}"));

    let timing = Constraint {
        definition: format!("{words} USING INDEX {}", quote_ident(index)),
        options: Vec::new(),
        ..constraint.clone()
    };
    let mut up = Script::default();
    up.add(alter_table(table, &[format!("ADD {}", clause(name, &timing))]));
    finish(&mut up, table, name, &timing);
    let mut down = Script::default();
    down.add(drop(table, name));
    down.add(unique(""));
    let note = "Builds the index anew, as the part before left it; nobody writes to the table meanwhile.";
    Some((
        Pair::new(build.step(), unbuild.step()),
        Pair::new(up.step(), down.step().note(note)),
    ))
}

/// Whether one becomes the other in place: only its comment, its index's options, a foreign key's timing, or that it is validated.
pub(super) fn in_place(have: &Constraint, want: &Constraint) -> bool {
    let timing = (have.deferrable, have.deferred) == (want.deferrable, want.deferred);
    have.definition == want.definition
        && (timing || have.kind == ConstraintKind::ForeignKey)
        && (have.validated == want.validated || want.validated)
}

/// Whether they are one but for the name, the comment, and the options of the index.
pub(super) fn same(a: &Constraint, b: &Constraint) -> bool {
    let what = |it: &Constraint| (it.definition.clone(), it.validated, it.deferrable, it.deferred);
    what(a) == what(b)
}

/// All of that but the validation.
pub(super) fn alter(table: &QualifiedName, name: &str, from: &Constraint, to: &Constraint) -> Step {
    let quoted = quote_ident(name);
    let mut script = Script::default();
    if (from.deferrable, from.deferred) != (to.deferrable, to.deferred) {
        let timing = match (to.deferrable, to.deferred) {
            (false, _) => "NOT DEFERRABLE",
            (true, false) => "DEFERRABLE INITIALLY IMMEDIATE",
            (true, true) => "DEFERRABLE INITIALLY DEFERRED",
        };
        script.add(format!("ALTER TABLE {table} ALTER CONSTRAINT {quoted} {timing}"));
    }
    let index = QualifiedName::new(&table.schema, name);
    for change in words::option_changes(&from.options, &to.options) {
        script.add(format!("ALTER INDEX {index} {change}"));
    }
    let target = format!("CONSTRAINT {quoted} ON {table}");
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    script.step()
}

/// Another name for what is the same; under it, the comment and the options of the index.
pub(super) fn rename(
    table: &QualifiedName,
    (old, have): (&str, &Constraint),
    (new, want): (&str, &Constraint),
) -> Pair {
    let rename = |old: &str, new: &str| {
        let (old, new) = (quote_ident(old), quote_ident(new));
        format!("ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new};\n")
    };
    let up = rename(old, new) + &alter(table, new, have, want).sql;
    let down = alter(table, new, want, have).sql + &rename(new, old);
    Pair::new(Step::new(up), Step::new(down))
}

/// Adds a constraint to a domain.
pub(super) fn add_to_domain(domain: &QualifiedName, name: &str, constraint: &Constraint) -> Pair {
    let mut up = Script::default();
    up.add(format!("ALTER DOMAIN {domain} ADD {}", clause(name, constraint)));
    let comment = domain_comment(domain, name, None, Some(constraint));
    comment.into_iter().for_each(|comment| up.add(comment));
    let down = format!("ALTER DOMAIN {domain} DROP CONSTRAINT {};\n", quote_ident(name));
    Pair::new(up.step(), Step::new(down))
}

pub(super) fn domain_comment(
    domain: &QualifiedName,
    name: &str,
    from: Option<&Constraint>,
    to: Option<&Constraint>,
) -> Option<String> {
    let target = format!("CONSTRAINT {} ON DOMAIN {domain}", quote_ident(name));
    let text = |of: Option<&Constraint>| of.and_then(|of| of.comment.clone());
    words::comment(&target, text(from).as_ref(), text(to).as_ref())
}

pub(super) fn validate_in_domain(domain: &QualifiedName, name: &str, have: &Constraint) -> Pair {
    let quoted = quote_ident(name);
    let before = Constraint {
        validated: false,
        ..have.clone()
    };
    let mut down = Script::default();
    down.add(format!("ALTER DOMAIN {domain} DROP CONSTRAINT {quoted}"));
    down.append(&add_to_domain(domain, name, &before).up.sql);
    let up = Step::new(format!("ALTER DOMAIN {domain} VALIDATE CONSTRAINT {quoted};\n"));
    Pair::new(
        up.note("Reads every table with a column of this domain."),
        down.step(),
    )
}
