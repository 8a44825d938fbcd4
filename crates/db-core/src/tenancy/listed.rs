//! Rules that compare the catalogue with a list: `expected.rs` has what may be there, and nothing else may.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};

use super::{Object, ObjectKind, Rule, Violation, expected};

const POLICY_MISSING: Rule = Rule {
    id: "policy-missing",
    says: "the policy is missing",
    why: "without the tenant policy the app sees no row of the table; without the system policy setup and operators see none",
    safe_form: "CREATE POLICY tenant ON … TO plinth_app USING (domain_id = (SELECT current_domain_id())) WITH CHECK (the same); \
                CREATE POLICY system ON … TO plinth_system USING (true) WITH CHECK (true)",
};
const POLICY_UNLISTED: Rule = Rule {
    id: "policy-unlisted",
    says: "the policy is not on the list",
    why: "permissive policies are joined by OR: one more can only widen what a tenant sees",
    safe_form: "the two policies that every tenant table has; another one belongs into db-core/src/tenancy/expected.rs",
};
const DEFINER_OWNER: Rule = Rule {
    id: "definer-owner",
    says: "a SECURITY DEFINER function belongs to plinth_system",
    why: "it would run as whoever migrated, who may be a superuser",
    safe_form: "ALTER FUNCTION … OWNER TO plinth_system",
};
const DEFINER_SEARCH_PATH: Rule = Rule {
    id: "definer-search-path",
    says: "a SECURITY DEFINER function pins its search_path",
    why: "its caller chooses which tables and operators the names in it mean",
    safe_form: "SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp",
};
const DEFINER_PUBLIC: Rule = Rule {
    id: "definer-public",
    says: "a SECURITY DEFINER function is not executable by PUBLIC",
    why: "every login of the server could call it; a new function is executable by PUBLIC until that is taken away",
    safe_form: "REVOKE ALL ON FUNCTION … FROM PUBLIC; GRANT EXECUTE ON FUNCTION … TO plinth_app",
};
const DEFINER_UNLISTED: Rule = Rule {
    id: "definer-unlisted",
    says: "the SECURITY DEFINER functions are not exactly the listed ones",
    why: "each sees every domain: each is a door",
    safe_form: "a function without SECURITY DEFINER; a further door belongs into db-core/src/tenancy/expected.rs",
};
const APP_GRANT_UNLISTED: Rule = Rule {
    id: "app-grant-unlisted",
    says: "plinth_app has on whole tables exactly the listed privileges",
    why: "least privilege: what the app cannot do, an injection cannot do",
    safe_form: "the grants that db-core/src/tenancy/expected.rs lists for the table (a new table is named there), UPDATE by columns",
};
const APP_GRANT_OPTION: Rule = Rule {
    id: "app-grant-option",
    says: "plinth_app may not hand its rights on",
    why: "the grants would no longer be those that the migrations made",
    safe_form: "GRANT without WITH GRANT OPTION",
};
const HASH_READABLE: Rule = Rule {
    id: "hash-readable",
    says: "plinth_app may not read hashes",
    why: "a hash that was read can be tried at leisure; the ways in compare it inside of the database",
    safe_form: "GRANT SELECT (the other columns)",
};

/// Columns that hold hashes, or lead to them.
const HASHES: &[&str] = &["password_hash", "pepper_id", "token_hash", "secret_hash"];

static RULES: [Rule; 9] = [
    POLICY_MISSING,
    POLICY_UNLISTED,
    DEFINER_OWNER,
    DEFINER_SEARCH_PATH,
    DEFINER_PUBLIC,
    DEFINER_UNLISTED,
    APP_GRANT_UNLISTED,
    APP_GRANT_OPTION,
    HASH_READABLE,
];

pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter()
}

pub(super) async fn violations(client: &Client) -> Result<Vec<Violation>, Error> {
    let mut violations = policies(client).await?;
    violations.extend(definer_functions(client).await?);
    violations.extend(app_grants(client).await?);
    Ok(violations)
}

fn object(kind: ObjectKind, table: Option<&str>, name: &str) -> Object {
    Object {
        kind,
        schema: "public".to_owned(),
        table: table.map(ToOwned::to_owned),
        name: name.to_owned(),
    }
}

