//! Columns: how they are written, added, changed, filled and dropped.

use super::casts::{self, Cast};
use super::step::{Pair, Script, Step};
use super::{Context, grants, sequences, words};
use crate::model::name::{QualifiedName, quote_ident};
use crate::model::table::{Column, Identity};
use crate::model::types::TypeDefinition;

/// Locks out readers and writers for as long as it runs.
pub(super) const REWRITES: &str =
    "Rewrites the table under ACCESS EXCLUSIVE: nobody reads or writes it meanwhile.";

/// A column as in `CREATE TABLE`.
pub(super) fn clause(column: &Column) -> String {
    let mut clause = format!("{} {}", quote_ident(&column.name), column.data_type);
    if let Some(compression) = &column.compression {
        clause.push_str(&format!(" COMPRESSION {compression}"));
    }
    if let Some(collation) = &column.collation {
        clause.push_str(&format!(" COLLATE {collation}"));
    }
    if column.not_null {
        clause.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        clause.push_str(&format!(" DEFAULT {default}"));
    }
    if let Some(generated) = &column.generated {
        clause.push_str(&format!(" GENERATED ALWAYS AS {generated}"));
    }
    if let Some(identity) = &column.identity {
        clause.push(' ');
        clause.push_str(&identity_clause(identity));
    }
    clause
}

fn identity_clause(identity: &Identity) -> String {
    let when = if identity.always { "ALWAYS" } else { "BY DEFAULT" };
    let options = sequences::unusual(&identity.sequence);
    let options = if options.is_empty() {
        String::new()
    } else {
        format!(" ({})", options.join(" "))
    };
    format!("GENERATED {when} AS IDENTITY{options}")
}

/// What a clause does not say: storage, statistics, options, comment, grants.
pub(super) fn finish(script: &mut Script, table: &QualifiedName, column: &Column) {
    let plain = Column {
        storage: None,
        statistics: None,
        options: Vec::new(),
        comment: None,
        ..column.clone()
    };
    let actions = tuning(&plain, column);
    if !actions.is_empty() {
        script.add(alter_table(table, &actions));
    }
    comment(script, table, &plain, column);
    grants::of_new_column(script, &format!("TABLE {table}"), column);
}

fn comment(script: &mut Script, table: &QualifiedName, from: &Column, to: &Column) {
    let target = format!("COLUMN {table}.{}", quote_ident(&to.name));
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
}

/// `ALTER TABLE`, one action on the same line, several on lines of their own.
pub(super) fn alter_table(table: &QualifiedName, actions: &[String]) -> String {
    match actions {
        [one] => format!("ALTER TABLE {table} {one}"),
        several => format!("ALTER TABLE {table}\n    {}", several.join(",\n    ")),
    }
}

fn tuning(from: &Column, to: &Column) -> Vec<String> {
    let column = format!("ALTER COLUMN {}", quote_ident(&to.name));
    let mut actions = Vec::new();
    if from.storage != to.storage {
        actions.push(match &to.storage {
            Some(storage) => format!("{column} SET STORAGE {storage}"),
            // The type's own; EXTENDED is cut down to it where the type cannot be toasted.
            None => format!("{column} SET STORAGE {}", usual_storage(&to.data_type)),
        });
    }
    if from.compression != to.compression {
        let compression = to.compression.as_deref().unwrap_or("default");
        actions.push(format!("{column} SET COMPRESSION {compression}"));
    }
    if from.statistics != to.statistics {
        actions.push(format!("{column} SET STATISTICS {}", to.statistics.unwrap_or(-1)));
    }
    for change in words::option_changes(&from.options, &to.options) {
        actions.push(format!("{column} {change}"));
    }
    actions
}

fn usual_storage(data_type: &str) -> &'static str {
    if data_type.starts_with("numeric") && !data_type.ends_with("[]") {
        "MAIN"
    } else {
        "EXTENDED"
    }
}

/// A new column on a table that is there; `clause` may be less than the whole column.
pub(super) fn add(table: &QualifiedName, column: &Column, clause: &str) -> Pair {
    let mut script = Script::default();
    script.add(format!("ALTER TABLE {table} ADD COLUMN {clause}"));
    finish(&mut script, table, column);
    let mut up = script.step();
    if column.generated.as_ref().is_some_and(|it| it.ends_with("STORED")) || column.identity.is_some() {
        up = up.note(REWRITES);
    }
    Pair::new(up, drop_step(table, column))
}

fn drop_step(table: &QualifiedName, column: &Column) -> Step {
    let name = quote_ident(&column.name);
    let step = Step::new(format!("ALTER TABLE {table} DROP COLUMN {name};\n"));
    // What is computed can be computed again.
    if column.generated.is_some() {
        step
    } else {
        step.loses(format!("the values of {table}.{name}"))
    }
}

