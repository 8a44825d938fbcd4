//! The schema that the history is in.
//!
//! A history that were looked for, and made, in whatever schema the search path happens to begin with would be made a second
//! time as soon as somebody changes the path, and every migration applied again.

use tokio_postgres::Client;

use super::MigrateError;

/// Puts the schema of the history first in the connection's search path. It is the one that has our ledger; else the one in
/// which Diesel's history is found; else `public`, where there is one.
///
/// # Errors
/// There is more than one ledger.
pub(super) async fn enter(client: &Client) -> Result<(), MigrateError> {
    let row = client
        .query_one(
            "WITH found AS (
                 SELECT ARRAY(SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                               WHERE c.relname = 'plinth_migrations' AND c.relkind = 'r' AND n.nspname !~ '^pg_' ORDER BY 1) AS ledgers,
                        (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                          WHERE c.oid = to_regclass('__diesel_schema_migrations')) AS diesel
             ), home AS (
                 SELECT ledgers, CASE cardinality(ledgers)
                                     WHEN 0 THEN coalesce(diesel, CASE WHEN to_regnamespace('public') IS NOT NULL THEN 'public' END)
                                     WHEN 1 THEN ledgers[1] END AS name
                   FROM found
             )
             SELECT ledgers, CASE WHEN name IS NOT NULL THEN set_config(
                        'search_path', concat_ws(', ', quote_ident(name), nullif(current_setting('search_path'), '')), false) END
               FROM home",
            &[],
        )
        .await?;
    let ledgers: Vec<String> = row.get(0);
    if ledgers.len() > 1 {
        return Err(MigrateError::Requirement(format!(
            "the database has a history of migrations in each of the schemas {}; rename the table plinth_migrations in all \
             but the right one",
            ledgers.join(", ")
        )));
    }
    Ok(())
}
