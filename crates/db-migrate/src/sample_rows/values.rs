//! Values that a column takes: made up by its type, and by what its checks say.

use pg_catalog::{
    Catalog, Column, ConstraintKind, FunctionKind, QualifiedName, Table, TypeDefinition, quote_ident,
    quote_literal,
};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::boundary::boundary;
use super::fitting::Fitting;
use super::sample::sample;

/// Longer text is not made up.
const LONGEST: usize = 4096;

/// SQL for the column in row number `at`, or `None` when nothing that was tried passes its checks.
pub(super) async fn value(
    client: &Client,
    fitting: &Fitting,
    (of, table): (&QualifiedName, &Table),
    column: &Column,
    at: usize,
) -> Result<Option<String>, tokio_postgres::Error> {
    let catalog = &fitting.catalog;
    let becomes = fitting.becomes(of, &column.name);
    let checks: Vec<&str> = table
        .constraints
        .values()
        .filter(|constraint| {
            constraint.kind == ConstraintKind::Check && constraint.columns == [column.name.clone()]
        })
        .filter_map(|constraint| expression(&constraint.definition))
        .collect();
    let domain = catalog
        .types
        .iter()
        .find(|(name, _)| name.to_string() == column.data_type)
        .map(|(_, found)| found);
    let mut said = checks.clone();
    let mut base = column.data_type.as_str();
    let mut candidates = Vec::new();
    match domain.map(|found| &found.definition) {
        Some(TypeDefinition::Enum { labels }) => {
            candidates.extend(labels.get(at % labels.len().max(1)).cloned());
        }
        Some(TypeDefinition::Domain { base: of, .. }) => {
            base = of;
            let constraints = domain.iter().flat_map(|found| found.constraints.values());
            said.extend(constraints.filter_map(|constraint| expression(&constraint.definition)));
        }
        _ => {}
    }
    said.extend(becomes.iter().flat_map(|it| it.checks.iter().map(String::as_str)));
    let labels = !candidates.is_empty();
    if !labels {
        named(&said, at, &mut candidates);
        // Where the migration that is being written sets the measure, its values are chosen below.
        if becomes.is_none() {
            let day = pick(&column.name, at) % 28 + 1;
            candidates.extend(boundary(base, &column.name, at, day));
        }
        made_up(base, &column.name, at, &mut candidates);
        measured(&said, base, at, &mut candidates);
    } else if becomes.is_some() {
        // Another label, where this one is gone.
        named(&said, at, &mut candidates);
    }
    if let Some(to) = becomes.and_then(|it| it.cast.as_deref()) {
        made_up(to, &column.name, at, &mut candidates);
        measured(&said, to, at, &mut candidates);
    }
    // What the schema itself has a name for: the first row is of it, so that others may refer to it.
    let constants = if at == 0 {
        constants(catalog, base)
    } else {
        Vec::new()
    };
    if said.is_empty() && domain.is_none() && becomes.is_none() {
        if let Some(constant) = constants.first() {
            return Ok(Some(constant.clone()));
        }
        let first = candidates.first();
        return Ok(first.map(|first| format!("{}::{}", quote_literal(first), column.data_type)));
    }
    let name = quote_ident(&column.name);
    let literals = candidates
        .iter()
        .map(|candidate| format!("{}::{}", quote_literal(candidate), column.data_type));
    let all: Vec<String> = constants.into_iter().chain(literals).collect();
    let passes = checks
        .iter()
        .map(|check| format!(" AND ({check}) IS NOT FALSE"))
        .collect::<String>();
    let more = becomes.map_or_else(
        || vec![String::new()],
        |it| it.conditions(&name, &column.data_type),
    );
    for (more, sql) in more
        .iter()
        .flat_map(|more| all.iter().map(move |sql| (more, sql)))
    {
        let query = format!(
            "SAVEPOINT candidate; SELECT EXISTS (SELECT FROM (SELECT {sql} AS {name}) candidate WHERE true{passes}{more});
             RELEASE SAVEPOINT candidate"
        );
        // What is no value of the type is an error, which is no other answer than no.
        match client.simple_query(&query).await {
            Ok(answers) => {
                let yes = |answer: &SimpleQueryMessage| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
                if answers.iter().any(yes) {
                    return Ok(Some(sql.clone()));
                }
            }
            Err(error) if error.as_db_error().is_some() => {
                client
                    .batch_execute("ROLLBACK TO SAVEPOINT candidate; RELEASE SAVEPOINT candidate")
                    .await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Calls of the functions without arguments that always give the same value of the type.
fn constants(catalog: &Catalog, of: &str) -> Vec<String> {
    catalog
        .functions
        .iter()
        .filter(|(signature, function)| {
            signature.arguments.is_empty()
                && function.kind == FunctionKind::Function
                && function.volatility == "IMMUTABLE"
                && function.returns.as_deref() == Some(of)
        })
        .map(|(signature, _)| format!("{signature}"))
        .collect()
}

/// Of `CHECK (…)`.
pub(super) fn expression(definition: &str) -> Option<&str> {
    let rest = definition.strip_prefix("CHECK ")?;
    Some(rest.strip_suffix(" NO INHERIT").unwrap_or(rest))
}

/// Words that the checks name, and text of the forms that they want.
fn named(checks: &[&str], at: usize, candidates: &mut Vec<String>) {
    let mut words = Vec::new();
    for check in checks {
        for (before, literal) in literals(check) {
            if before.ends_with("~~") {
                candidates.push(literal.replace('%', &at.to_string()).replace('_', "x"));
            } else if before.ends_with(['~', '*']) {
                candidates.extend(sample(&literal, at));
            } else {
                words.push(literal);
            }
        }
    }
    if !words.is_empty() {
        let from = at % words.len();
        words.rotate_left(from);
        words.append(candidates);
        *candidates = words;
    }
}

/// Text and bytes as long as the numbers that the checks name, and these numbers.
fn measured(checks: &[&str], base: &str, at: usize, candidates: &mut Vec<String>) {
    for number in checks.iter().flat_map(|check| numbers(check)) {
        let length = usize::try_from(number).unwrap_or(usize::MAX);
        match base {
            "text" | "bytea" if length > LONGEST => {}
            "text" => candidates.push(format!("{at:0>length$}")),
            "bytea" => {
                let digits = length * 2;
                let bytes = format!("{at:0>digits$x}");
                candidates.push(format!(
                    "\\x{}",
                    bytes.get(bytes.len() - digits..).unwrap_or_default()
                ));
            }
            _ => candidates.extend([number, number + 1, number.saturating_sub(1)].map(|n| n.to_string())),
        }
    }
}

/// What a value of the type may look like.
fn made_up(base: &str, column: &str, at: usize, candidates: &mut Vec<String>) {
    // Times of one row in whatever order, so that those checks can be met that compare them.
    let day = pick(column, at) % 28 + 1;
    if let Some(element) = base.strip_suffix("[]") {
        let mut elements = Vec::new();
        made_up(element, column, at, &mut elements);
        let element = elements.first().map(|element| element.replace(['\\', '"'], ""));
        candidates.extend(element.map(|element| format!("{{\"{element}\"}}")));
        candidates.push("{}".to_owned());
        return;
    }
    // Without length and scale.
    let (name, size) = base.split_once('(').unwrap_or((base, ""));
    match name.trim() {
        "uuid" => {
            // The column's name, so that keys of different tables do not meet by chance.
            let salt = crc32fast::hash(column.as_bytes());
            candidates.push(format!("00000000-0000-7000-8000-{:04x}{at:08x}", salt & 0xffff));
        }
        "text" | "character varying" | "character" | "name" | "citext" | "public.citext" => {
            let limit: usize = size.trim_end_matches(')').parse().unwrap_or(usize::MAX);
            candidates.push(format!("{column} {at}").chars().take(limit).collect());
            candidates.push(format!("{at}").chars().take(limit).collect());
            candidates.push(format!("name{at}@example.test"));
            candidates.push(format!("NAME{at}"));
        }
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" | "oid" => {
            candidates.push((at + 1).to_string());
            candidates.push("0".to_owned());
            candidates.push(format!("-{}", at + 1));
        }
        "boolean" => candidates.extend(
            if at.is_multiple_of(2) {
                ["true", "false"]
            } else {
                ["false", "true"]
            }
            .map(ToOwned::to_owned),
        ),
        "date" => candidates.push(format!("2026-01-{day:02}")),
        "interval" => candidates.push(format!("{} hours", at + 1)),
        "json" | "jsonb" => candidates.push(format!("{{\"{column}\": {at}}}")),
        "bytea" => candidates.push(format!("\\x{at:08x}")),
        "inet" | "cidr" => candidates.push(format!("192.0.2.{}/32", at % 254 + 1)),
        "macaddr" => candidates.push(format!("08:00:2b:01:02:{:02x}", at % 256)),
        "bit" | "bit varying" => candidates.push("1".to_owned()),
        "tsvector" => candidates.push(format!("word{at}")),
        "money" => candidates.push(at.to_string()),
        "int4range" | "int8range" | "numrange" => candidates.push(format!("[{at},{})", at + 10)),
        "daterange" => candidates.push(format!("[2026-01-{day:02},2026-02-01)")),
        "tstzrange" | "tsrange" => {
            candidates.push(format!("[\"2026-01-{day:02} 00:00\",\"2026-02-01 00:00\")"))
        }
        name if name.starts_with("timestamp") => candidates.push(format!("2026-01-{day:02} 12:00:00")),
        name if name.starts_with("time") => candidates.push(format!("12:{:02}:00", at % 60)),
        _ => {}
    }
}

/// A number that looks like any, the same one for the same column and row.
pub(super) fn pick(column: &str, at: usize) -> usize {
    crc32fast::hash(format!("{column} {at}").as_bytes()) as usize >> 3
}

/// The string literals of an expression, each with what stands before it.
fn literals(expression: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some((before, from)) = rest.split_once('\'') {
        let escaped = before.ends_with('E');
        let mut text = String::new();
        let mut characters = from.char_indices().peekable();
        let mut end = from.len();
        while let Some((at, c)) = characters.next() {
            match c {
                '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                    characters.next();
                    text.push('\'');
                }
                '\'' => {
                    end = at + 1;
                    break;
                }
                '\\' if escaped => text.extend(characters.next().map(|(_, next)| next)),
                c => text.push(c),
            }
        }
        found.push((before.trim_end_matches(['E', '(', ' ']), text));
        rest = from.get(end..).unwrap_or_default();
    }
    found
}

/// The whole numbers of an expression outside of its literals.
fn numbers(expression: &str) -> Vec<u64> {
    let outside: String = expression.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    outside
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter_map(|word| word.parse().ok())
        .collect()
}
