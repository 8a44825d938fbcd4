//! What is asked of rows besides what their tables ask: that they fit another schema too, which they are to be taken to.

use std::collections::BTreeMap;

use pg_catalog::{
    Catalog, Column, Constraint, ConstraintKind, QualifiedName, Table, TypeDefinition, quote_ident,
    quote_literal,
};
use tokio_postgres::Client;

use super::values::expression;

/// A catalogue, and what its rows are to be like.
#[derive(Clone, Debug)]
pub(super) struct Fitting {
    /// What is there, with the checks, foreign keys and NOT NULLs of both schemas.
    pub(super) catalog: Catalog,
    /// Keys that no two rows may share from then on.
    unique: BTreeMap<QualifiedName, Vec<Vec<String>>>,
    /// What values become from then on, by table and column.
    becomes: BTreeMap<(QualifiedName, String), Becomes>,
}

/// What a value becomes.
#[derive(Clone, Debug)]
pub(super) struct Becomes {
    /// The type below domains.
    base: String,
    /// The same, where it is another than before.
    pub(super) cast: Option<String>,
    /// Checks of a domain or enum, of `value`.
    pub(super) checks: Vec<String>,
}

impl Fitting {
    /// Rows that fit the schema that is there.
    pub(super) fn to(have: &Catalog) -> Self {
        Self {
            catalog: have.clone(),
            unique: BTreeMap::new(),
            becomes: BTreeMap::new(),
        }
    }

    /// Rows that fit `want` too, as far as that can be asked of them in a database that has `have`. Needs a transaction.
    pub(super) async fn to_both(
        client: &Client,
        have: &Catalog,
        want: &Catalog,
    ) -> Result<Self, tokio_postgres::Error> {
        let mut both = Self::to(have);
        for (name, table) in &have.tables {
            let Some(wanted) = want.tables.get(name) else {
                continue;
            };
            for column in &table.columns {
                if let Some(to) = wanted.column(&column.name)
                    && let Some(becomes) = becomes(client, (have, column), (want, to)).await?
                {
                    both.becomes.insert((name.clone(), column.name.clone()), becomes);
                }
            }
            let mut more = Vec::new();
            for (of, constraint) in &wanted.constraints {
                let had = table.constraints.get(of);
                if had.is_none_or(|had| had.definition != constraint.definition)
                    && can_be_asked(client, have, (name, table), constraint).await?
                {
                    // Beside the one of the same name, which holds until then.
                    more.push((format!("{of} as wanted"), constraint.clone()));
                }
            }
            both.unique.insert(name.clone(), unique(table, wanted));
            let Some(asked) = both.catalog.tables.get_mut(name) else {
                continue;
            };
            asked.constraints.extend(more);
            for column in &mut asked.columns {
                let to = wanted.column(&column.name);
                column.not_null |= to.is_some_and(|to| to.not_null || never_null(want, &to.data_type));
            }
        }
        Ok(both)
    }

    /// Conditions on a `candidate` that has these columns: nothing there has its keys.
    pub(super) fn is_new(&self, table: &QualifiedName, quoted: &[String]) -> String {
        let keys = self.unique.get(table).into_iter().flatten();
        let mut conditions = String::new();
        for key in keys {
            let key: Vec<String> = key
                .iter()
                .map(|column| quote_ident(column).into_owned())
                .collect();
            if key.iter().all(|column| quoted.contains(column)) {
                let same = key
                    .iter()
                    .map(|column| format!("there.{column} = candidate.{column}"));
                let same = same.collect::<Vec<_>>().join(" AND ");
                conditions.push_str(&format!(
                    " AND NOT EXISTS (SELECT FROM {table} there WHERE {same})"
                ));
            }
        }
        conditions
    }

    pub(super) fn becomes(&self, table: &QualifiedName, column: &str) -> Option<&Becomes> {
        self.becomes.get(&(table.clone(), column.to_owned()))
    }
}

impl Becomes {
    /// Conditions on a column, the one that asks most first. Where no value can be made that is of the new type too, any is good:
    /// that is what the migration is to be tried with.
    pub(super) fn conditions(&self, quoted: &str, data_type: &str) -> Vec<String> {
        let checks: String = self
            .checks
            .iter()
            .map(|check| format!(" AND ({check}) IS NOT FALSE"))
            .collect();
        let Some(cast) = &self.cast else {
            let base = &self.base;
            return vec![format!(
                " AND EXISTS (SELECT FROM (SELECT {quoted}::text::{base} AS value) v WHERE true{checks})"
            )];
        };
        let loose =
            format!("SELECT FROM (SELECT {quoted}::text::{cast} AS value) v WHERE value IS NOT NULL{checks}");
        vec![
            // Nothing is cut.
            format!(" AND EXISTS ({loose} AND value::text::{data_type} = {quoted})"),
            format!(" AND EXISTS ({loose})"),
            String::new(),
        ]
    }
}

