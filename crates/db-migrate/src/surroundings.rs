//! What decides about tenancy and stands outside of the schema: the roles of the first migration and whoever is a member of them,
//! settings of roles and of the database, who may do what with the database.
//!
//! Roles belong to the server, so that a scratch database has the same; they are compared with what has to be.

use serde::Serialize;
use tokio_postgres::Client;

/// Something around the schema that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// `role plinth_app`, `database plinth`.
    pub object: String,
    /// `bypassrls`, `member of`, `setting search_path`, `grant to plinth_app`.
    pub attribute: String,
    /// As it is.
    pub have: String,
    /// As it should be.
    pub want: String,
}

/// How one prints below `~ object`.
pub(super) fn lines(deviations: &[Deviation]) -> String {
    let line = |it: &Deviation| {
        format!(
            "~ {}\n    {}: {} -> {}\n",
            it.object, it.attribute, it.have, it.want
        )
    };
    deviations.iter().map(line).collect()
}

/// All of them, in order.
///
/// The owner of a database, the login that asks and those that have migrated this database may be a member of whatever they need. Of other
/// members of `plinth_app` those count that were let into this database, for the server may hold other installations. A setting counts
/// that changes what SQL means, whom policies hold, in which domain a session is, or what is loaded; and only where its value is not
/// PostgreSQL's own. Others are the operator's, and so is who else is a member of `plinth_system`: a login for backups is.
const DEVIATIONS: &str = r"
WITH RECURSIVE d AS (
    SELECT oid, datname, datdba, datistemplate, coalesce(datacl, acldefault('d', datdba)) AS acl FROM pg_database
    WHERE datname = current_database()
), grants AS (
    SELECT x.grantee, x.privilege_type AS privilege, coalesce(g.rolname::text, 'PUBLIC') AS name, coalesce(g.rolsuper, false) AS superuser
    FROM d CROSS JOIN LATERAL aclexplode(d.acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee WHERE x.grantee <> d.datdba
), ours AS (
    SELECT * FROM pg_roles WHERE rolname IN ('plinth_app', 'plinth_system')
), migrators AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolname NOT IN ('plinth_app', 'plinth_system') AND r.rolname !~ '^plinth_app_'
       AND (r.rolname IN (current_user, session_user) OR r.rolname::text = ANY ($1)
            OR EXISTS (SELECT FROM pg_database b WHERE b.datdba = r.oid))
), members AS (
    SELECT a.member AS oid FROM pg_auth_members a JOIN ours o ON o.oid = a.roleid AND o.rolname = 'plinth_app'
    UNION SELECT a.member FROM pg_auth_members a JOIN members m ON m.oid = a.roleid
), logins AS (
    SELECT r.* FROM pg_roles r JOIN members USING (oid)
    WHERE r.oid NOT IN (SELECT oid FROM migrators) AND r.oid NOT IN (SELECT oid FROM ours)
      AND EXISTS (SELECT FROM grants g WHERE g.grantee = r.oid AND g.privilege = 'CONNECT')
), attributes AS (
    SELECT r.rolname, v.attribute FROM ours r CROSS JOIN LATERAL (VALUES
        ('superuser', r.rolsuper), ('bypassrls', r.rolbypassrls), ('createrole', r.rolcreaterole), ('createdb', r.rolcreatedb),
        ('replication', r.rolreplication), ('login', r.rolcanlogin)) v (attribute, there) WHERE v.there
    UNION ALL
    SELECT r.rolname, v.attribute FROM logins r CROSS JOIN LATERAL (VALUES
        ('superuser', r.rolsuper), ('bypassrls', r.rolbypassrls), ('createrole', r.rolcreaterole),
        ('replication', r.rolreplication)) v (attribute, there) WHERE v.there
), settings AS (
    SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'all roles'
                WHEN s.setrole = 0 THEN 'database ' || quote_ident(d.datname)
                WHEN s.setdatabase = 0 THEN 'role ' || quote_ident(r.rolname)
                ELSE format('role %I in database %I', r.rolname, d.datname) END AS object,
           split_part(c.line, '=', 1) AS name, substr(c.line, strpos(c.line, '=') + 1) AS value
    FROM d CROSS JOIN pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c (line) LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, d.oid)
      AND (s.setrole = 0 OR s.setrole = d.datdba OR r.rolname = current_user OR s.setrole IN (SELECT oid FROM ours)
           OR s.setrole IN (SELECT oid FROM logins))
)
SELECT format('role %I', rolname) AS object, attribute, 'yes' AS have, 'no' AS want FROM attributes
UNION ALL
SELECT format('role %I', o.rolname), 'member of', g.rolname::text, 'none'
FROM ours o JOIN pg_auth_members a ON a.member = o.oid JOIN pg_roles g ON g.oid = a.roleid
UNION ALL
SELECT format('role %I', l.rolname), 'member of', g.rolname::text, 'plinth_app alone'
FROM logins l JOIN pg_roles g
  ON g.rolname IN ('plinth_system', 'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
                   'pg_execute_server_program', 'pg_maintain') OR g.oid IN (SELECT datdba FROM d)
