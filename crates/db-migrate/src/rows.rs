//! The rows of a database, and whether others are what they were.

use std::collections::{BTreeMap, BTreeSet};

use pg_catalog::{Catalog, Column, QualifiedName, Table as Definition, TypeDefinition, quote_ident};
use tokio_postgres::Client;

use super::sample_rows::unforced;

/// Types whose values can be equal and look different: `1.0` and `1.00`, a day and its midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Number,
    Time,
    Other,
}

impl Family {
    fn of(catalog: &Catalog, data_type: &str) -> Self {
        let base = base(catalog, data_type);
        match base.split('(').next().unwrap_or_default().trim() {
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => Self::Number,
            "date" => Self::Time,
            timestamp if timestamp.starts_with("timestamp") => Self::Time,
            _ => Self::Other,
        }
    }

    /// The value as text that is the same for equal ones of the family.
    fn alike(self, base: &str, name: &str) -> String {
        match self {
            Self::Number if base.starts_with("numeric") => format!("trim_scale({name})::text"),
            Self::Number if base == "real" => format!("{name}::double precision::text"),
            Self::Time => format!("{name}::timestamp::text"),
            _ => format!("{name}::text"),
        }
    }
}

/// What a domain is of, else the type itself.
fn base<'a>(catalog: &'a Catalog, mut data_type: &'a str) -> &'a str {
    while let Some(TypeDefinition::Domain { base, .. }) = catalog
        .types
        .iter()
        .find(|(name, _)| name.to_string() == data_type)
        .map(|(_, found)| &found.definition)
    {
        data_type = base;
    }
    data_type
}

#[derive(Clone, Debug)]
struct Kind {
    name: String,
    family: Family,
    /// Computed from others.
    generated: bool,
}

/// A value as the server prints it, and as it prints all that are equal to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Value {
    text: Option<String>,
    alike: Option<String>,
}

/// Rows of one table, without those of its partitions.
#[derive(Clone, Debug)]
struct Table {
    /// The table through which they are reached: of a partition, the outermost parent.
    root: QualifiedName,
    columns: Vec<Kind>,
    rows: Vec<Vec<Value>>,
}

/// All rows of all tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(BTreeMap<QualifiedName, Table>);

impl Rows {
    /// Reads them, as the owner of the tables.
    pub(super) async fn read(client: &Client, catalog: &Catalog) -> Result<Self, tokio_postgres::Error> {
        client.batch_execute("BEGIN").await?;
        unforced(client, catalog).await?;
        let mut all = BTreeMap::new();
        for (name, table) in &catalog.tables {
            // What a partitioned one has is in its partitions.
            if table.partition_key.is_some() || table.columns.is_empty() {
                continue;
            }
            let (mut texts, mut alike) = (Vec::new(), Vec::new());
            for column in &table.columns {
                let name = quote_ident(&column.name);
                let family = Family::of(catalog, &column.data_type);
                texts.push(format!("{name}::text"));
                alike.push(family.alike(base(catalog, &column.data_type), &name));
            }
            let sql = format!(
                "SELECT ARRAY[{}], ARRAY[{}] FROM ONLY {name}",
                texts.join(", "),
                alike.join(", ")
            );
            let rows = client.query(&sql, &[]).await?;
            let rows = rows.iter().map(|row| {
                let (texts, alike): (Vec<Option<String>>, Vec<Option<String>>) = (row.get(0), row.get(1));
                let values = texts.into_iter().zip(alike);
                values.map(|(text, alike)| Value { text, alike }).collect()
            });
            let rows = rows.collect();
            let columns = table.columns.iter().map(|column| kind(catalog, column));
            let read = Table {
                root: root(catalog, name, table),
                columns: columns.collect(),
                rows,
            };
            all.insert(name.clone(), read);
        }
        client.batch_execute("ROLLBACK").await?;
        Ok(Self(all))
    }

    /// What became of these rows, as far as tables and columns are there still. One line for each table that was harmed, but for
    /// those that `may_change`. What is computed is no row's own. Partitions that come, go or are detached are looked at together
    /// with their table: there, a row is found again.
    pub(super) fn harmed(&self, now: &Self, may_change: &BTreeSet<String>) -> Vec<String> {
        let mut harmed = Vec::new();
        for roots in self.groups(now) {
            let (before, after) = (self.below(&roots), now.below(&roots));
            let names = before.iter().chain(&after).map(|(name, _)| *name);
            let mut names = names.chain(roots.iter().copied()).map(|name| &name.name);
            if names.any(|name| may_change.contains(name)) || after.is_empty() {
                continue;
            }
            let Some((_, first)) = before.first() else {
                continue;
            };
            let name = &first.root;
            let counts =
                [&before, &after].map(|tables| tables.iter().map(|(_, it)| it.rows.len()).sum::<usize>());
            if let [had, has] = counts
                && had != has
            {
                harmed.push(format!("table {name} had {had} rows, and has {has}"));
                continue;
            }
            let common: Vec<&str> = first
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .filter(|column| before.iter().all(|(_, table)| table.column(column).is_some()))
                .filter(|column| {
                    let own = |(_, table): &(_, &Table)| table.column(column).is_some_and(|it| !it.generated);
                    after.iter().all(own)
                })
                .collect();
            let same = |columns: &[&str]| {
                let as_printed: Vec<bool> = columns
                    .iter()
                    .map(|column| {
                        let of = |tables: &[(&QualifiedName, &Table)]| {
                            Some(tables.first()?.1.column(column)?.family)
                        };
                        of(&before) != of(&after)
                    })
                    .collect();
                project(&before, columns, &as_printed) == project(&after, columns, &as_printed)
            };
            if same(&common) {
                continue;
            }
            let others: Vec<&str> = common.iter().copied().filter(|column| !same(&[column])).collect();
            harmed.push(if others.is_empty() {
                format!("table {name}: values have moved from one row to another")
            } else {
                format!("table {name}: the values of {} are others", others.join(", "))
            });
        }
        harmed
    }

