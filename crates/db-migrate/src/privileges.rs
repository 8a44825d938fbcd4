//! What a login lacks when the server has refused it something, and what gives it.
//!
//! The server's words name the object, in whatever language it speaks; its catalogue says the rest.

use pg_connect::describe;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::MigrateError;

/// How many objects a message names.
const NAMED: i64 = 3;

/// The server's words, and where it has refused something for a privilege, what is missing and what mends it. Outside of a
/// transaction that has failed.
pub(super) async fn described(client: &Client, error: &Error) -> String {
    let said = describe(error);
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return said;
    }
    match advice(client, &said).await {
        Ok(advice) => format!("{said}; {advice}"),
        // The connection is gone, or the login may not even read the catalogue.
        Err(_) => said,
    }
}

/// The same for an error of reading or writing the history.
pub(super) async fn explained(client: &Client, error: MigrateError) -> MigrateError {
    match error {
        MigrateError::History(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            MigrateError::Requirement(format!("migration history: {}", described(client, &error).await))
        }
        error => error,
    }
}

/// Objects are those whose name the message has as a word.
async fn advice(client: &Client, said: &str) -> Result<String, Error> {
    let row = client
        .query_one(
            "WITH said AS (
                 SELECT regexp_split_to_array($1, '[^[:alnum:]_$]+') AS words, session_user AS login),
             objects AS (
                 SELECT 'table' AS kind, c.oid::regclass::text AS name, c.relname AS word, c.relowner AS owner, c.relnamespace AS home
                   FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
                 UNION ALL
                 SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
                        p.oid::regprocedure::text, p.proname, p.proowner, p.pronamespace FROM pg_proc p
                 UNION ALL
                 SELECT 'type', format_type(t.oid, NULL), t.typname, t.typowner, t.typnamespace
                   FROM pg_type t WHERE t.typtype IN ('e', 'd', 'r')),
             foreign_ones AS (
                 SELECT o.kind, o.name, o.owner::regrole::text AS owner, row_number() OVER (ORDER BY o.kind, o.name) AS place
                   FROM objects o, said, pg_namespace n
                  WHERE n.oid = o.home AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
                    AND o.word = ANY (words) AND NOT pg_has_role(login, o.owner, 'USAGE'))
             SELECT quote_ident(login), quote_ident(current_database()), d.datdba::regrole::text,
                    pg_has_role(login, d.datdba, 'USAGE'),
                    (SELECT string_agg(format('%s %s belongs to %s', kind, name, owner), ', ' ORDER BY place) FROM foreign_ones
                      WHERE place <= $2),
                    (SELECT string_agg(format('ALTER %s %s OWNER TO %I', upper(kind), name, login), '; ' ORDER BY place)
                       FROM foreign_ones WHERE place <= $2),
                    (SELECT n.nspname::text FROM pg_namespace n
                      WHERE n.nspname = ANY (words) AND NOT pg_has_role(login, n.nspowner, 'USAGE')
                        AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 LIMIT 1),
                    (SELECT n.nspowner::regrole::text FROM pg_namespace n
                      WHERE n.nspname = ANY (words) AND NOT pg_has_role(login, n.nspowner, 'USAGE')
                        AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY n.nspname::text LIMIT 1),
                    NOT has_database_privilege(login, d.oid, 'CREATE'),
                    words && ARRAY['plinth_app', 'plinth_system']::text[],
                    to_regrole('plinth_app') IS NULL OR to_regrole('plinth_system') IS NULL,
                    (SELECT r.rolcreaterole OR r.rolsuper FROM pg_roles r WHERE r.rolname = login),
                    (SELECT string_agg(DISTINCT m.member::regrole::text, ', ') FROM pg_auth_members m
                      WHERE m.roleid = to_regrole('plinth_system') AND m.admin_option AND m.member::regrole::text <> quote_ident(login))
               FROM said, pg_database d WHERE d.datname = current_database()",
            &[&said, &NAMED],
        )
        .await?;
    let (login, database, owner): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
    let owns_it: bool = row.get(3);
    let (foreign_ones, alter): (Option<&str>, Option<&str>) = (row.get(4), row.get(5));
    let (schema, schema_owner): (Option<&str>, Option<&str>) = (row.get(6), row.get(7));
    let provision = format!("`plinth-ops provision --database {database}={login}`");
    // Roles before schemas: a first migration that is refused a role may name both.
    if row.get(9) && !row.get::<_, bool>(10) {
        let who = row
            .get::<_, Option<&str>>(12)
            .map_or_else(String::new, |admins| format!(", or as {admins}"));
        return Ok(format!(
            "the roles of this server were made by another login, and {login} may not act as plinth_system or grant plinth_app: as \
             a superuser{who}: GRANT plinth_app, plinth_system TO {login} WITH ADMIN OPTION"
        ));
    }
    if let (Some(foreign_ones), Some(alter)) = (foreign_ones, alter) {
        return Ok(format!(
            "{foreign_ones}, and not to {login}, the login that migrates: migrate as the owner, or as an administrator: {alter}"
        ));
    }
    if let (Some(schema), Some(schema_owner)) = (schema, schema_owner) {
        // From PostgreSQL 15 on, public belongs to whoever owns the database.
        let mend = if schema_owner == "pg_database_owner" {
            format!("ALTER DATABASE {database} OWNER TO {login}")
        } else {
            format!(
                "ALTER SCHEMA {} OWNER TO {login}",
                pg_catalog::quote_ident(schema)
            )
        };
        return Ok(format!(
            "schema {schema} belongs to {schema_owner}, and {login} may not make there what migrations make: as an \
             administrator, {mend}"
        ));
    }
    if !owns_it && row.get(8) {
        return Ok(format!(
            "{login} may not create in the database {database}, which belongs to {owner}: as an administrator, ALTER DATABASE \
             {database} OWNER TO {login}"
        ));
    }
    if row.get(10) && row.get::<_, Option<bool>>(11) != Some(true) {
        return Ok(format!(
            "{login} may not make roles, and plinth_app and plinth_system are not there: as an administrator, {provision}; or \
             CREATE ROLE plinth_app NOLOGIN; CREATE ROLE plinth_system NOLOGIN; GRANT plinth_app, plinth_system TO {login} WITH \
             ADMIN OPTION"
        ));
    }
    Ok(format!(
        "the login is {login}, and the database belongs to {owner}; migrations run as its owner, who may make roles \
         (docs/MIGRATIONS.md, Privileges)"
    ))
}
