//! An edit, and the proof that the plan for it leads there and back.

use std::collections::BTreeMap;

use pg_catalog::{Catalog, Hints, Part, Plan, PlanError, PlanOptions, Rename, Renamed, quote_ident};
use tokio_postgres::Client;

use crate::edits::base as other_base;
use crate::support::{Database, connect, lines};

/// A change to the base schema, and what its plan must be like.
pub struct Edit {
    pub sql: &'static str,
    pub renames: &'static [&'static str],
    destructive: bool,
    /// Columns whose values look otherwise in the new type.
    converted: &'static [&'static str],
    has: &'static [&'static str],
    lacks: &'static [&'static str],
    parts: Option<usize>,
    /// What cannot come back, as the difference says it.
    leaves: &'static [&'static str],
    /// The first major version of PostgreSQL that knows it.
    since: i32,
}

pub const fn edit(sql: &'static str) -> Edit {
    Edit {
        sql,
        renames: &[],
        destructive: false,
        converted: &[],
        has: &[],
        lacks: &[],
        parts: None,
        leaves: &[],
        since: 0,
    }
}

impl Edit {
    pub const fn renames(mut self, renames: &'static [&'static str]) -> Self {
        self.renames = renames;
        self
    }

    pub const fn loses(mut self) -> Self {
        self.destructive = true;
        self
    }

    pub const fn converts(mut self, columns: &'static [&'static str]) -> Self {
        self.converted = columns;
        self
    }

    pub const fn has(mut self, texts: &'static [&'static str]) -> Self {
        self.has = texts;
        self
    }

    pub const fn lacks(mut self, texts: &'static [&'static str]) -> Self {
        self.lacks = texts;
        self
    }

    pub const fn leaves(mut self, difference: &'static [&'static str]) -> Self {
        self.leaves = difference;
        self
    }

    pub const fn since(mut self, version: i32) -> Self {
        self.since = version;
        self
    }

    pub const fn parts(mut self, count: usize) -> Self {
        self.parts = Some(count);
        self
    }
}

pub async fn base() -> Database {
    let base = other_base().await;
    base.run(include_str!("base.sql")).await;
    base
}

/// Proves each edit; tells of all that fail.
pub async fn prove(edits: &[Edit]) {
    let base = base().await;
    let version = read(&base.client().await).await.server_version / 10_000;
    let mut wrong = Vec::new();
    for edit in edits.iter().filter(|edit| edit.since <= version) {
        if let Err(error) = prove_one(&base, edit).await {
            wrong.push(format!("=== {}\n{error}", edit.sql));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} fail\n{}",
        wrong.len(),
        edits.len(),
        wrong.join("\n")
    );
}

pub async fn read(client: &Client) -> Catalog {
    Catalog::read(client, &pg_catalog::Options::default())
        .await
        .unwrap()
}

/// Proves the plan from one schema to another, in a database that has the first; `edit` says what may be lost, converted and left.
pub async fn prove_way(client: &Client, have: &Catalog, want: &Catalog, edit: &Edit) -> Result<(), String> {
    let options = PlanOptions {
        allow_destructive: true,
        ..PlanOptions::default()
    };
    let plan = Plan::new(have, want, &Hints::default(), &options).map_err(|error| error.to_string())?;
    prove_plan(client, &plan, have, want, edit).await
}