/// Drops a column. The way back cannot bring its values: where there must be one, it has the default or a placeholder.
pub(super) fn drop(context: &Context<'_>, table: &QualifiedName, column: &Column) -> Pair {
    let name = quote_ident(&column.name);
    let mut script = Script::default();
    let bare = column.not_null
        && column.default.is_none()
        && column.generated.is_none()
        && column.identity.is_none();
    let placeholder = bare.then(|| placeholder(context, &column.data_type)).flatten();
    script.add(format!("ALTER TABLE {table} ADD COLUMN {}", clause(column)));
    if let Some(value) = &placeholder {
        script = Script::default();
        script.add(format!(
            "ALTER TABLE {table} ADD COLUMN {} DEFAULT {value}",
            clause(column)
        ));
        script.add(format!("ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT"));
    }
    finish(&mut script, table, column);
    let mut down = script.step();
    if column.generated.is_none() {
        let instead = match (&placeholder, &column.default, column.not_null) {
            (Some(value), ..) => format!("rows that are there get {value}."),
            (None, Some(_), _) => "rows that are there get the default.".to_owned(),
            (None, None, true) if column.identity.is_none() => {
                "this fails where there are rows: fill the column by hand.".to_owned()
            }
            (None, None, true) => "rows that are there are numbered anew.".to_owned(),
            (None, None, false) => "rows that are there get NULL.".to_owned(),
        };
        down = down.note(format!("The values of {table}.{name} are lost: {instead}"));
    }
    Pair::new(drop_step(table, column), down)
}

fn placeholder(context: &Context<'_>, data_type: &str) -> Option<String> {
    if let Some(value) = casts::placeholder(data_type) {
        return Some(value);
    }
    let found = context.have.types.get(&data_type.parse().ok()?)?;
    match &found.definition {
        TypeDefinition::Enum { labels } => labels.first().map(|label| crate::quote_literal(label)),
        TypeDefinition::Domain { base, .. } => placeholder(context, base),
        _ => None,
    }
}

/// What of a column is changed elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Except {
    /// NOT NULL is set in steps of its own.
    pub(super) not_null: bool,
    /// The default is taken and given in steps of its own.
    pub(super) default: bool,
    /// The type is made anew and brings its columns along.
    pub(super) data_type: bool,
}

/// Whether one cannot become the other: it goes, and the other comes in its place.
pub(super) fn is_another(have: &Column, want: &Column) -> bool {
    have.generated.is_some() != want.generated.is_some() || !casts::exists(&have.data_type, &want.data_type)
}

/// One column in the place of another, both ways, where no cast leads from one to the other.
pub(super) fn replace(context: &Context<'_>, table: &QualifiedName, have: &Column, want: &Column) -> Pair {
    let again = |from: &Column, to: &Column| {
        let mut step = drop(context, table, to).down;
        step.sql.insert_str(0, &drop_step(table, from).sql);
        if from.generated.is_some() {
            return step.note(REWRITES);
        }
        step.loses(format!(
            "the values of {table}.{}: no cast leads from {} to {}",
            quote_ident(&from.name),
            from.data_type,
            to.data_type
        ))
    };
    Pair::new(again(have, want), again(want, have))
}

/// One column to another, both ways.
pub(super) fn change(table: &QualifiedName, have: &Column, want: &Column, except: Except) -> Pair {
    let (mut up, mut down) = (alter(table, have, want, except), alter(table, want, have, except));
    let name = format!("{table}.{}", quote_ident(&have.name));
    // A plain column cannot become a generated one: it is another.
    let again = |from: &Column, to: &Column| {
        let mut script = Script::default();
        script.add(format!(
            "ALTER TABLE {table} DROP COLUMN {}",
            quote_ident(&from.name)
        ));
        script.add(format!("ALTER TABLE {table} ADD COLUMN {}", clause(to)));
        finish(&mut script, table, to);
        script.step().note(REWRITES)
    };
    if have.generated.is_some() != want.generated.is_some() {
        if want.generated.is_some() {
            up = again(have, want).loses(format!("the values of {name}: from now on they are computed"));
        } else {
            down = again(want, have);
        }
    }
    Pair::new(up, down)
}

