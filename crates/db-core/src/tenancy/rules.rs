//! One query for each rule; every row it returns is an object that breaks the rule: kind, schema, table, name, detail.

use super::Rule;

/// Tables of the installation itself, which belong to no domain.
macro_rules! platform_tables {
    () => {
        "('domains', 'installation', 'installation_secrets', 'permissions', '__diesel_schema_migrations', 'plinth_migrations', 'plinth_migration_statements')"
    };
}

/// Our tables.
macro_rules! tables {
    () => {
        "pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') "
    };
}

/// Our tables that hold rows of domains, and the table of domains.
macro_rules! tenant_tables {
    () => {
        "pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND (c.relname = 'domains' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id')) "
    };
}

/// The foreign keys of our tables, and the head of a row about one.
macro_rules! foreign_keys {
    () => {
        "SELECT 'constraint', 'public', t.relname::text, f.conname::text, NULL::text
           FROM pg_constraint f JOIN pg_class t ON t.oid = f.conrelid "
    };
}

/// Each privilege of somebody other than the owner on a relation, or on one of its columns.
macro_rules! privileges {
    () => {
        "(SELECT c.relname, c.relkind, c.relowner, NULL::name AS attname, g.* FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
           WHERE c.relnamespace = 'public'::regnamespace AND g.grantee <> c.relowner
          UNION ALL
          SELECT c.relname, c.relkind, c.relowner, a.attname, g.* FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            CROSS JOIN LATERAL aclexplode(a.attacl) g
           WHERE c.relnamespace = 'public'::regnamespace AND g.grantee <> c.relowner) p "
    };
}