/// The policies must be exactly the expected ones: a missing one leaks or blocks, an additional one widens.
async fn policies(client: &Client) -> Result<Vec<Violation>, Error> {
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
    let violation = |rule: &'static Rule, policy: &String| {
        // "permissive <name> on <table> for …"
        let mut words = policy.split(' ');
        let (name, table) = (words.nth(1).unwrap_or_default(), words.nth(1));
        Violation {
            rule,
            object: object(ObjectKind::Policy, table, name),
            detail: Some(policy.clone()),
        }
    };
    let missing = wanted
        .difference(&found)
        .map(|policy| violation(&POLICY_MISSING, policy));
    let strange = found
        .difference(&wanted)
        .map(|policy| violation(&POLICY_UNLISTED, policy));
    Ok(missing.chain(strange).collect())
}

/// Functions that run with their owner's rights must be the listed ones, owned by plinth_system, with a pinned path.
async fn definer_functions(client: &Client) -> Result<Vec<Violation>, Error> {
    let rows = client
        .query(
            "SELECT p.proname::text, p.oid::regprocedure::text, r.rolname::text, coalesce(array_to_string(p.proconfig, ';'), ''),
                    EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
                             WHERE g.grantee = 0 AND g.privilege_type = 'EXECUTE')
               FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
              WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef",
            &[],
        )
        .await?;
    let mut violations = Vec::new();
    let mut broken = |rule: &'static Rule, name: &str, detail: Option<String>| {
        violations.push(Violation {
            rule,
            object: object(ObjectKind::Function, None, name),
            detail,
        });
    };
    let mut found = BTreeSet::new();
    for row in &rows {
        let (name, signature): (String, String) = (row.get(0), row.get(1));
        let (owner, config): (String, String) = (row.get(2), row.get(3));
        if owner != "plinth_system" {
            broken(&DEFINER_OWNER, &signature, Some(format!("it belongs to {owner}")));
        }
        if config != "search_path=pg_catalog, public, pg_temp" {
            broken(
                &DEFINER_SEARCH_PATH,
                &signature,
                Some(format!("its settings are {config:?}")),
            );
        }
        if row.get(4) {
            broken(&DEFINER_PUBLIC, &signature, None);
        }
        if !expected::DEFINER_FUNCTIONS.contains(&name.as_str()) {
            broken(&DEFINER_UNLISTED, &signature, None);
        }
        found.insert(name);
    }
    for wanted in expected::DEFINER_FUNCTIONS {
        if !found.contains(*wanted) {
            broken(&DEFINER_UNLISTED, wanted, Some("there is none".to_owned()));
        }
    }
    Ok(violations)
}

/// What the app role may do must be exactly what is listed, and nothing shows it a hash.
async fn app_grants(client: &Client) -> Result<Vec<Violation>, Error> {
    let rows = client
        .query(
            "SELECT c.relname::text,
                    (SELECT string_agg(g.privilege_type, ',' ORDER BY g.privilege_type) FROM aclexplode(c.relacl) g
                      WHERE g.grantee = to_regrole('plinth_app')),
                    EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee = to_regrole('plinth_app') AND g.is_grantable)
               FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
            &[],
        )
        .await?;
    let mut violations = Vec::new();
    for row in &rows {
        let (table, grants): (String, Option<String>) = (row.get(0), row.get(1));
        let table_violation = |rule: &'static Rule, detail: Option<String>| Violation {
            rule,
            object: object(ObjectKind::Table, None, &table),
            detail,
        };
        let wanted = expected::app_grants(&table);
        if grants.as_deref() != wanted {
            let or_nothing = |grants: Option<&str>| grants.unwrap_or("nothing").to_owned();
            let detail = format!(
                "plinth_app has {}, the list says {}",
                or_nothing(grants.as_deref()),
                or_nothing(wanted)
            );
            violations.push(table_violation(&APP_GRANT_UNLISTED, Some(detail)));
        }
        if row.get(2) {
            violations.push(table_violation(&APP_GRANT_OPTION, None));
        }
    }
    let readable = client
        .query(
            "SELECT c.relname::text, a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
              WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ('users', 'sessions', 'api_keys')
                AND a.attname = ANY ($1) AND to_regrole('plinth_app') IS NOT NULL
                AND has_column_privilege('plinth_app', a.attrelid, a.attnum, 'SELECT')",
            &[&HASHES],
        )
        .await?;
    violations.extend(readable.iter().map(|row| Violation {
        rule: &HASH_READABLE,
        object: object(ObjectKind::Column, Some(row.get(0)), row.get(1)),
        detail: None,
    }));
    Ok(violations)
}
