//! Values that a migration itself speaks of, put into rows: `j - 'secret'` harms only one that has the key, and
//! `WHERE made_at < '2025-01-01'` only one that is older.

use std::collections::BTreeSet;

use pg_catalog::{Catalog, quote_literal};
use tokio_postgres::Client;

use super::sample_rows::unforced;
use super::split::split;

/// More are not tried.
const MOST: usize = 40;

/// What a migration speaks of.
pub(super) struct Hints {
    words: BTreeSet<String>,
    literals: Vec<String>,
}

/// Reads the words and the strings of files, those in bodies too.
pub(super) fn hints(files: &[&str]) -> Hints {
    let mut hints = Hints {
        words: BTreeSet::new(),
        literals: Vec::new(),
    };
    for file in files {
        hints.read(file, 0);
    }
    hints.literals.truncate(MOST);
    hints
}

impl Hints {
    fn read(&mut self, sql: &str, depth: usize) {
        for token in split(sql)
            .unwrap_or_default()
            .iter()
            .flat_map(|statement| &statement.tokens)
        {
            let text = token.text;
            if let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
                let literal = inner.replace("''", "'");
                if !literal.is_empty() && literal.len() < 64 && !self.literals.contains(&literal) {
                    self.literals.push(literal);
                }
            } else if text.starts_with('$') && depth < 2 {
                let tag = text
                    .find('$')
                    .and_then(|at| text.get(at + 1..)?.find('$'))
                    .map_or(0, |at| at + 2);
                let inner = text.get(tag..text.len().saturating_sub(tag)).unwrap_or_default();
                self.read(inner, depth + 1);
            } else {
                self.words.insert(text.trim_matches('"').to_lowercase());
            }
        }
    }
}

/// Puts the keys into JSON, and times before those that are spoken of into one row each, in the tables that are spoken of and as far
/// as their checks let it.
pub(super) async fn meet(
    client: &Client,
    catalog: &Catalog,
    hints: &Hints,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    unforced(client, catalog).await?;
    for (name, table) in &catalog.tables {
        if !hints.words.contains(&name.name) || table.partition_of.is_some() || table.partition_key.is_some()
        {
            continue;
        }
        for column in &table.columns {
            let quoted = pg_catalog::quote_ident(&column.name);
            if column.generated.is_some() {
                continue;
            }
            for (at, literal) in hints.literals.iter().enumerate() {
                let literal = quote_literal(literal);
                let (value, which) = match column.data_type.as_str() {
                    "jsonb" => (
                        format!("{quoted} || jsonb_build_object({literal}, 1)"),
                        format!("jsonb_typeof({quoted}) = 'object'"),
                    ),
                    time if time == "date" || time.starts_with("timestamp") => (
                        format!("({literal}::timestamptz - interval '1 day')::{time}"),
                        format!(
                            "ctid = (SELECT ctid FROM {name} ORDER BY ctid OFFSET {} LIMIT 1)",
                            at % 3
                        ),
                    ),
                    _ => continue,
                };
                let sql = format!(
                    "SAVEPOINT hint; UPDATE {name} SET {quoted} = {value} WHERE {which}; RELEASE SAVEPOINT hint"
                );
                match client.batch_execute(&sql).await {
                    Ok(()) => {}
                    Err(error) if error.as_db_error().is_some() => {
                        client
                            .batch_execute("ROLLBACK TO SAVEPOINT hint; RELEASE SAVEPOINT hint")
                            .await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    let forced: String = catalog
        .tables
        .iter()
        .filter(|(_, table)| table.force_row_security)
        .map(|(name, _)| format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY;"))
        .collect();
    client.batch_execute(&forced).await?;
    client.batch_execute("COMMIT").await
}
