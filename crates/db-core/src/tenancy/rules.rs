//! One query for each rule; every row it returns names an object that breaks the rule.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};

use super::expected;

pub(super) struct Rule {
    /// What is wrong with the objects that the query names.
    pub(super) broken: &'static str,
    /// Names the objects that break the rule.
    pub(super) violations: &'static str,
}

/// How many tenant tables and foreign keys there are.
pub(super) const COUNTS: &str = "
    SELECT (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
              AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id')),
           (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace)";

/// Tables of the installation itself, which belong to no domain.
macro_rules! platform_tables {
    () => {
        "('domains', 'installation', 'installation_secrets', 'permissions', '__diesel_schema_migrations', 'plinth_migrations')"
    };
}

/// Our tables, by name and oid.
macro_rules! tables {
    () => {
        "pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') "
    };
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        broken: "a tenant table begins with domain_id uuid NOT NULL",
        violations: concat!(
            "SELECT c.relname::text FROM ",
            tables!(),
            "AND c.relname NOT IN ",
            platform_tables!(),
            " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = 1
                               AND a.attname = 'domain_id' AND a.atttypid = 'uuid'::regtype AND a.attnotnull)"
        ),
    },
    Rule {
        broken: "a primary or unique key of a tenant table begins with domain_id",
        violations: "
            SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
              JOIN pg_attribute d ON d.attrelid = c.oid AND d.attname = 'domain_id'
             WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND i.indkey[0] <> d.attnum
               AND i.indexrelid::regclass::text NOT IN ('domain_hosts_host_key')",
    },
    Rule {
        broken: "a foreign key between tenant tables carries domain_id on both sides",
        // The key from user_roles to roles goes by role_domain_id, which a CHECK holds to the row's own domain or the
        // platform's; it is the one exception.
        violations: "
            SELECT f.conrelid::regclass::text || '.' || f.conname FROM pg_constraint f
              JOIN pg_attribute own ON own.attrelid = f.conrelid AND own.attname = 'domain_id'
              JOIN pg_attribute other ON other.attrelid = f.confrelid AND other.attname = 'domain_id'
             WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace AND f.conparentid = 0
               AND NOT EXISTS (SELECT FROM unnest(f.conkey, f.confkey) k (a, b) WHERE k.a = own.attnum AND k.b = other.attnum)
               AND NOT (f.conname = 'user_roles_role_domain_id_role_id_fkey'
                        AND EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = f.conrelid AND c.contype = 'c'
                                     AND pg_get_constraintdef(c.oid) =
                                         'CHECK (((role_domain_id = domain_id) OR (role_domain_id = platform_domain_id())))'))",
    },
    Rule {
        broken: "a foreign key to a tenant table comes from a tenant table",
        violations: "
            SELECT f.conrelid::regclass::text || '.' || f.conname FROM pg_constraint f
              JOIN pg_attribute other ON other.attrelid = f.confrelid AND other.attname = 'domain_id'
             WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace
               AND NOT EXISTS (SELECT FROM pg_attribute own WHERE own.attrelid = f.conrelid AND own.attname = 'domain_id')",
    },
    Rule {
        broken: "ON DELETE SET NULL on a composite key would empty domain_id too",
        violations: "
            SELECT f.conrelid::regclass::text || '.' || f.conname FROM pg_constraint f
             WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace
               AND cardinality(f.conkey) > 1 AND (f.confdeltype IN ('n', 'd') OR f.confupdtype IN ('n', 'd'))",
    },
    Rule {
        broken: "row level security is enabled and forced",
        violations: concat!(
            "SELECT c.relname::text FROM ",
            tables!(),
            "AND (c.relname = 'domains' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id'))
             AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
        ),
    },
    Rule {
        broken: "every foreign key has an index that begins with two of its columns, or its one column",
        violations: "
            SELECT f.conrelid::regclass::text || '.' || f.conname FROM pg_constraint f
             WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace AND f.conparentid = 0
               -- domain_id alone begins every primary key, and domains are never deleted.
               AND NOT EXISTS (
                   SELECT FROM pg_index i WHERE i.indrelid = f.conrelid
                      AND (SELECT count(*) FROM unnest(i.indkey[0:least(cardinality(f.conkey), 2) - 1]) k WHERE k = ANY (f.conkey))
                          = least(cardinality(f.conkey), 2))",
    },
    Rule {
        broken: "nobody but the owner may truncate, refer to, or put triggers on a table",
        violations: "
            SELECT c.relname || ' (' || g.privilege_type || ' for ' || g.grantee::regrole || ')'
              FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND g.grantee <> c.relowner
               AND g.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')",
    },
    Rule {
        broken: "nothing is granted to PUBLIC, nor to others than plinth_app and plinth_system",
        violations: "
            SELECT c.relname || ' (' || g.privilege_type || ')'
              FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
               AND g.grantee <> c.relowner
               AND (g.grantee = 0 OR g.grantee::regrole::text NOT IN ('plinth_app', 'plinth_system'))",
    },
    Rule {
        broken: "a partition has no grants and no policies of its own: it is reached through its parent alone",
        violations: "
            SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition
               AND c.relkind = 'r'
               AND (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
                    OR EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner))",
    },
    Rule {
        broken: "a function that reads a setting is STABLE or VOLATILE, never IMMUTABLE",
        violations: "
            SELECT p.oid::regprocedure::text FROM pg_proc p
             WHERE p.pronamespace = 'public'::regnamespace AND p.provolatile = 'i'
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
               AND (p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '')) ILIKE '%current_%'",
    },
    Rule {
        broken: "there are no views over tenant tables: they would run with their owner's eyes",
        violations: "
            SELECT c.relname::text FROM pg_class c
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    },
    Rule {
        broken: "a table and each of its columns has a COMMENT",
        violations: "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c
               LEFT JOIN LATERAL (SELECT NULL::name AS attname, 0 AS attnum
                                  UNION ALL SELECT a.attname, a.attnum FROM pg_attribute a
                                             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a ON true
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND c.relname NOT IN ('__diesel_schema_migrations', 'plinth_migrations')
                AND NOT (c.relispartition AND a.attnum > 0)
                AND col_description(c.oid, a.attnum) IS NULL AND (a.attnum > 0 OR obj_description(c.oid, 'pg_class') IS NULL)",
    },
];

