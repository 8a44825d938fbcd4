use super::proof::{Edit, edit, prove};

#[tokio::test]
async fn types() {
    prove(TYPES).await;
}

pub const TYPES: &[Edit] = &[
        edit("CREATE TYPE app.color AS ENUM ('red', 'it''s blue'); COMMENT ON TYPE app.color IS 'Colour';
              ALTER TABLE app.lonely ADD COLUMN c app.color NOT NULL DEFAULT 'red'"),
        edit("ALTER TYPE app.status ADD VALUE 'late' AFTER 'open'")
            .has(&["ALTER TYPE app.status ADD VALUE IF NOT EXISTS 'late' AFTER 'open';"])
            .parts(1),
        edit("ALTER TYPE app.status ADD VALUE 'a' BEFORE 'open'; ALTER TYPE app.status ADD VALUE 'z'"),
        edit("BEGIN; ALTER TYPE app.status ADD VALUE 'late'; COMMIT; ALTER TABLE app.people ALTER COLUMN mood SET DEFAULT 'late'").parts(2),
        edit("ALTER TYPE app.status RENAME VALUE 'done' TO 'closed'").renames(&["value:app.status.done=closed"]).converts(&["app.items.status", "app.people.moods"]),
        // A value goes: the type is made anew, and all that hangs on it.
        edit(
            "CREATE TYPE app.size AS ENUM ('s', 'm', 'l');
             ALTER TABLE app.lonely ADD COLUMN size app.size DEFAULT 's'",
        ),
        edit("ALTER TABLE app.people ALTER COLUMN mood TYPE text; ALTER TABLE app.people ALTER COLUMN moods TYPE text[];
              DROP MATERIALIZED VIEW app.counts; DROP VIEW app.open_items; DROP INDEX app.items_partial_idx;
              ALTER TABLE app.items ALTER COLUMN status DROP DEFAULT, ALTER COLUMN status TYPE text;
              DROP TYPE app.status;
              CREATE TYPE app.status AS ENUM ('done', 'open');
              ALTER TABLE app.items ALTER COLUMN status TYPE app.status USING status::app.status, ALTER COLUMN status SET DEFAULT 'open';
              ALTER TABLE app.people ALTER COLUMN mood TYPE app.status USING mood::app.status,
                  ALTER COLUMN moods TYPE app.status[] USING moods::app.status[];
              CREATE INDEX items_partial_idx ON app.items (domain_id, note) INCLUDE (price) WHERE status = 'open';
              CREATE VIEW app.open_items AS SELECT domain_id, id, title FROM app.items WHERE status = 'open';
              CREATE MATERIALIZED VIEW app.counts AS SELECT domain_id, count(*) AS items FROM app.items GROUP BY domain_id;
              CREATE UNIQUE INDEX counts_key ON app.counts (domain_id)")
            .loses(),
        edit("CREATE DOMAIN app.percent AS integer DEFAULT 0 NOT NULL CONSTRAINT percent_range CHECK (VALUE BETWEEN 0 AND 100)"),
        edit("ALTER DOMAIN app.slug ADD CONSTRAINT short CHECK (length(VALUE) < 90)").has(&["NOT VALID", "ALTER DOMAIN app.slug VALIDATE"]),
        edit("ALTER DOMAIN app.slug DROP CONSTRAINT slug_lower"),
        edit("ALTER DOMAIN app.slug SET DEFAULT 'a'; COMMENT ON DOMAIN app.slug IS 'Short name'; COMMENT ON CONSTRAINT slug_lower ON DOMAIN app.slug IS 'low'"),
        edit("ALTER TABLE app.items ALTER COLUMN slug TYPE text; DROP DOMAIN app.slug;
              CREATE DOMAIN app.slug AS character varying(50) CONSTRAINT slug_lower CHECK (VALUE = lower(VALUE));
              ALTER TABLE app.items ALTER COLUMN slug TYPE app.slug")
            .loses(),
        edit("ALTER TABLE app.items ALTER COLUMN slug TYPE text; DROP DOMAIN app.slug"),
        edit("ALTER TYPE app.point ADD ATTRIBUTE z integer").converts(&["app.people.home"]),
        edit("CREATE TYPE app.pair AS (a text COLLATE \"C\", b integer); COMMENT ON COLUMN app.pair.a IS 'First'"),
        edit("ALTER TYPE app.point DROP ATTRIBUTE y").loses().converts(&["app.people.home"]),
        edit("ALTER TABLE app.people DROP COLUMN home; ALTER TYPE app.point ALTER ATTRIBUTE x TYPE bigint;
              ALTER TABLE app.people ADD COLUMN home app.point")
            .loses(),
        edit("DROP TYPE app.span; CREATE TYPE app.span AS RANGE (SUBTYPE = integer, SUBTYPE_DIFF = int4range_subdiff)"),
        edit("DROP TYPE app.span"),
        edit("ALTER TYPE app.point RENAME TO place").renames(&["type:app.point=app.place"]),
        edit("ALTER TYPE app.status OWNER TO pgc_other; REVOKE USAGE ON TYPE app.span FROM PUBLIC"),
];

#[tokio::test]
async fn sequences() {
    prove(SEQUENCES).await;
}

pub const SEQUENCES: &[Edit] = &[
    edit(
        "CREATE SEQUENCE app.more AS smallint INCREMENT BY -2 MAXVALUE 50 START WITH 40 CACHE 3 CYCLE; COMMENT ON SEQUENCE app.more IS 'm'",
    ),
    edit("ALTER SEQUENCE app.numbers INCREMENT BY 2 CYCLE CACHE 10 MAXVALUE 99999 START WITH 3 MINVALUE 1"),
    edit("ALTER SEQUENCE app.numbers AS integer"),
    edit("ALTER SEQUENCE app.numbers OWNED BY app.items.serial"),
    edit("ALTER SEQUENCE app.order_numbers OWNED BY NONE"),
    edit("ALTER TABLE app.items ALTER COLUMN serial DROP DEFAULT; DROP SEQUENCE app.numbers").loses(),
    edit("ALTER SEQUENCE app.numbers RENAME TO counts_of_items")
        .renames(&["sequence:app.numbers=app.counts_of_items"]),
    edit("GRANT USAGE ON SEQUENCE app.numbers TO pgc_app"),
];

#[tokio::test]
async fn functions() {
    prove(FUNCTIONS).await;
}

pub const FUNCTIONS: &[Edit] = &[
        edit("CREATE FUNCTION app.half(a integer DEFAULT 2) RETURNS integer LANGUAGE sql STRICT IMMUTABLE SET search_path = '' AS 'SELECT a / 2';
              REVOKE EXECUTE ON FUNCTION app.half FROM PUBLIC; GRANT EXECUTE ON FUNCTION app.half TO pgc_app; COMMENT ON FUNCTION app.half IS 'Half'")
            .has(&["CREATE FUNCTION app.half", "REVOKE EXECUTE ON FUNCTION app.half(integer) FROM PUBLIC;"]),
        edit("DROP FUNCTION app.twice"),
        edit("CREATE OR REPLACE FUNCTION app.twice(a integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT a + a'")
            .has(&["CREATE OR REPLACE FUNCTION app.twice(a integer)"])
            .lacks(&["DROP"]),
        edit("DROP FUNCTION app.twice; CREATE FUNCTION app.twice(a integer) RETURNS bigint LANGUAGE sql AS 'SELECT 2::bigint * a'"),
        // In a default, a generated column, an index.
        edit("ALTER TABLE app.people ALTER COLUMN code DROP DEFAULT; DROP FUNCTION app.plain_code;
              CREATE FUNCTION app.plain_code() RETURNS character varying LANGUAGE sql IMMUTABLE AS $$SELECT 'plainer'$$;
              ALTER TABLE app.people ALTER COLUMN code SET DEFAULT app.plain_code()"),
        edit("ALTER TABLE app.people DROP COLUMN shout; DROP FUNCTION app.loud;
              CREATE FUNCTION app.loud(word text) RETURNS text LANGUAGE sql IMMUTABLE RETURN upper(word);
              ALTER TABLE app.people ADD COLUMN shout text GENERATED ALWAYS AS (app.loud(email)) STORED"),
        edit("CREATE OR REPLACE PROCEDURE app.tidy(INOUT a integer) LANGUAGE plpgsql AS 'BEGIN a := 2; END'"),
        edit("DROP PROCEDURE app.tidy"),
        edit("CREATE AGGREGATE app.most(integer) (SFUNC = int4larger, STYPE = integer); COMMENT ON AGGREGATE app.most(integer) IS 'Most'"),
        edit("CREATE OR REPLACE AGGREGATE app.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '1')"),
        edit("ALTER FUNCTION app.twice OWNER TO pgc_other"),
        edit("ALTER FUNCTION app.twice RENAME TO double").renames(&["function:app.twice(integer)=\"double\""]),
        // Bodies that mention what is new, in whatever order the names are.
        edit("CREATE TABLE app.zoo (id integer PRIMARY KEY, animal text);
              CREATE FUNCTION app.animals() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT animal FROM app.zoo';
              CREATE FUNCTION app.animal_count() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM app.animals()';
              CREATE VIEW app.zoo_view AS SELECT app.animal_count() AS n;
              ALTER TABLE app.lonely ADD COLUMN zoo bigint DEFAULT app.animal_count()"),
        edit("DROP TABLE app.lonely; CREATE FUNCTION app.uses(l text) RETURNS integer LANGUAGE sql AS 'SELECT 1'").loses(),
        // A table and a function that need one another.
        edit("CREATE FUNCTION app.is_fine(i integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
              CREATE TABLE app.fine (id integer CHECK (app.is_fine(id)));
              CREATE OR REPLACE FUNCTION app.is_fine(i integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT NOT EXISTS (SELECT FROM app.fine WHERE id > i)'")
            .has(&["SET LOCAL check_function_bodies = off"]),
        edit("CREATE FUNCTION app.of_row(l app.lonely) RETURNS text LANGUAGE sql STABLE RETURN l.b;
              CREATE VIEW app.of_rows AS SELECT app.of_row(l) AS t FROM app.lonely l"),
];

#[tokio::test]
async fn triggers_and_policies() {
    prove(TRIGGERS_AND_POLICIES).await;
}

pub const TRIGGERS_AND_POLICIES: &[Edit] = &[
        edit("CREATE TRIGGER stamp AFTER INSERT OR UPDATE OF age ON app.people FOR EACH ROW WHEN (new.age > 1) EXECUTE FUNCTION app.stamp();
              COMMENT ON TRIGGER stamp ON app.people IS 'When'; ALTER TABLE app.people DISABLE TRIGGER stamp"),
        edit("DROP TRIGGER stamp ON app.items"),
        edit("DROP TRIGGER stamp ON app.items; CREATE TRIGGER stamp BEFORE INSERT ON app.items FOR EACH ROW EXECUTE FUNCTION app.stamp()"),
        edit("ALTER TABLE app.items ENABLE ALWAYS TRIGGER stamp"),
        edit("ALTER TRIGGER stamp ON app.items RENAME TO mark").renames(&["trigger:app.items.stamp=mark"]),
        edit("CREATE POLICY reader ON app.people AS RESTRICTIVE FOR SELECT TO pgc_app USING (age > 18); COMMENT ON POLICY reader ON app.people IS 'Adults'"),
        edit("DROP POLICY tenant ON app.items"),
        edit("ALTER POLICY tenant ON app.items TO pgc_app, pgc_other USING (true)").has(&["ALTER POLICY tenant ON app.items TO pgc_app, pgc_other"]),
        edit("DROP POLICY tenant ON app.items; CREATE POLICY tenant ON app.items FOR INSERT WITH CHECK (true)"),
        edit("ALTER POLICY tenant ON app.items RENAME TO own").renames(&["policy:app.items.tenant=own"]),
        edit("CREATE FUNCTION app.mine(p bigint) RETURNS boolean LANGUAGE sql STABLE RETURN p > 3;
              CREATE POLICY mine ON app.people USING (app.mine(id)) WITH CHECK (app.mine(id) AND (age > 3 OR age < 1))"),
        // The policy is in the way of its column.
        edit("CREATE POLICY tenth ON app.orders USING (total > 1)"),
];

#[tokio::test]
async fn grants() {
    prove(GRANTS).await;
}

pub const GRANTS: &[Edit] = &[
    edit(
        "GRANT SELECT, DELETE ON app.people TO pgc_app; GRANT UPDATE (nick) ON app.people TO pgc_app; GRANT SELECT ON app.people TO PUBLIC",
    ),
    edit("REVOKE INSERT ON app.items FROM pgc_app"),
    edit("REVOKE UPDATE (title) ON app.items FROM pgc_app; GRANT UPDATE ON app.items TO pgc_app"),
    edit("REVOKE SELECT ON app.items FROM pgc_app; GRANT SELECT (title, note) ON app.items TO pgc_app"),
    edit("GRANT SELECT ON app.items TO pgc_app WITH GRANT OPTION"),
    edit("REVOKE EXECUTE ON FUNCTION app.twice FROM PUBLIC; GRANT EXECUTE ON PROCEDURE app.tidy TO pgc_app"),
    edit("GRANT CREATE ON SCHEMA app TO pgc_app; GRANT USAGE ON SCHEMA empty TO PUBLIC"),
    edit(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT DELETE ON TABLES TO pgc_app; CREATE TABLE app.later (a integer)",
    ),
    edit(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM pgc_app; CREATE TABLE app.later (a integer)",
    ),
    edit(
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
              CREATE FUNCTION app.later() RETURNS integer LANGUAGE sql RETURN 1; DROP FUNCTION app.twice",
    ),
    edit("CREATE TABLE app.later (a integer); REVOKE ALL ON app.later FROM pgc_app"),
];

#[tokio::test]
async fn schemas_and_extensions() {
    prove(SCHEMAS_AND_EXTENSIONS).await;
}

pub const SCHEMAS_AND_EXTENSIONS: &[Edit] = &[
        edit("CREATE SCHEMA more; COMMENT ON SCHEMA more IS 'More'; GRANT USAGE ON SCHEMA more TO pgc_app;
              CREATE TABLE more.a (id integer PRIMARY KEY); ALTER DEFAULT PRIVILEGES IN SCHEMA more GRANT SELECT ON TABLES TO pgc_app"),
        edit("DROP SCHEMA empty"),
        edit("ALTER SCHEMA app OWNER TO pgc_other; COMMENT ON SCHEMA app IS 'Other'"),
        edit("ALTER SCHEMA empty RENAME TO blank").renames(&["schema:empty=blank"]),
        edit("ALTER SCHEMA app RENAME TO main; CREATE TABLE main.a ()").renames(&["schema:app=main"]),
        edit("CREATE EXTENSION citext; ALTER TABLE app.lonely ADD COLUMN c citext"),
        edit("DROP EXTENSION pgcrypto").loses(),
        edit("ALTER EXTENSION pgcrypto SET SCHEMA app"),
        edit("DROP STATISTICS app.item_statistics;
              CREATE STATISTICS app.item_statistics (ndistinct) ON domain_id, parent_id FROM app.items"),
        edit("CREATE RULE nothing AS ON DELETE TO app.lonely DO INSTEAD NOTHING; COMMENT ON RULE nothing ON app.lonely IS 'Stays'"),
        edit("DROP STATISTICS app.item_statistics"),
];