/// The plan from the base to what the edit makes of it.
async fn plan(base: &Database, have: &Catalog, want: &Catalog, edit: &Edit) -> Result<Plan, String> {
    let renames: Result<Vec<Rename>, _> = edit.renames.iter().map(|text| text.parse()).collect();
    let hints = Hints {
        renames: renames.map_err(|error| error.to_string())?,
    };
    for rename in &hints.renames {
        assert_eq!(
            rename.to_string().parse::<Rename>().unwrap(),
            *rename,
            "printed as it is read"
        );
    }
    hints.check(have, want).map_err(|error| error.to_string())?;
    let mut after = have.clone();
    if !hints.renames.is_empty() {
        let scratch = Database::copy(base).await;
        for rename in &hints.renames {
            scratch.run(&rename.sql()).await;
        }
        after = read(&scratch.client().await).await;
    }
    let mut options = PlanOptions::default();
    match Plan::new(&after, want, &hints, &options) {
        Err(PlanError::Destructive(losses)) if edit.destructive && !losses.is_empty() => {}
        Err(error) => return Err(error.to_string()),
        Ok(_) if edit.destructive => return Err("nothing is said to be lost".to_owned()),
        Ok(_) => {}
    }
    options.allow_destructive = true;
    let plan = Plan::new(&after, want, &hints, &options).map_err(|error| error.to_string())?;
    let again = Plan::new(&after, want, &hints, &options).map_err(|error| error.to_string())?;
    assert_eq!(plan, again, "the same text every time");
    Ok(plan)
}

async fn prove_one(base: &Database, edit: &Edit) -> Result<(), String> {
    let (database, other) = (Database::copy(base).await, Database::copy(base).await);
    let client = connect(&database.name).await;
    let changed = connect(&other.name).await;
    let done = changed.batch_execute(edit.sql).await;
    done.map_err(|error| format!("the edit itself: {error:?}"))?;
    let want = read(&changed).await;
    let have = read(&client).await;
    if have.diff(&want).is_empty() {
        return Err("the edit changes nothing".to_owned());
    }
    let plan = plan(base, &have, &want, edit).await?;
    let text: String = plan
        .parts
        .iter()
        .map(Part::up_sql)
        .collect::<Vec<_>>()
        .join("----\n");
    prove_plan(&client, &plan, &have, &want, edit)
        .await
        .map_err(|error| format!("{error}\n--- plan:\n{text}"))?;
    for part in edit.has {
        if !text.contains(part) {
            return Err(format!("no {part:?} in\n{text}"));
        }
    }
    for part in edit.lacks {
        if text.contains(part) {
            return Err(format!("{part:?} in\n{text}"));
        }
    }
    match edit.parts {
        Some(count) if count != plan.parts.len() => Err(format!("{} parts:\n{text}", plan.parts.len())),
        _ => Ok(()),
    }
}

/// There part by part, and back part by part: each way back leads to exactly where the part began.
async fn prove_plan(
    client: &Client,
    plan: &Plan,
    have: &Catalog,
    want: &Catalog,
    edit: &Edit,
) -> Result<(), String> {
    let before = rows(client, have, have, edit).await;
    let mut states = vec![have.clone()];
    for part in &plan.parts {
        run(client, part.transactional, &part.up_sql()).await?;
        states.push(read(client).await);
    }
    let difference = states.last().unwrap().diff(want);
    if !difference.is_empty() {
        return Err(format!("there remains\n{difference}"));
    }
    let after = rows(client, have, want, edit).await;
    for (table, counted) in &after {
        let unlike = before.get(table).is_some_and(|before| before.whole(counted));
        if unlike {
            return Err(format!("rows of {table}: {:?} -> {counted:?}", before[table]));
        }
    }
    for (part, state) in plan.parts.iter().zip(&states).rev() {
        run(client, part.transactional, &part.down_sql())
            .await
            .map_err(|error| format!("back: {error}"))?;
        let difference = read(client).await.diff(state);
        if lines(&difference) != edit.leaves && !difference.is_empty() {
            let sql = part.down_sql();
            return Err(format!(
                "on the way back there remains\n{difference}--- after\n{sql}"
            ));
        }
    }
    let difference = read(client).await.diff(have);
    // At most what a part of the way back left: a part after it may have mended it.
    if !lines(&difference)
        .iter()
        .all(|line| edit.leaves.iter().any(|left| line == left))
    {
        return Err(format!("back again there remains\n{difference}"));
    }
    let back = rows(client, have, have, edit).await;
    if !edit.destructive && back != before {
        return Err(format!("rows, back again: {before:?} -> {back:?}"));
    }
    Ok(())
}

