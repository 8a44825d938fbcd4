//! One edit at a time: the difference names the object and the attribute, and nothing else.

use pg_catalog::{Catalog, Options};

use crate::support::{Database, lines, make_roles};

pub const BASE: &str = include_str!("base.sql");

pub async fn base() -> Database {
    make_roles(&["pgc_app", "pgc_other"]).await;
    Database::with(BASE).await
}

/// SQL, and the difference that it makes.
type Edit = (&'static str, &'static [&'static str]);

async fn check(edits: &[Edit]) {
    check_from(14, edits).await;
}

async fn check_from(version: i32, edits: &[Edit]) {
    let base = base().await;
    let before = base.read().await;
    if before.server_version / 10_000 < version {
        return;
    }
    let client = base.client().await;
    let mut wrong = Vec::new();
    for (sql, expected) in edits {
        client
            .batch_execute(&format!("BEGIN; {sql}"))
            .await
            .unwrap_or_else(|error| panic!("{error:?} in {sql}"));
        let after = Catalog::read_within(&client, &Options::default()).await.unwrap();
        client.batch_execute("ROLLBACK").await.unwrap();
        let seen = lines(&before.diff(&after));
        if seen != *expected {
            wrong.push(format!("{sql}\n  expected {expected:#?}\n  seen {seen:#?}"));
        }
        check_both_ways(sql, &before, &after);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was added one way is removed the other, each change is found in both, and the fingerprint tells as much as the difference.
fn check_both_ways(sql: &str, before: &Catalog, after: &Catalog) {
    let forth = before.diff(after);
    let back = after.diff(before);
    assert_eq!(forth.added, back.removed, "{sql}");
    assert_eq!(forth.removed, back.added, "{sql}");
    assert_eq!(forth.len(), back.len(), "{sql}");
    assert_ne!(before.fingerprint(), after.fingerprint(), "{sql}");
    for change in &forth.changed {
        assert!(before.objects().contains_key(&change.object), "{sql}");
        assert!(after.objects().contains_key(&change.object), "{sql}");
        assert!(!change.attributes.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn tables() {
    check(&[
        (
            "CREATE TABLE app.new ()",
            &["+ table app.new", "+ grant to pgc_app on table app.new"],
        ),
        ("DROP TABLE app.events_rest", &["- table app.events_rest"]),
        (
            "ALTER TABLE app.parents RENAME TO forebears",
            &[
                "+ table app.forebears",
                "+ column app.forebears.code",
                "+ column app.forebears.domain_id",
                "+ column app.forebears.id",
                "+ column app.forebears.name",
                "+ constraint parents_pkey on app.forebears",
                "- table app.parents",
                "- column app.parents.code",
                "- column app.parents.domain_id",
                "- column app.parents.id",
                "- column app.parents.name",
                "- constraint parents_pkey on app.parents",
                "~ constraint items_parent_fkey on app.items: definition",
            ],
        ),
        (
            "COMMENT ON TABLE app.items IS 'Other'",
            &["~ table app.items: comment"],
        ),
        (
            "COMMENT ON TABLE app.items IS NULL",
            &["~ table app.items: comment"],
        ),
        (
            "ALTER TABLE app.items SET (fillfactor = 70)",
            &["~ table app.items: options"],
        ),
        (
            "ALTER TABLE app.items SET (toast.autovacuum_enabled = false)",
            &["~ table app.items: options"],
        ),
        (
            "ALTER TABLE app.items REPLICA IDENTITY FULL",
            &["~ table app.items: replica_identity"],
        ),
        (
            "ALTER TABLE app.items REPLICA IDENTITY USING INDEX items_pkey",
            &["~ table app.items: replica_identity"],
        ),
        (
            "ALTER TABLE app.items DISABLE ROW LEVEL SECURITY",
            &["~ table app.items: row_security"],
        ),
        (
            "ALTER TABLE app.items FORCE ROW LEVEL SECURITY",
            &["~ table app.items: force_row_security"],
        ),
        (
            "ALTER TABLE app.items OWNER TO pgc_other",
            &["~ table app.items: owner"],
        ),
        (
            "ALTER MATERIALIZED VIEW app.counts OWNER TO pgc_other",
            &["~ view app.counts: owner"],
        ),
        (
            "ALTER TABLE app.events_rest SET UNLOGGED",
            &["~ table app.events_rest: unlogged"],
        ),
        (
            "ALTER TABLE app.events DETACH PARTITION app.events_rest",
            &[
                "+ column app.events_rest.at",
                "+ column app.events_rest.id",
                "+ index app.events_rest_at_idx on app.events_rest",
                "+ constraint events_rest_pkey on app.events_rest",
                "~ table app.events_rest: partition_bound, partition_of",
            ],
        ),
        (
            "CREATE TABLE app.events_one PARTITION OF app.events FOR VALUES FROM
                 ('00000000-0000-0000-0000-000000000000') TO ('10000000-0000-0000-0000-000000000000')",
            &[
                "+ table app.events_one",
                "+ grant to pgc_app on table app.events_one",
            ],
        ),
        (
            "ALTER TABLE app.events ADD COLUMN n integer DEFAULT 1",
            &["+ column app.events.n"],
        ),
        (
            "ALTER TABLE app.events_rest ALTER COLUMN at SET DEFAULT now()",
            &["+ column app.events_rest.at"],
        ),
        (
            "ALTER TABLE app.events_rest ALTER COLUMN at SET NOT NULL",
            &["+ column app.events_rest.at"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn columns() {
    check(&[
        (
            "ALTER TABLE app.items ADD COLUMN extra text",
            &["+ column app.items.extra"],
        ),
        (
            "ALTER TABLE app.items DROP COLUMN during",
            &[
                "- column app.items.during",
                "- constraint items_during_excl on app.items",
            ],
        ),
        (
            "ALTER TABLE app.parents RENAME COLUMN name TO title",
            &["+ column app.parents.title", "- column app.parents.name"],
        ),
        (
            "ALTER TABLE app.parents ALTER COLUMN code TYPE character varying(9)",
            &["~ column app.parents.code: type"],
        ),
        (
            "ALTER TABLE app.parents ALTER COLUMN code TYPE text COLLATE \"C\"",
            &["~ column app.parents.code: collation"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN note SET NOT NULL",
            &["~ column app.items.note: not_null"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN title DROP NOT NULL",
            &["~ column app.items.title: not_null"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN title SET DEFAULT 'new'",
            &["~ column app.items.title: default"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN title DROP DEFAULT",
            &["~ column app.items.title: default"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN double_price DROP EXPRESSION",
            &["~ column app.items.double_price: generated"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN number SET GENERATED ALWAYS",
            &["~ column app.items.number: identity"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN number SET INCREMENT BY 5",
            &["~ column app.items.number: identity"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN number DROP IDENTITY",
            &["~ column app.items.number: identity"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN note SET STORAGE EXTERNAL",
            &["~ column app.items.note: storage"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN note SET COMPRESSION pglz",
            &["~ column app.items.note: compression"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN note SET STATISTICS 500",
            &["~ column app.items.note: statistics"],
        ),
        (
            "ALTER TABLE app.items ALTER COLUMN note SET (n_distinct = 5)",
            &["~ column app.items.note: options"],
        ),
        (
            "COMMENT ON COLUMN app.items.title IS 'Other'",
            &["~ column app.items.title: comment"],
        ),
        (
            "COMMENT ON COLUMN app.open_items.title IS 'Of the view'",
            &["+ column app.open_items.title"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn constraints() {
    check(&[
        (
            "ALTER TABLE app.items ADD CONSTRAINT a CHECK (title <> '')",
            &["+ constraint a on app.items"],
        ),
        (
            "ALTER TABLE app.items DROP CONSTRAINT items_price_check",
            &["- constraint items_price_check on app.items"],
        ),
        (
            "ALTER TABLE app.items RENAME CONSTRAINT items_price_check TO other",
            &[
                "+ constraint other on app.items",
                "- constraint items_price_check on app.items",
            ],
        ),
        (
            "ALTER TABLE app.items DROP CONSTRAINT items_price_check;
             ALTER TABLE app.items ADD CONSTRAINT items_price_check CHECK (price >= 0)",
            &["~ constraint items_price_check on app.items: definition"],
        ),
        (
            "ALTER TABLE app.items DROP CONSTRAINT items_price_check;
             ALTER TABLE app.items ADD CONSTRAINT items_price_check CHECK (price > 0) NOT VALID",
            &["~ constraint items_price_check on app.items: validated"],
        ),
        (
            "ALTER TABLE app.items ALTER CONSTRAINT items_parent_fkey DEFERRABLE",
            &["~ constraint items_parent_fkey on app.items: deferrable"],
        ),
        (
            "ALTER TABLE app.items ALTER CONSTRAINT items_parent_fkey DEFERRABLE INITIALLY DEFERRED",
            &["~ constraint items_parent_fkey on app.items: deferrable, deferred"],
        ),
        (
            "ALTER TABLE app.items DROP CONSTRAINT items_parent_fkey;
             ALTER TABLE app.items ADD CONSTRAINT items_parent_fkey FOREIGN KEY (domain_id, parent_id)
                 REFERENCES app.parents (domain_id, id) ON DELETE CASCADE NOT VALID",
            &["~ constraint items_parent_fkey on app.items: definition, validated"],
        ),
        (
            "ALTER TABLE app.items DROP CONSTRAINT items_number_key;
             ALTER TABLE app.items ADD CONSTRAINT items_number_key UNIQUE (domain_id, number) INCLUDE (note)",
            &["~ constraint items_number_key on app.items: definition"],
        ),
        (
            "ALTER INDEX app.items_pkey SET (fillfactor = 80)",
            &["~ constraint items_pkey on app.items: options"],
        ),
        (
            "ALTER TABLE app.items DROP CONSTRAINT items_during_excl",
            &["- constraint items_during_excl on app.items"],
        ),
        (
            "COMMENT ON CONSTRAINT items_price_check ON app.items IS 'Not free'",
            &["~ constraint items_price_check on app.items: comment"],
        ),
        (
            "ALTER TABLE app.events ADD CONSTRAINT a CHECK (at > '2000-01-01 00:00+00')",
            &["+ constraint a on app.events"],
        ),
    ])
    .await;
    check_from(
        18,
        &[
            (
                "ALTER TABLE app.items ADD CONSTRAINT n NOT NULL note NOT VALID",
                &["+ constraint n on app.items"],
            ),
            (
                "ALTER TABLE app.items ALTER CONSTRAINT items_parent_fkey NOT ENFORCED",
                &["~ constraint items_parent_fkey on app.items: definition"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn indexes() {
    check(&[
        ("CREATE INDEX a ON app.items (domain_id, price)", &["+ index app.a on app.items"]),
        ("DROP INDEX app.items_title_idx", &["- index app.items_title_idx on app.items"]),
        (
            "ALTER INDEX app.items_title_idx RENAME TO other",
            &["+ index app.other on app.items", "- index app.items_title_idx on app.items"],
        ),
        (
            "DROP INDEX app.items_partial_idx;
             CREATE INDEX items_partial_idx ON app.items (domain_id, note) INCLUDE (price) WHERE status = 'done'",
            &["~ index app.items_partial_idx on app.items: definition"],
        ),
        (
            "DROP INDEX app.items_partial_idx;
             CREATE INDEX items_partial_idx ON app.items (domain_id, note) WHERE status = 'open'",
            &["~ index app.items_partial_idx on app.items: definition"],
        ),
        (
            "DROP INDEX app.items_expression_idx;
             CREATE UNIQUE INDEX items_expression_idx ON app.items (domain_id, lower(title) DESC)",
            &["~ index app.items_expression_idx on app.items: definition"],
        ),
        ("COMMENT ON INDEX app.items_title_idx IS 'By title'", &["~ index app.items_title_idx on app.items: comment"]),
        ("ALTER TABLE app.items CLUSTER ON items_title_idx", &["~ index app.items_title_idx on app.items: clustered"]),
        ("CREATE INDEX a ON app.events (at, id)", &["+ index app.a on app.events"]),
        ("DROP INDEX app.counts_key", &["- index app.counts_key on app.counts"]),
        // As a build that failed leaves it.
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.items_title_idx'::regclass",
            &["~ index app.items_title_idx on app.items: valid"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn types_and_sequences() {
    check(&[
        ("CREATE TYPE app.mood AS ENUM ()", &["+ type app.mood", "+ grant to PUBLIC on type app.mood"]),
        ("ALTER TYPE app.status ADD VALUE 'late' BEFORE 'done'", &["~ type app.status: labels"]),
        ("ALTER TYPE app.status RENAME VALUE 'done' TO 'closed'", &["~ type app.status: labels"]),
        ("ALTER TYPE app.status OWNER TO pgc_other", &["~ type app.status: owner"]),
        ("COMMENT ON TYPE app.status IS 'How far'", &["~ type app.status: comment"]),
        ("ALTER DOMAIN app.slug SET NOT NULL", &["~ type app.slug: not_null"]),
        ("ALTER DOMAIN app.slug SET DEFAULT 'a'", &["~ type app.slug: default"]),
        (
            "ALTER DOMAIN app.slug ADD CONSTRAINT short CHECK (length(VALUE) < 9) NOT VALID",
            &["+ constraint short on domain app.slug"],
        ),
        ("ALTER DOMAIN app.slug DROP CONSTRAINT slug_lower", &["- constraint slug_lower on domain app.slug"]),
        ("ALTER TYPE app.point ADD ATTRIBUTE z integer", &["~ type app.point: attributes"]),
        ("ALTER TYPE app.point ALTER ATTRIBUTE y TYPE bigint", &["~ type app.point: attributes"]),
        ("COMMENT ON COLUMN app.point.x IS 'Right'", &["~ type app.point: attribute_comments"]),
        (
            "DROP TYPE app.span; CREATE TYPE app.span AS RANGE (SUBTYPE = integer, SUBTYPE_DIFF = int4range_subdiff)",
            &["~ type app.span: options"],
        ),
        (
            "CREATE SEQUENCE app.more",
            &["+ sequence app.more"],
        ),
        (
            "ALTER SEQUENCE app.numbers INCREMENT BY 2 CYCLE CACHE 10 MAXVALUE 99 START WITH 3 MINVALUE 2 RESTART",
            &["~ sequence app.numbers: cache, cycle, increment, max, min, start"],
        ),
        ("ALTER SEQUENCE app.numbers AS smallint", &["~ sequence app.numbers: max, type"]),
        ("ALTER SEQUENCE app.numbers OWNED BY app.items.serial", &["~ sequence app.numbers: owned_by"]),
        ("COMMENT ON SEQUENCE app.numbers IS 'n'", &["~ sequence app.numbers: comment"]),
    ])
    .await;
}

#[tokio::test]
async fn functions_triggers_and_views() {
    check(&[
        (
            "CREATE FUNCTION app.twice(a bigint) RETURNS bigint LANGUAGE sql RETURN 2 * a",
            &["+ function app.twice(bigint)", "+ grant to PUBLIC on function app.twice(bigint)"],
        ),
        (
            "CREATE OR REPLACE FUNCTION app.twice(a integer) RETURNS integer LANGUAGE sql AS 'SELECT a + a'",
            &["~ function app.twice(integer): body"],
        ),
        (
            "CREATE OR REPLACE FUNCTION app.twice(a integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 2 * a'",
            &["~ function app.twice(integer): arguments"],
        ),
        ("ALTER FUNCTION app.twice STABLE", &["~ function app.twice(integer): volatility"]),
        ("ALTER FUNCTION app.twice SECURITY DEFINER", &["~ function app.twice(integer): security_definer"]),
        ("ALTER FUNCTION app.twice STRICT", &["~ function app.twice(integer): strict"]),
        ("ALTER FUNCTION app.twice LEAKPROOF", &["~ function app.twice(integer): leakproof"]),
        ("ALTER FUNCTION app.twice PARALLEL SAFE", &["~ function app.twice(integer): parallel"]),
        ("ALTER FUNCTION app.twice COST 7", &["~ function app.twice(integer): cost"]),
        ("ALTER FUNCTION app.twice SET search_path = pg_catalog", &["~ function app.twice(integer): settings"]),
        ("ALTER FUNCTION app.twice OWNER TO pgc_other", &["~ function app.twice(integer): owner"]),
        ("COMMENT ON FUNCTION app.twice IS 'Twice'", &["~ function app.twice(integer): comment"]),
        (
            "DROP PROCEDURE app.tidy",
            &["- function app.tidy(integer)", "- grant to PUBLIC on function app.tidy(integer)"],
        ),
        (
            "CREATE OR REPLACE AGGREGATE app.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '1')",
            &["~ function app.total(integer): body"],
        ),
        ("DROP TRIGGER stamp ON app.items", &["- trigger stamp on app.items"]),
        (
            "DROP TRIGGER stamp ON app.items;
             CREATE TRIGGER stamp BEFORE INSERT ON app.items FOR EACH ROW EXECUTE FUNCTION app.stamp()",
            &["~ trigger stamp on app.items: definition"],
        ),
        ("ALTER TABLE app.items DISABLE TRIGGER stamp", &["~ trigger stamp on app.items: enabled"]),
        ("COMMENT ON TRIGGER stamp ON app.items IS 'When'", &["~ trigger stamp on app.items: comment"]),
        (
            "CREATE OR REPLACE VIEW app.open_items AS SELECT domain_id, id, title FROM app.items WHERE status = 'done'",
            &["~ view app.open_items: query"],
        ),
        ("ALTER VIEW app.open_items SET (security_barrier = true)", &["~ view app.open_items: options"]),
        ("COMMENT ON VIEW app.open_items IS 'Open'", &["~ view app.open_items: comment"]),
        (
            "DROP MATERIALIZED VIEW app.counts",
            &["- view app.counts", "- index app.counts_key on app.counts",],
        ),
        (
            "CREATE TRIGGER instead INSTEAD OF INSERT ON app.open_items FOR EACH ROW EXECUTE FUNCTION app.stamp()",
            &["+ trigger instead on app.open_items"],
        ),
    ])
    .await;
    check_from(
        15,
        &[(
            "ALTER VIEW app.open_items SET (security_invoker = true)",
            &["~ view app.open_items: options"],
        )],
    )
    .await;
}

#[tokio::test]
async fn policies_and_grants() {
    check(&[
        (
            "CREATE POLICY a ON app.parents FOR SELECT USING (true)",
            &["+ policy a on app.parents"],
        ),
        (
            "DROP POLICY tenant ON app.items",
            &["- policy tenant on app.items"],
        ),
        (
            "ALTER POLICY tenant ON app.items USING (true)",
            &["~ policy tenant on app.items: using"],
        ),
        (
            "ALTER POLICY tenant ON app.items WITH CHECK (true)",
            &["~ policy tenant on app.items: with_check"],
        ),
        (
            "ALTER POLICY tenant ON app.items TO PUBLIC",
            &["~ policy tenant on app.items: roles"],
        ),
        (
            "ALTER POLICY tenant ON app.items TO pgc_other, pgc_app",
            &["~ policy tenant on app.items: roles"],
        ),
        (
            "COMMENT ON POLICY tenant ON app.items IS 'Own'",
            &["~ policy tenant on app.items: comment"],
        ),
        (
            "DROP POLICY tenant ON app.items;
             CREATE POLICY tenant ON app.items AS RESTRICTIVE TO pgc_app
                 USING (domain_id IS NOT NULL) WITH CHECK (domain_id IS NOT NULL)",
            &["~ policy tenant on app.items: permissive"],
        ),
        (
            "DROP POLICY tenant ON app.items;
             CREATE POLICY tenant ON app.items FOR UPDATE TO pgc_app
                 USING (domain_id IS NOT NULL) WITH CHECK (domain_id IS NOT NULL)",
            &["~ policy tenant on app.items: command"],
        ),
        (
            "GRANT DELETE ON app.items TO pgc_app",
            &["~ grant to pgc_app on table app.items: privileges"],
        ),
        (
            "REVOKE INSERT ON app.items FROM pgc_app",
            &["~ grant to pgc_app on table app.items: privileges"],
        ),
        (
            "GRANT SELECT ON app.items TO pgc_app WITH GRANT OPTION",
            &["~ grant to pgc_app on table app.items: privileges"],
        ),
        (
            "GRANT SELECT ON app.parents TO PUBLIC",
            &["+ grant to PUBLIC on table app.parents"],
        ),
        (
            "GRANT UPDATE (note) ON app.items TO pgc_app",
            &["+ grant to pgc_app on column app.items.note"],
        ),
        (
            "REVOKE UPDATE (title) ON app.items FROM pgc_app",
            &["- grant to pgc_app on column app.items.title"],
        ),
        (
            "GRANT SELECT (title) ON app.open_items TO pgc_other",
            &["+ grant to pgc_other on column app.open_items.title"],
        ),
        (
            "REVOKE EXECUTE ON FUNCTION app.twice FROM PUBLIC",
            &["- grant to PUBLIC on function app.twice(integer)"],
        ),
        (
            "REVOKE USAGE ON TYPE app.status FROM PUBLIC",
            &["- grant to PUBLIC on type app.status"],
        ),
        (
            "GRANT USAGE ON SEQUENCE app.numbers TO pgc_app",
            &["+ grant to pgc_app on sequence app.numbers"],
        ),
        (
            "GRANT CREATE ON SCHEMA app TO pgc_app",
            &["~ grant to pgc_app on schema app: privileges"],
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT DELETE ON TABLES TO pgc_app",
            &["~ default privileges of plinth in app on tables: grants"],
        ),
        (
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
            &["+ default privileges of plinth on functions"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn schemas_extensions_and_others() {
    check(&[
        ("CREATE SCHEMA more", &["+ schema more"]),
        ("DROP SCHEMA empty", &["- schema empty"]),
        ("ALTER SCHEMA app OWNER TO pgc_other", &["~ schema app: owner"]),
        ("COMMENT ON SCHEMA app IS 'Other'", &["~ schema app: comment"]),
        ("CREATE EXTENSION citext", &["+ extension citext"]),
        ("DROP EXTENSION pgcrypto", &["- extension pgcrypto"]),
        (
            "ALTER EXTENSION pgcrypto SET SCHEMA app",
            &["~ extension pgcrypto: schema"],
        ),
        (
            "CREATE COLLATION app.plain (LOCALE = 'C')",
            &["+ collation app.plain"],
        ),
        (
            "DROP STATISTICS app.item_statistics;
             CREATE STATISTICS app.item_statistics (ndistinct) ON domain_id, parent_id FROM app.items",
            &["~ statistics object app.item_statistics: definition"],
        ),
        (
            "CREATE RULE nothing AS ON DELETE TO app.items DO INSTEAD NOTHING",
            &["+ rule nothing on app.items"],
        ),
        ("CREATE PUBLICATION everything", &["+ publication everything"]),
    ])
    .await;
}