/// The policies must be exactly the expected ones: a missing one leaks or blocks, an additional one widens.
pub(super) async fn policies(client: &Client) -> Result<Vec<String>, Error> {
    let found: BTreeSet<String> = client
        .query(
            "SELECT format('%s %s on %s for %s to %s using %s with check %s', lower(p.permissive), p.policyname, p.tablename,
                           p.cmd, array_to_string(p.roles, ','), coalesce(p.qual, '-'), coalesce(p.with_check, '-'))
               FROM pg_policies p WHERE p.schemaname = 'public'",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let tables: Vec<String> = client
        .query(
            "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND NOT c.relispartition
                AND (c.relname = 'domains' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id'))",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let wanted: BTreeSet<String> = tables
        .iter()
        .flat_map(|table| expected::policies(table))
        .collect();
    let missing = wanted
        .difference(&found)
        .map(|policy| format!("{policy}: the policy is missing"));
    let strange = found
        .difference(&wanted)
        .map(|policy| format!("{policy}: the policy is not on the list"));
    Ok(missing.chain(strange).collect())
}

/// Functions that run with their owner's rights must be the listed ones, owned by plinth_system, with a pinned path.
pub(super) async fn definer_functions(client: &Client) -> Result<Vec<String>, Error> {
    let rows = client
        .query(
            "SELECT p.proname::text, r.rolname::text, coalesce(array_to_string(p.proconfig, ';'), ''),
                    EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
                             WHERE g.grantee = 0 AND g.privilege_type = 'EXECUTE')
               FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
              WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef",
            &[],
        )
        .await?;
    let mut violations = Vec::new();
    let mut found = BTreeSet::new();
    for row in &rows {
        let (name, owner, config): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        if owner != "plinth_system" {
            violations.push(format!(
                "{name}: a SECURITY DEFINER function belongs to plinth_system, not to {owner}"
            ));
        }
        if config != "search_path=pg_catalog, public, pg_temp" {
            violations.push(format!(
                "{name}: a SECURITY DEFINER function pins its search_path, not {config:?}"
            ));
        }
        if row.get(3) {
            violations.push(format!(
                "{name}: a SECURITY DEFINER function is not executable by PUBLIC"
            ));
        }
        found.insert(name);
    }
    let wanted: BTreeSet<String> = expected::DEFINER_FUNCTIONS
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    for name in found.symmetric_difference(&wanted) {
        violations.push(format!(
            "{name}: the SECURITY DEFINER functions are not exactly the listed ones"
        ));
    }
    Ok(violations)
}

/// What the app role may do must be exactly what is listed, column by column.
pub(super) async fn app_grants(client: &Client) -> Result<Vec<String>, Error> {
    let rows = client
        .query(
            "SELECT c.relname::text,
                    (SELECT string_agg(g.privilege_type, ',' ORDER BY g.privilege_type) FROM aclexplode(c.relacl) g
                      WHERE g.grantee = 'plinth_app'::regrole),
                    EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee = 'plinth_app'::regrole AND g.is_grantable)
               FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
            &[],
        )
        .await?;
    let mut violations = Vec::new();
    for row in &rows {
        let (table, grants): (String, Option<String>) = (row.get(0), row.get(1));
        let wanted = expected::app_grants(&table);
        if grants.as_deref() != wanted {
            violations.push(format!(
                "{table}: plinth_app has {grants:?} on the whole table, not {wanted:?}"
            ));
        }
        if row.get(2) {
            violations.push(format!("{table}: plinth_app may hand its rights on"));
        }
    }
    let secret: Vec<String> = client
        .query(
            "SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a
              WHERE a.attrelid IN ('users'::regclass, 'sessions'::regclass, 'api_keys'::regclass)
                AND a.attname IN ('password_hash', 'pepper_id', 'token_hash', 'secret_hash')
                AND has_column_privilege('plinth_app', a.attrelid, a.attnum, 'SELECT')",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    violations.extend(
        secret
            .into_iter()
            .map(|column| format!("{column}: plinth_app may not read hashes")),
    );
    Ok(violations)
}
