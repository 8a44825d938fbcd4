//! What a `CREATE INDEX CONCURRENTLY` that was broken off has left behind.

use tokio_postgres::Client;

use super::kind::NewIndex;
use super::stepwise::StepError;

/// What there is of an index before it is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or nothing any more.
    Nothing,
    /// All of it.
    Ready,
}

/// Looks for the index. An invalid one is dropped, concurrently.
///
/// # Errors
/// A valid one of the same name is another than the statement would make.
pub(super) async fn mend(client: &Client, index: &NewIndex) -> Result<Found, StepError> {
    let row = client
        .query_opt(
            "SELECT format('%I.%I', n.nspname, c.relname), i.indrelid = to_regclass($2),
                    coalesce(i.indisvalid AND i.indisready AND i.indislive, false), pg_get_indexdef(c.oid),
                    c.relkind::text, i.indrelid::regclass::text
               FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
               JOIN pg_class c ON c.relnamespace = t.relnamespace AND c.relname = $1
               LEFT JOIN pg_index i ON i.indexrelid = c.oid
              WHERE t.oid = to_regclass($2)",
            &[&index.name, &index.table],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Found::Nothing);
    };
    let name: &str = row.get(0);
    if row.get::<_, Option<bool>>(1) != Some(true) || row.get::<_, &str>(4) != "i" {
        let on = row.get::<_, Option<&str>>(5).unwrap_or("something else");
        return Err(StepError::Said(format!(
            "the name {name} is taken by {on}; give the index another name"
        )));
    }
    if !row.get::<_, bool>(2) {
        tracing::warn!(
            index = name,
            "dropping what a broken-off CREATE INDEX CONCURRENTLY left"
        );
        client
            .batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))
            .await?;
        return Ok(Found::Nothing);
    }
    let probed = probe(client, index).await;
    client.batch_execute("ROLLBACK").await?;
    let (there, wanted) = (shape(row.get(3)), shape(&probed?));
    if there == wanted {
        return Ok(Found::Ready);
    }
    Err(StepError::Said(format!(
        "there is another index {name} already: it is {there}, and not {wanted}; drop it, or give the new one another name"
    )))
}

/// What the server would write for the index: made on an empty copy of the table, and rolled back by the caller.
async fn probe(client: &Client, index: &NewIndex) -> Result<String, tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "BEGIN; CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP; {}",
            index.bare_table, index.table, index.probe
        ))
        .await?;
    let sql = "SELECT pg_get_indexdef(to_regclass('pg_temp.plinth_probe'))";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Uniqueness, method, columns, condition: all but the names.
fn shape(definition: &str) -> String {
    let unique = if definition.starts_with("CREATE UNIQUE") {
        "UNIQUE, "
    } else {
        ""
    };
    let behind = definition
        .split_once(" USING ")
        .map_or(definition, |(_, rest)| rest);
    format!("{unique}{behind}")
}