WHERE NOT l.rolsuper AND pg_has_role(l.oid, g.oid, 'MEMBER')
  AND NOT EXISTS (SELECT FROM ours o WHERE o.rolname = 'plinth_app' AND pg_has_role(o.oid, g.oid, 'MEMBER'))
UNION ALL
SELECT s.object, 'setting ' || s.name, s.value, 'none' FROM settings s LEFT JOIN pg_settings p ON p.name = s.name
WHERE (s.name LIKE 'plinth.%' OR s.name LIKE '%\_preload\_libraries' OR s.name IN (
        'search_path', 'row_security', 'role', 'session_authorization', 'session_replication_role', 'standard_conforming_strings',
        'backslash_quote', 'transform_null_equals', 'lo_compat_privileges', 'dynamic_library_path', 'password_encryption',
        'createrole_self_grant', 'allow_system_table_mods', 'ignore_system_indexes', 'zero_damaged_pages', 'event_triggers'))
  AND s.value IS DISTINCT FROM p.boot_val
UNION ALL
SELECT format('database %I', d.datname), 'grant to ' || g.name, g.privilege, 'none' FROM d CROSS JOIN grants g
WHERE NOT g.superuser AND (
    g.privilege = 'CREATE'
    OR g.privilege = 'TEMPORARY' AND (g.grantee IN (SELECT oid FROM ours) OR g.grantee IN (SELECT oid FROM logins)
       -- Both are PUBLIC's in a new database, until the server shuts the door.
       OR g.grantee = 0 AND NOT EXISTS (SELECT FROM grants c WHERE c.grantee = 0 AND c.privilege = 'CONNECT')))
UNION ALL
SELECT format('database %I', d.datname), 'template', 'yes', 'no' FROM d WHERE d.datistemplate
UNION ALL
SELECT format('database %I', d.datname), 'owner', r.rolname::text, 'a role that migrates' FROM d JOIN pg_roles r ON r.oid = d.datdba
WHERE r.rolname IN ('plinth_app', 'plinth_system') OR r.rolname ~ '^plinth_app_'
ORDER BY 1, 2, 3";

/// From 15 on.
const PARAMETERS: &str = "
SELECT 'parameter ' || p.parname AS object, 'grant to ' || coalesce(g.rolname::text, 'PUBLIC') AS attribute, x.privilege_type AS have,
       'none' AS want
FROM pg_parameter_acl p CROSS JOIN LATERAL aclexplode(p.paracl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
WHERE x.grantee = 0 OR g.rolname IN ('plinth_app', 'plinth_system')
   OR g.rolname <> current_user AND g.oid IN (
        SELECT a.member FROM pg_auth_members a JOIN pg_roles o ON o.oid = a.roleid AND o.rolname = 'plinth_app')
ORDER BY 1, 2, 3";

/// Reads them, on a connection that finds the history.
pub(super) async fn deviations(client: &Client) -> Result<Vec<Deviation>, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT to_regclass('plinth_migrations') IS NOT NULL, to_regclass('pg_catalog.pg_parameter_acl') IS NOT NULL",
            &[],
        )
        .await?;
    let migrators: Vec<String> = if row.get(0) {
        let sql = "SELECT coalesce(array_agg(DISTINCT applied_by), '{}') FROM plinth_migrations";
        client.query_one(sql, &[]).await?.get(0)
    } else {
        Vec::new()
    };
    let mut rows = client.query(DEVIATIONS, &[&migrators]).await?;
    if row.get(1) {
        rows.extend(client.query(PARAMETERS, &[]).await?);
    }
    Ok(rows
        .iter()
        .map(|row| Deviation {
            object: row.get("object"),
            attribute: row.get("attribute"),
            have: row.get("have"),
            want: row.get("want"),
        })
        .collect())
}