async fn run(client: &Client, transactional: bool, sql: &str) -> Result<(), String> {
    if transactional {
        let done = client.batch_execute(&format!("BEGIN;\n{sql}COMMIT;")).await;
        if let Err(error) = done {
            client.batch_execute("ROLLBACK").await.unwrap();
            return Err(format!("{error:?} in\n{sql}"));
        }
        return Ok(());
    }
    for statement in statements(sql) {
        let done = client.batch_execute(&statement).await;
        done.map_err(|error| format!("{error:?} in\n{statement}"))?;
    }
    Ok(())
}

/// Statements end with a line, unless they are in a dollar-quoted body.
fn statements(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut open = String::new();
    for line in sql.lines() {
        open.push_str(line);
        open.push('\n');
        if line.ends_with(';') && open.matches("$$").count().is_multiple_of(2) {
            statements.push(std::mem::take(&mut open));
        }
    }
    statements
}

/// Rows of a table, and what is in those columns that both schemas have.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    rows: i64,
    columns: String,
    content: String,
}

impl Counted {
    fn whole(&self, other: &Self) -> bool {
        self.columns == other.columns && self != other || self.rows != other.rows
    }
}

/// The names that the renames give.
fn renamed(edit: &Edit, table: &str, column: Option<&str>) -> (String, Option<String>) {
    let (mut table, mut column) = (table.to_owned(), column.map(str::to_owned));
    for rename in edit.renames {
        let rename: Rename = rename.parse().unwrap();
        match &rename.old {
            Renamed::Relation(_, old) if old.to_string() == table => {
                let schema = rename.new_schema.as_ref().unwrap_or(&old.schema);
                table = format!("{}.{}", quote_ident(schema), quote_ident(&rename.new));
            }
            Renamed::Schema(old) => {
                if let Some(rest) = table.strip_prefix(&format!("{old}.")) {
                    table = format!("{}.{rest}", rename.new);
                }
            }
            Renamed::Part(_, of, old) if of.to_string() == table && column.as_ref() == Some(old) => {
                column = Some(rename.new.clone());
            }
            _ => {}
        }
    }
    (table, column)
}

/// By the old name of the table. The columns are those that are plain, and the same, in `have` and in `now`.
async fn rows(client: &Client, have: &Catalog, now: &Catalog, edit: &Edit) -> BTreeMap<String, Counted> {
    let at_home = std::ptr::eq(have, now);
    let mut all = BTreeMap::new();
    for (name, table) in &have.tables {
        let old = name.to_string();
        let new = if at_home {
            old.clone()
        } else {
            renamed(edit, &old, None).0
        };
        let Ok(qualified) = new.parse() else { continue };
        let Some(there) = now.tables.get(&qualified) else {
            continue;
        };
        if table.partition_key.is_some() {
            // Its rows are those of its partitions.
            continue;
        }
        let mut pairs = Vec::new();
        for column in &table.columns {
            let full = format!("{old}.{}", column.name);
            let to = if at_home {
                column.name.clone()
            } else {
                renamed(edit, &old, Some(&column.name)).1.unwrap()
            };
            if !edit.converted.contains(&full.as_str()) && there.column(&to).is_some() {
                pairs.push((column.name.clone(), quote_ident(&to).into_owned()));
            }
        }
        let columns: Vec<_> = pairs.iter().map(|(old, _)| old.as_str()).collect();
        let values: Vec<_> = pairs.iter().map(|(_, new)| format!("{new}::text")).collect();
        let values = if values.is_empty() {
            "NULL".to_owned()
        } else {
            values.join(", ")
        };
        let sql = format!(
            "SELECT count(*), coalesce(md5(string_agg(md5(ROW ({values})::text), '' ORDER BY md5(ROW ({values})::text))), '') FROM ONLY {new}"
        );
        let row = client.query_one(&sql, &[]).await.unwrap();
        all.insert(
            old.clone(),
            Counted {
                rows: row.get(0),
                columns: columns.join(", "),
                content: row.get(1),
            },
        );
    }
    all
}
