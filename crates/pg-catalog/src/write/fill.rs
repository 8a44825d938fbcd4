//! Values for a new column, and NOT NULL without a long lock.

use super::columns::alter_table;
use super::step::{Pair, Step};
use super::{Context, words};
use crate::model::name::{QualifiedName, quote_ident, quote_literal};

/// Blocks of a table that one transaction of a backfill goes through: 8 MB.
const BLOCKS: u32 = 1000;

/// Gives the rows that have none the column's default, some blocks at a time, each in a transaction of its own. Goes round until
/// it finds no more, for a row that is updated meanwhile may move behind it.
pub(super) fn backfill(context: &Context<'_>, table: &QualifiedName, column: &str) -> Pair {
    let name = quote_ident(column);
    let prelude = context.options.backfill_prelude.iter();
    let prelude: String = prelude
        .map(|statement| format!("        {statement};\n"))
        .collect();
    let mut sql = String::new();
    for leaf in leaves(context, table) {
        let literal = quote_literal(&leaf.to_string());
        sql.push_str(&format!(
            "DO $$
DECLARE
    start bigint := 0;
    filled bigint;
    seen bigint := 0;
BEGIN
    LOOP
{prelude}        UPDATE ONLY {leaf} SET {name} = DEFAULT
        WHERE ctid >= format('(%s,0)', start)::tid AND ctid < format('(%s,0)', start + {BLOCKS})::tid AND {name} IS NULL;
        GET DIAGNOSTICS filled = ROW_COUNT;
        COMMIT;
        seen := seen + filled;
        start := start + {BLOCKS};
        IF start * current_setting('block_size')::bigint >= pg_relation_size({literal}) THEN
            EXIT WHEN seen = 0;
            start := 0;
            seen := 0;
        END IF;
    END LOOP;
END
$$;
"
        ));
    }
    let note = format!("Fills {table}.{name}, {BLOCKS} blocks at a time; the triggers of the table fire.");
    Pair::new(Step::new(sql).note(note), Step::default())
}

/// The tables that hold the rows: a partitioned one holds none itself.
fn leaves(context: &Context<'_>, table: &QualifiedName) -> Vec<QualifiedName> {
    let partitioned = |name: &QualifiedName| {
        context
            .want
            .tables
            .get(name)
            .is_some_and(|table| table.partition_key.is_some())
    };
    let mut leaves = Vec::new();
    let mut open = vec![table.clone()];
    while let Some(name) = open.pop() {
        let children = context
            .want
            .tables
            .iter()
            .filter(|(child, table)| {
                let of = table.partition_of.iter().chain(&table.inherits);
                of.into_iter().any(|parent| *parent == name) && context.have.tables.contains_key(child)
            })
            .map(|(child, _)| child.clone());
        open.extend(children);
        if !partitioned(&name) {
            leaves.push(name);
        }
    }
    leaves.sort();
    leaves
}

/// The check that stands for NOT NULL while the rows are looked at, and NOT NULL itself, which then finds nothing left to look at.
pub(super) struct NotNull {
    /// Adds the check.
    pub(super) check: Pair,
    /// Validates it.
    pub(super) validate: Pair,
    /// Makes the column NOT NULL.
    pub(super) set: Pair,
}

pub(super) fn not_null(table: &QualifiedName, column: &str) -> NotNull {
    let name = quote_ident(column);
    let check = words::derived(&format!("{}_{column}", table.name), "_not_null");
    let check = quote_ident(&check);
    let add = format!("ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL)");
    let one = |action: String| Step::new(format!("{};\n", alter_table(table, &[action])));
    NotNull {
        check: Pair::new(
            one(format!("{add} NOT VALID")),
            one(format!("DROP CONSTRAINT {check}")),
        ),
        validate: Pair::new(
            one(format!("VALIDATE CONSTRAINT {check}"))
                .note("Reads the whole table, beside readers and writers; fails where there is a NULL."),
            Step::new(format!(
                "{};\n",
                alter_table(
                    table,
                    &[format!("DROP CONSTRAINT {check}"), format!("{add} NOT VALID")]
                )
            )),
        ),
        set: Pair::new(
            Step::new(format!(
                "ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL;\nALTER TABLE {table} DROP CONSTRAINT {check};\n"
            )),
            Step::new(format!(
                "ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL;\nALTER TABLE {table} {add};\n"
            ))
            .note("Reads the whole table under ACCESS EXCLUSIVE."),
        ),
    }
}
