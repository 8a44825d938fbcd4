use super::step::{Pair, Script, Step};
use super::{grants, words};
use crate::model::Catalog;
use crate::model::name::QualifiedName;
use crate::model::sequence::{Sequence, SequenceOptions};

/// The numbers that follow from the type and the direction where nothing is said.
fn usual(options: &SequenceOptions) -> SequenceOptions {
    let (least, most) = match options.data_type.as_str() {
        "smallint" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let up = options.increment > 0;
    let (min, max) = if up { (1, most) } else { (least, -1) };
    SequenceOptions {
        data_type: options.data_type.clone(),
        start: if up { options.min } else { options.max },
        increment: 1,
        min,
        max,
        cache: 1,
        cycle: false,
    }
}

/// The clauses that say what is other than in `from`.
fn clauses(from: &SequenceOptions, to: &SequenceOptions) -> Vec<String> {
    let mut clauses = Vec::new();
    for (words, from, to) in [
        ("INCREMENT BY", from.increment, to.increment),
        ("MINVALUE", from.min, to.min),
        ("MAXVALUE", from.max, to.max),
        ("START WITH", from.start, to.start),
        ("CACHE", from.cache, to.cache),
    ] {
        if from != to {
            clauses.push(format!("{words} {to}"));
        }
    }
    if from.cycle != to.cycle {
        clauses.push(if to.cycle { "CYCLE" } else { "NO CYCLE" }.to_owned());
    }
    clauses
}

/// What is to be said in the parentheses of `AS IDENTITY`, and of `CREATE SEQUENCE`.
pub(super) fn unusual(options: &SequenceOptions) -> Vec<String> {
    clauses(&usual(options), options)
}

/// `SET …` for each number of an identity column's sequence that changes.
pub(super) fn identity_changes(from: &SequenceOptions, to: &SequenceOptions) -> Vec<String> {
    let clauses = clauses(from, to);
    clauses
        .into_iter()
        .map(|clause| format!("SET {clause}"))
        .collect()
}

pub(super) fn create(name: &QualifiedName, sequence: &Sequence, catalog: &Catalog) -> Pair {
    let mut script = Script::default();
    let unlogged = if sequence.unlogged { "UNLOGGED " } else { "" };
    let mut statement = format!("CREATE {unlogged}SEQUENCE {name}");
    if sequence.options.data_type != "bigint" {
        statement.push_str(&format!(" AS {}", sequence.options.data_type));
    }
    for clause in unusual(&sequence.options) {
        statement.push(' ');
        statement.push_str(&clause);
    }
    script.add(statement);
    let target = format!("SEQUENCE {name}");
    let comment = words::comment(&target, None, sequence.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    super::owners::of_new(&mut script, &target, &sequence.owner, catalog);
    let kind = (Some(name.schema.as_str()), "SEQUENCES");
    grants::of_new(
        &mut script,
        &target,
        catalog,
        kind,
        &sequence.owner,
        &sequence.grants,
    );
    let drop = Step::new(format!("DROP SEQUENCE {name};\n"));
    Pair::new(script.step(), drop.loses(format!("how far {name} has counted")))
}

pub(super) fn alter(name: &QualifiedName, from: &Sequence, to: &Sequence) -> Step {
    let mut script = Script::default();
    let mut changes = Vec::new();
    let (have, want) = (&from.options, &to.options);
    if have.data_type != want.data_type {
        changes.push(format!("AS {}", want.data_type));
    }
    changes.extend(clauses(have, want));
    if have.data_type != want.data_type {
        // The type moves the limits that were its own: say them.
        changes.retain(|clause| !clause.starts_with("MINVALUE") && !clause.starts_with("MAXVALUE"));
        changes.push(format!("MINVALUE {} MAXVALUE {}", want.min, want.max));
    }
    move_on(&mut script, have, want, |condition, to| {
        let literal = crate::quote_literal(&name.to_string());
        format!("SELECT setval({literal}, {to}, false) FROM {name} WHERE last_value {condition}")
    });
    if !changes.is_empty() {
        script.add(format!("ALTER SEQUENCE {name} {}", changes.join(" ")));
    }
    let mut lost = None;
    if from.unlogged != to.unlogged {
        let word = if to.unlogged { "UNLOGGED" } else { "LOGGED" };
        script.add(format!("ALTER SEQUENCE {name} SET {word}"));
        lost = to
            .unlogged
            .then(|| format!("how far {name} has counted, whenever the server crashes"));
    }
    let comment = words::comment(
        &format!("SEQUENCE {name}"),
        from.comment.as_ref(),
        to.comment.as_ref(),
    );
    comment.into_iter().for_each(|comment| script.add(comment));
    Step {
        destructive: lost,
        ..script.step()
    }
}

/// A sequence that stands before the first number that is allowed from now on goes on to where it starts; PostgreSQL refuses the limits
/// otherwise. One that has counted beyond its last number is left to that error: going back would give numbers twice.
/// `go` writes what sets it to a number where a condition holds for the last one.
pub(super) fn move_on(
    script: &mut Script,
    from: &SequenceOptions,
    to: &SequenceOptions,
    go: impl Fn(&str, i64) -> String,
) {
    let up = to.increment > 0;
    let (moves, condition, first) = if up {
        (to.min > from.min, format!("< {}", to.min), to.min)
    } else {
        (to.max < from.max, format!("> {}", to.max), to.max)
    };
    if moves {
        // The old limits hold still.
        let allowed = (from.min..=from.max).contains(&to.start);
        script.add(go(&condition, if allowed { to.start } else { first }));
    }
}

/// Gives the sequence to the column that owns it.
pub(super) fn own(name: &QualifiedName, column: &str) -> Pair {
    let owned = |by: &str| Step::new(format!("ALTER SEQUENCE {name} OWNED BY {by};\n"));
    Pair::new(owned(column), owned("NONE"))
}