fn alter(table: &QualifiedName, from: &Column, to: &Column, except: Except) -> Step {
    let name = quote_ident(&to.name);
    let column = format!("ALTER COLUMN {name}");
    let mut actions = Vec::new();
    let mut notes = Vec::new();
    let mut lost = None;
    let retyped = !except.data_type && (from.data_type != to.data_type || from.collation != to.collation);
    let cast = casts::cast(&from.data_type, &to.data_type);
    let new_default = !except.default && (from.default != to.default || retyped && from.default.is_some());

    if from.generated.is_some() && to.generated.is_none() {
        actions.push(format!("{column} DROP EXPRESSION"));
    }
    if from.identity.is_some() && to.identity.is_none() {
        actions.push(format!("{column} DROP IDENTITY"));
        lost = Some(counted(table, &name));
    }
    if from.not_null && !to.not_null && !except.not_null {
        actions.push(format!("{column} DROP NOT NULL"));
    }
    // Where no cast takes the old default along, it has to be gone before the type changes.
    let in_the_way = retyped && !casts::related(&from.data_type, &to.data_type);
    if new_default && from.default.is_some() && (in_the_way || to.default.is_none()) {
        actions.push(format!("{column} DROP DEFAULT"));
    }
    if retyped {
        let collate = match &to.collation {
            Some(collation) => format!(" COLLATE {collation}"),
            None => String::new(),
        };
        let using = casts::using(&name, &from.data_type, &to.data_type);
        actions.push(format!("{column} TYPE {}{collate}{using}", to.data_type));
        if cast != Cast::Free {
            notes.push(REWRITES.to_owned());
        } else if from.collation != to.collation {
            notes.push("Rebuilds the column's indexes under ACCESS EXCLUSIVE.".to_owned());
        }
        if cast == Cast::Lossy {
            lost = Some(format!("what {table}.{name} holds and {} cannot", to.data_type));
        }
    }
    if new_default && let Some(default) = &to.default {
        actions.push(format!("{column} SET DEFAULT {default}"));
    }
    if to.not_null && !from.not_null && !except.not_null {
        actions.push(format!("{column} SET NOT NULL"));
        notes.push("Reads the whole table under ACCESS EXCLUSIVE; fails where there is a NULL.".to_owned());
    }
    match (&from.identity, &to.identity) {
        (None, Some(identity)) => actions.push(format!("{column} ADD {}", identity_clause(identity))),
        (Some(had), Some(wanted)) => {
            let mut changes = sequences::identity_changes(&had.sequence, &wanted.sequence);
            if had.always != wanted.always {
                let when = if wanted.always { "ALWAYS" } else { "BY DEFAULT" };
                changes.insert(0, format!("SET GENERATED {when}"));
            }
            if !changes.is_empty() {
                actions.push(format!("{column} {}", changes.join(" ")));
            }
        }
        _ => {}
    }
    actions.extend(tuning(from, to));

    let mut script = Script::default();
    if let (Some(had), Some(wanted)) = (&from.identity, &to.identity) {
        let sequence = identity_sequence(table, &to.name);
        let counted = format!(
            "coalesce(pg_sequence_last_value({sequence}::regclass), {})",
            had.sequence.start
        );
        sequences::move_on(&mut script, &had.sequence, &wanted.sequence, |condition, to| {
            format!("SELECT setval({sequence}, {to}, false) WHERE {counted} {condition}")
        });
    }
    if !actions.is_empty() {
        script.add(alter_table(table, &actions));
    }
    if from.identity.is_none() && to.identity.is_some() {
        script.append(&continue_counting(
            table,
            &to.name,
            &identity_sequence(table, &to.name),
        ));
    }
    comment(&mut script, table, from, to);
    Step {
        sql: script.0,
        destructive: lost,
        notes,
    }
}

/// A new sequence begins after the numbers that are there. The sequence is an expression.
pub(super) fn continue_counting(table: &QualifiedName, column: &str, sequence: &str) -> String {
    let name = quote_ident(column);
    format!("SELECT setval({sequence}, max({name}))\nFROM {table}\nHAVING max({name}) IS NOT NULL;\n")
}

fn identity_sequence(table: &QualifiedName, column: &str) -> String {
    format!(
        "pg_get_serial_sequence({}, {})",
        crate::quote_literal(&table.to_string()),
        crate::quote_literal(column),
    )
}

fn counted(table: &QualifiedName, column: &str) -> String {
    format!("how far the identity of {table}.{column} has counted")
}

/// Makes an identity column a plain one. `goes_on`: a sequence counts on behind its values.
pub(super) fn drop_identity(table: &QualifiedName, column: &str, identity: &Identity, goes_on: bool) -> Pair {
    let alter = format!("ALTER TABLE {table} ALTER COLUMN {}", quote_ident(column));
    let mut back = format!("{alter} ADD {};\n", identity_clause(identity));
    back.push_str(&continue_counting(
        table,
        column,
        &identity_sequence(table, column),
    ));
    let drop = Step::new(format!("{alter} DROP IDENTITY;\n"));
    let drop = if goes_on {
        drop
    } else {
        drop.loses(counted(table, &quote_ident(column)))
    };
    Pair::new(drop, Step::new(back))
}

/// Whether an expression may give each row another value, so that adding a column with it would rewrite the table. What is not known may.
pub(super) fn is_volatile(context: &Context<'_>, expression: &str) -> bool {
    let text = without_literals(expression);
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
    text.match_indices('(').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default().trim_end();
        let start = before.rfind(|c: char| !part(c)).map_or(0, |at| at + 1);
        let name = before.get(start..).unwrap_or_default();
        match name.parse::<QualifiedName>() {
            Ok(name) => !context
                .want
                .functions
                .iter()
                .any(|(signature, function)| signature.name == name && function.volatility != "VOLATILE"),
            Err(_) => VOLATILE.contains(&name),
        }
    })
}

/// The server's own functions that are `VOLATILE` and of use in a default.
const VOLATILE: [&str; 12] = [
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "pg_backend_pid",
    "random",
    "random_normal",
    "setval",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

fn without_literals(expression: &str) -> String {
    let outside = expression.split('\'').step_by(2);
    outside.collect::<Vec<_>>().join("''")
}