    /// Tables between which rows can have gone because a table became a partition, or is one no longer.
    fn groups<'a>(&'a self, now: &'a Self) -> Vec<BTreeSet<&'a QualifiedName>> {
        let mut groups: Vec<BTreeSet<&QualifiedName>> = Vec::new();
        for (name, table) in &self.0 {
            let mut group = BTreeSet::from([&table.root]);
            group.extend(now.0.get(name).map(|table| &table.root));
            groups.retain(|other| {
                let apart = other.is_disjoint(&group);
                if !apart {
                    group.extend(other.iter().copied());
                }
                apart
            });
            groups.push(group);
        }
        groups.sort();
        groups
    }

    /// The tables with rows of these.
    fn below(&self, roots: &BTreeSet<&QualifiedName>) -> Vec<(&QualifiedName, &Table)> {
        let tables = self.0.iter();
        tables.filter(|(_, table)| roots.contains(&table.root)).collect()
    }
}

fn kind(catalog: &Catalog, column: &Column) -> Kind {
    Kind {
        name: column.name.clone(),
        family: Family::of(catalog, &column.data_type),
        generated: column.generated.is_some(),
    }
}

fn root(catalog: &Catalog, name: &QualifiedName, table: &Definition) -> QualifiedName {
    let mut root = (name, table);
    while let Some(parent) = &root.1.partition_of
        && let Some(found) = catalog.tables.get(parent)
    {
        root = (parent, found);
    }
    root.0.clone()
}

impl Table {
    fn column(&self, name: &str) -> Option<&Kind> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The values of these columns, rows in order.
fn project<'a>(
    tables: &[(&QualifiedName, &'a Table)],
    columns: &[&str],
    as_printed: &[bool],
) -> Vec<Vec<Option<&'a str>>> {
    let mut all: Vec<Vec<Option<&str>>> = Vec::new();
    for (_, table) in tables {
        let place = |name: &&str| table.columns.iter().position(|own| own.name == *name);
        let places: Vec<Option<usize>> = columns.iter().map(place).collect();
        for row in &table.rows {
            let values = places.iter().zip(as_printed).map(|(place, as_printed)| {
                let value = row.get((*place)?)?;
                if *as_printed {
                    value.text.as_deref()
                } else {
                    value.alike.as_deref()
                }
            });
            all.push(values.collect());
        }
    }
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("public", name)
    }

    fn table(root: &str, family: Family, generated: bool, values: &[(&str, &str)]) -> Table {
        let value = |(text, alike): &(&str, &str)| Value {
            text: Some((*text).to_owned()),
            alike: Some((*alike).to_owned()),
        };
        Table {
            root: name(root),
            columns: vec![Kind {
                name: "a".to_owned(),
                family,
                generated,
            }],
            rows: values.iter().map(|it| vec![value(it)]).collect(),
        }
    }

    fn rows(tables: &[(&str, Table)]) -> Rows {
        Rows(
            tables
                .iter()
                .map(|(of, table)| (name(of), table.clone()))
                .collect(),
        )
    }

    #[test]
    fn equal_is_what_the_type_calls_equal() {
        let none = BTreeSet::new();
        let one = |text, family| rows(&[("t", table("t", family, false, &[(text, "1")]))]);
        let short = one("1.0", Family::Number);
        assert_eq!(short.harmed(&one("1.000", Family::Number), &none), [""; 0]);
        // As text it is what was printed.
        assert_eq!(short.harmed(&one("1.0", Family::Other), &none), [""; 0]);
        assert_eq!(
            short.harmed(&one("1", Family::Other), &none),
            ["table public.t: the values of a are others"]
        );
    }

    #[test]
    fn what_is_computed_may_be_another() {
        let of = |value, generated| rows(&[("t", table("t", Family::Other, generated, &[(value, value)]))]);
        let none = BTreeSet::new();
        assert_eq!(of("1", true).harmed(&of("2", true), &none), [""; 0]);
        assert_eq!(of("1", true).harmed(&of("2", false), &none).len(), 1);
    }

    #[test]
    fn a_partition_keeps_its_rows_wherever_it_hangs() {
        let of = |root| ("p", table(root, Family::Other, false, &[("1", "1"), ("2", "2")]));
        let other = || ("q", table("t", Family::Other, false, &[("3", "3")]));
        let none = BTreeSet::new();
        let (attached, detached) = (rows(&[of("t"), other()]), rows(&[of("p"), other()]));
        assert_eq!(attached.harmed(&detached, &none), [""; 0]);
        assert_eq!(detached.harmed(&attached, &none), [""; 0]);
        let gone = rows(&[other()]);
        assert_eq!(
            attached.harmed(&gone, &none),
            ["table public.t had 3 rows, and has 1"]
        );
        assert_eq!(attached.harmed(&gone, &BTreeSet::from(["p".to_owned()])), [""; 0]);
    }
}