/// The type below domains, what these check, and for an enum which labels there are.
fn resolve(catalog: &Catalog, data_type: &str) -> (String, Vec<String>) {
    let mut base = data_type.to_owned();
    let mut checks = Vec::new();
    while let Some((_, found)) = catalog.types.iter().find(|(name, _)| name.to_string() == base) {
        checks.extend(
            found
                .constraints
                .values()
                .filter_map(|check| expression(&check.definition).map(ToOwned::to_owned)),
        );
        match &found.definition {
            TypeDefinition::Domain { base: of, .. } => base.clone_from(of),
            TypeDefinition::Enum { labels } => {
                let labels: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
                checks.push(format!("value::text = ANY (ARRAY[{}])", labels.join(", ")));
                base = "text".to_owned();
            }
            _ => break,
        }
    }
    (base, checks)
}

/// Whether a domain does not take NULL.
fn never_null(catalog: &Catalog, data_type: &str) -> bool {
    let found = catalog
        .types
        .iter()
        .find(|(name, _)| name.to_string() == data_type);
    found.is_some_and(|(_, found)| {
        matches!(&found.definition, TypeDefinition::Domain { base, not_null, .. } if *not_null || never_null(catalog, base))
    })
}

async fn becomes(
    client: &Client,
    (have, column): (&Catalog, &Column),
    (want, to): (&Catalog, &Column),
) -> Result<Option<Becomes>, tokio_postgres::Error> {
    let (had, known) = resolve(have, &column.data_type);
    let (base, mut checks) = resolve(want, &to.data_type);
    checks.retain(|check| !known.contains(check));
    let cast = (had != base).then(|| base.clone());
    if cast.is_none() && checks.is_empty() {
        return Ok(None);
    }
    let mut becomes = Becomes {
        base,
        cast,
        checks: Vec::new(),
    };
    for check in checks {
        let base = &becomes.base;
        let sql = format!("SELECT FROM (SELECT NULL::text::{base} AS value) v WHERE ({check}) LIMIT 0");
        if is_understood(client, &sql).await? {
            becomes.checks.push(check);
        }
    }
    if let Some(cast) = &becomes.cast
        && !is_understood(client, &format!("SELECT NULL::text::{cast}")).await?
    {
        return Ok(None);
    }
    Ok(Some(becomes))
}

/// Whether the database can tell of a row whether it would fit: it may lack a function that comes with the change, or a column.
async fn can_be_asked(
    client: &Client,
    have: &Catalog,
    (name, table): (&QualifiedName, &Table),
    constraint: &Constraint,
) -> Result<bool, tokio_postgres::Error> {
    let has = |table: &Table, columns: &[String]| columns.iter().all(|column| table.column(column).is_some());
    if !has(table, &constraint.columns) {
        return Ok(false);
    }
    match constraint.kind {
        ConstraintKind::Check => match expression(&constraint.definition) {
            Some(check) => {
                is_understood(client, &format!("SELECT FROM {name} WHERE ({check}) LIMIT 0")).await
            }
            None => Ok(false),
        },
        ConstraintKind::ForeignKey => {
            let other = constraint
                .references
                .as_ref()
                .and_then(|other| have.tables.get(other));
            Ok(other.is_some_and(|other| has(other, &constraint.referenced_columns)))
        }
        _ => Ok(false),
    }
}

/// Keys of the wanted table that the one that is there does not have, of columns that it has.
fn unique(table: &Table, wanted: &Table) -> Vec<Vec<String>> {
    let is_key = |it: &&Constraint| matches!(it.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique);
    let keys = |of: &Table| -> Vec<Vec<String>> {
        let indexes = of.indexes.values().filter(|index| index.unique);
        let indexes = indexes.filter_map(|index| index.columns.iter().cloned().collect());
        let constraints = of.constraints.values().filter(is_key);
        constraints.map(|it| it.columns.clone()).chain(indexes).collect()
    };
    let had = keys(table);
    let mut new = keys(wanted);
    new.retain(|key| !had.contains(key) && key.iter().all(|column| table.column(column).is_some()));
    new
}

async fn is_understood(client: &Client, sql: &str) -> Result<bool, tokio_postgres::Error> {
    let asked = format!("SAVEPOINT asked; {sql}; RELEASE SAVEPOINT asked");
    match client.simple_query(&asked).await {
        Ok(_) => Ok(true),
        Err(error) if error.as_db_error().is_some() => {
            let back = "ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT asked";
            client.batch_execute(back).await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
