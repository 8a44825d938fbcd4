//! Up, all down, up: the same catalogue.

use test_support::TestDatabase;
use tokio_postgres::Client;

use crate::support::Ops;

/// Everything of schema `public` that migrations make, one line each: from the catalogue, never from a dump.
const CATALOGUE: &str = "
SELECT concat_ws(' ', 'relation', c.relkind, c.relname, 'rls', c.relrowsecurity, c.relforcerowsecurity, 'owner', c.relowner::regrole)
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', 'grant', c.relname, a.attname, g.grantee::regrole, g.privilege_type)
  FROM pg_class c
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
  CROSS JOIN LATERAL aclexplode(coalesce(a.attacl, c.relacl)) g
 WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', 'column', c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull,
                           'default', pg_get_expr(d.adbin, d.adrelid), 'collation', a.attcollation::regcollation)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT concat_ws(' ', 'policy', tablename, policyname, permissive, roles, cmd, 'using', qual, 'check', with_check)
  FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT concat_ws(' ', 'function', p.oid::regprocedure, 'owner', p.proowner::regrole, pg_get_functiondef(p.oid))
  FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT concat_ws(' ', 'grant', p.oid::regprocedure, g.grantee::regrole, g.privilege_type)
  FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) g
 WHERE p.pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT concat_ws(' ', 'grant on schema', g.grantee::regrole, g.privilege_type)
  FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) g WHERE n.nspname = 'public'
UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL SELECT concat_ws(' ', 'comment', c.relname, d.objsubid, d.description)
  FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
 WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', 'comment', p.oid::regprocedure, d.description)
  FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid AND d.classoid = 'pg_proc'::regclass
 WHERE p.pronamespace = 'public'::regnamespace
ORDER BY 1";

async fn catalogue(client: &Client) -> Vec<String> {
    client
        .query(CATALOGUE, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

async fn up_down_up(database: &TestDatabase) {
    let (ops, client) = (Ops::on(database), database.superuser().await);
    ops.expect(0, &["migrate", "run"]);
    let up = catalogue(&client).await;
    for kind in [
        "relation r",
        "grant ",
        "column ",
        "constraint ",
        "index ",
        "policy ",
        "function ",
        "comment ",
    ] {
        assert!(
            up.iter().any(|line| line.starts_with(kind)),
            "the catalogue query sees no {kind}"
        );
    }

    ops.expect(0, &["migrate", "revert", "--all", "--yes"]);
    let down = catalogue(&client).await;
    let left: Vec<_> = down
        .iter()
        .filter(|line| {
            ["relation ", "function ", "policy "]
                .iter()
                .any(|kind| line.starts_with(kind))
        })
        .filter(|line| !line.contains("__diesel_schema_migrations") && !line.contains("plinth_migrations"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:#?}");

    ops.expect(0, &["migrate", "run"]);
    let again = catalogue(&client).await;
    let difference: Vec<_> = up
        .iter()
        .filter(|line| !again.contains(line))
        .chain(again.iter().filter(|line| !up.contains(line)))
        .collect();
    assert!(
        difference.is_empty(),
        "differs after down and up: {difference:#?}"
    );
}

#[tokio::test]
async fn up_all_down_up_gives_the_same_catalogue() {
    up_down_up(&TestDatabase::empty().await).await;
}

#[tokio::test]
async fn up_all_down_up_gives_the_same_catalogue_with_data_in_it() {
    up_down_up(&TestDatabase::new().await).await;
}

#[tokio::test]
async fn each_migration_reverts_and_applies_again_by_itself() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    ops.expect(0, &["migrate", "run"]);
    let up = catalogue(&client).await;
    let migrations = ops.expect(0, &["migrate", "show", "--json"]).json();
    let count = migrations.get("migrations").unwrap().as_array().unwrap().len();
    assert!(count > 1);
    for down in 1..=count {
        let reverted = ops
            .expect(0, &["migrate", "revert", &down.to_string(), "--yes", "--json"])
            .json();
        assert_eq!(reverted.get("reverted").unwrap().as_array().unwrap().len(), down);
        ops.expect(2, &["migrate", "show"]);
        ops.expect(0, &["migrate", "run"]);
        assert_eq!(catalogue(&client).await, up, "after reverting {down}");
    }
}