pub(super) const RULES: &[(Rule, &str)] = &[
    (
        Rule {
            id: "domain-id-first",
            says: "a tenant table begins with domain_id uuid NOT NULL",
            why: "a row without a domain belongs to nobody, and no policy can hold it",
            safe_form: "domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id) as the first column",
        },
        concat!(
            "SELECT 'table', 'public', NULL::text, c.relname::text, NULL::text FROM ",
            tables!(),
            "AND c.relname NOT IN ",
            platform_tables!(),
            " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = 1
                               AND a.attname = 'domain_id' AND a.atttypid = 'uuid'::regtype AND a.attnotnull)"
        ),
    ),
    (
        Rule {
            id: "unique-without-domain-id",
            says: "a primary or unique key of a tenant table begins with domain_id",
            why: "unique checks see the rows of every domain: a refused value tells one tenant what another has",
            safe_form: "UNIQUE (domain_id, …), PRIMARY KEY (domain_id, id)",
        },
        "SELECT 'index', 'public', c.relname::text, n.relname::text, NULL::text FROM pg_index i
           JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class n ON n.oid = i.indexrelid
           JOIN pg_attribute d ON d.attrelid = c.oid AND d.attname = 'domain_id'
          WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND i.indkey[0] <> d.attnum
            AND n.relname <> 'domain_hosts_host_key'",
    ),
    (
        Rule {
            id: "foreign-key-without-domain-id",
            says: "a foreign key between tenant tables carries domain_id on both sides",
            why: "foreign key checks ignore row level security: a row could point at, and cascade into, another domain",
            safe_form: "FOREIGN KEY (domain_id, card_id) REFERENCES cards (domain_id, id)",
        },
        // The key from user_roles to roles goes by role_domain_id, which a CHECK holds to the row's own domain or the
        // platform's; it is the one exception.
        concat!(
            foreign_keys!(),
            "JOIN pg_attribute own ON own.attrelid = f.conrelid AND own.attname = 'domain_id'
             JOIN pg_attribute other ON other.attrelid = f.confrelid AND other.attname = 'domain_id'
            WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace AND f.conparentid = 0
              AND NOT EXISTS (SELECT FROM unnest(f.conkey, f.confkey) k (a, b) WHERE k.a = own.attnum AND k.b = other.attnum)
              AND NOT (f.conname = 'user_roles_role_domain_id_role_id_fkey'
                       AND EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = f.conrelid AND c.contype = 'c'
                                    AND pg_get_constraintdef(c.oid) =
                                        'CHECK (((role_domain_id = domain_id) OR (role_domain_id = platform_domain_id())))'))"
        ),
    ),
    (
        Rule {
            id: "foreign-key-from-outside",
            says: "a foreign key to a tenant table comes from a tenant table",
            why: "a table without domain_id is seen by every domain, and so is what it points at",
            safe_form: "give the referring table a domain_id, and the key too",
        },
        concat!(
            foreign_keys!(),
            "JOIN pg_attribute other ON other.attrelid = f.confrelid AND other.attname = 'domain_id'
            WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace
              AND NOT EXISTS (SELECT FROM pg_attribute own WHERE own.attrelid = f.conrelid AND own.attname = 'domain_id')"
        ),
    ),
    (
        Rule {
            id: "set-null-on-composite-key",
            says: "ON DELETE SET NULL on a composite key would empty domain_id too",
            why: "every column of the key is emptied, so that the delete fails; SET NULL (column) came with PostgreSQL 15",
            safe_form: "ON DELETE RESTRICT or CASCADE, and empty the column in the statement that deletes",
        },
        concat!(
            foreign_keys!(),
            "WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace
               AND cardinality(f.conkey) > 1 AND (f.confdeltype IN ('n', 'd') OR f.confupdtype IN ('n', 'd'))"
        ),
    ),
    (
        Rule {
            id: "rls-not-enabled",
            says: "row level security is enabled on a tenant table",
            why: "without it the policies are not asked: every domain sees every row",
            safe_form: "ALTER TABLE … ENABLE ROW LEVEL SECURITY",
        },
        concat!(
            "SELECT 'table', 'public', NULL::text, c.relname::text, NULL::text FROM ",
            tenant_tables!(),
            "AND NOT c.relrowsecurity"
        ),
    ),
    (
        Rule {
            id: "rls-not-forced",
            says: "row level security is forced on a tenant table",
            why: "without FORCE the owner sees every row, and nobody notices",
            safe_form: "ALTER TABLE … FORCE ROW LEVEL SECURITY; put it back where it was taken off for a foreign key",
        },
        concat!(
            "SELECT 'table', 'public', NULL::text, c.relname::text, NULL::text FROM ",
            tenant_tables!(),
            "AND NOT c.relforcerowsecurity"
        ),
    ),
    (
        Rule {
            id: "foreign-key-without-index",
            says: "every foreign key has a valid index that begins with two of its columns, or its one column",
            why: "each delete of the row referred to, and each list by it, would read the whole table",
            safe_form: "CREATE INDEX CONCURRENTLY … (domain_id, card_id, id); on a new table without CONCURRENTLY",
        },
        // domain_id alone begins every primary key, and domains are never deleted.
        concat!(
            foreign_keys!(),
            "WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace AND f.conparentid = 0
               AND NOT EXISTS (
                   SELECT FROM pg_index i WHERE i.indrelid = f.conrelid AND i.indisvalid
                      AND (SELECT count(*) FROM unnest(i.indkey[0:least(cardinality(f.conkey), 2) - 1]) k WHERE k = ANY (f.conkey))
                          = least(cardinality(f.conkey), 2))"
        ),
    ),
    (
        Rule {
            id: "unsafe-grant",
            says: "nobody but the owner may truncate, refer to, or put triggers on a table",
            why: "TRUNCATE ignores policies; REFERENCES and TRIGGER let a role look at, or run code on, rows it may not see",
            safe_form: "GRANT SELECT, INSERT, UPDATE (column, …), DELETE, and nothing else",
        },
        concat!(
            "SELECT CASE WHEN p.attname IS NULL THEN 'table' ELSE 'column' END, 'public',
                    CASE WHEN p.attname IS NOT NULL THEN p.relname::text END, coalesce(p.attname, p.relname)::text,
                    p.privilege_type || ' for ' || CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE p.grantee::regrole::text END
               FROM ",
            privileges!(),
            "WHERE p.relkind IN ('r', 'p') AND p.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')"
        ),
    ),
    (
        Rule {
            id: "grant-to-others",
            says: "nothing is granted to PUBLIC, nor to others than plinth_app and plinth_system",
            why: "the policies name plinth_app and plinth_system; anybody else is held by none that we test",
            safe_form: "GRANT … TO plinth_app",
        },
        concat!(
            "SELECT CASE WHEN p.attname IS NOT NULL THEN 'column' WHEN p.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END, 'public',
                    CASE WHEN p.attname IS NOT NULL THEN p.relname::text END, coalesce(p.attname, p.relname)::text,
                    p.privilege_type || ' for ' || CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE p.grantee::regrole::text END
               FROM ",
            privileges!(),
            "WHERE p.relkind IN ('r', 'p', 'v', 'm', 'S')
               AND (p.grantee = 0 OR p.grantee::regrole::text NOT IN ('plinth_app', 'plinth_system'))"
        ),
    ),
    (
        Rule {
            id: "default-privileges",
            says: "there are no default privileges",
            why: "they would grant on tables that are made later, where nobody reads it",
            safe_form: "a GRANT for each table, in the migration that makes it",
        },
        "SELECT 'schema', coalesce(n.nspname::text, 'public'), NULL::text, coalesce(n.nspname::text, 'every schema'),
                'for objects of ' || d.defaclrole::regrole
           FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace",
    ),
    (
        Rule {
            id: "partition-reachable",
            says: "a partition has no grants and no policies of its own: it is reached through its parent alone",
            why: "reached by its own name, it would be held by its own policies and not by the parent's",
            safe_form: "grant on, and write policies for, the partitioned table",
        },
        "SELECT 'table', 'public', NULL::text, c.relname::text, NULL::text FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition AND c.relkind = 'r'
            AND (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
                 OR EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner))",
    ),
    (
        Rule {
            id: "immutable-reads-setting",
            says: "a function that reads a setting is STABLE or VOLATILE, never IMMUTABLE",
            why: "a prepared statement, or an index, would keep the first tenant for ever",
            safe_form: "LANGUAGE sql STABLE",
        },
        "SELECT 'function', 'public', NULL::text, p.oid::regprocedure::text, NULL::text FROM pg_proc p
          WHERE p.pronamespace = 'public'::regnamespace AND p.provolatile = 'i'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
            AND (p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '')) ILIKE '%current_%'",
    ),
    (
        Rule {
            id: "view-without-security-invoker",
            says: "there are no views over tenant tables: they would run with their owner's eyes",
            why: "a view without security_invoker reads as its owner, and security_invoker came with PostgreSQL 15 where 14 \
                  is supported; a materialised view keeps the rows of every domain in one place",
            safe_form: "a query in the code, or a function of LANGUAGE sql STABLE without SECURITY DEFINER",
        },
        "SELECT 'view', 'public', NULL::text, c.relname::text, NULL::text FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    ),
    (
        Rule {
            id: "outside-public",
            says: "tables, views and functions stand in schema public",
            why: "the rules look there; what stands elsewhere is held by none of them",
            safe_form: "make it in schema public",
        },
        "SELECT CASE WHEN o.kind = 'function' THEN 'function' WHEN o.kind IN ('v', 'm') THEN 'view' ELSE 'table' END,
                n.nspname::text, NULL::text, o.name, NULL::text
           FROM (SELECT oid, relnamespace AS namespace, relkind::text AS kind, relname::text AS name FROM pg_class
                  WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
                 UNION ALL SELECT oid, pronamespace, 'function', proname::text FROM pg_proc) o
           JOIN pg_namespace n ON n.oid = o.namespace
          WHERE n.nspname NOT IN ('public', 'information_schema') AND n.nspname !~ '^pg_'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')",
    ),
    (
        Rule {
            id: "missing-comment",
            says: "a table and each of its columns has a COMMENT",
            why: "whoever reads the schema cannot ask its author",
            safe_form: "COMMENT ON COLUMN cards.title IS '…'",
        },
        "SELECT CASE WHEN a.attnum > 0 THEN 'column' ELSE 'table' END, 'public',
                CASE WHEN a.attnum > 0 THEN c.relname::text END, coalesce(a.attname, c.relname)::text, NULL::text
           FROM pg_class c
           LEFT JOIN LATERAL (SELECT NULL::name AS attname, 0 AS attnum
                              UNION ALL SELECT a.attname, a.attnum FROM pg_attribute a
                                         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a ON true
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relname NOT IN ('__diesel_schema_migrations', 'plinth_migrations', 'plinth_migration_statements')
            AND NOT (c.relispartition AND a.attnum > 0)
            AND col_description(c.oid, a.attnum) IS NULL AND (a.attnum > 0 OR obj_description(c.oid, 'pg_class') IS NULL)
          ORDER BY c.relname, a.attnum",
    ),
];
