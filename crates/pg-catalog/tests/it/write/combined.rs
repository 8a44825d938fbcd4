//! Several changes that are in one another's way.

use super::proof::{Edit, edit, prove};

#[tokio::test]
async fn combined() {
    prove(COMBINED).await;
}

pub const COMBINED: &[Edit] = &[
        edit("ALTER TABLE app.people RENAME COLUMN nick TO nickname; ALTER TABLE app.people ALTER COLUMN nickname TYPE text;
              DROP INDEX app.people_nick_idx; CREATE INDEX people_nickname_idx ON app.people (upper(nickname)) WHERE nickname <> ''")
            .renames(&["column:app.people.nick=nickname"]),
        // A function in a generated column, a check and an index: in place, and not.
        edit("CREATE OR REPLACE FUNCTION app.slugify(t text) RETURNS text LANGUAGE sql IMMUTABLE RETURN lower(trim(t))").parts(1),
        edit("ALTER TABLE app.nodes DROP COLUMN key, DROP CONSTRAINT nodes_name_check; DROP INDEX app.nodes_slug_idx;
              DROP FUNCTION app.slugify;
              CREATE FUNCTION app.slugify(word text) RETURNS text LANGUAGE sql IMMUTABLE RETURN lower(word);
              ALTER TABLE app.nodes ADD COLUMN key text GENERATED ALWAYS AS (app.slugify(name)) STORED,
                  ADD CONSTRAINT nodes_name_check CHECK (app.slugify(name) <> '');
              CREATE INDEX nodes_slug_idx ON app.nodes (app.slugify(name))"),
        // The type of a column in a generated column, a check, an index, a view and a trigger.
        edit("DROP VIEW app.visible_nodes; DROP TRIGGER stamp ON app.nodes; ALTER TABLE app.nodes DROP COLUMN key;
              ALTER TABLE app.nodes ALTER COLUMN name TYPE character varying(200),
                  ADD COLUMN key text GENERATED ALWAYS AS (app.slugify(name)) STORED;
              CREATE VIEW app.visible_nodes AS SELECT id, name, weight FROM app.nodes WHERE NOT hidden;
              CREATE TRIGGER stamp BEFORE UPDATE OF name ON app.nodes FOR EACH ROW
                  WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION app.stamp()")
            .loses(),
        // A column in a policy, a view and an exclusion constraint.
        edit("ALTER TABLE app.nodes DROP COLUMN hidden CASCADE;
              ALTER TABLE app.nodes ADD CONSTRAINT nodes_during_excl EXCLUDE USING gist (during WITH &&);
              CREATE POLICY visible ON app.nodes USING (id > 0);
              CREATE VIEW app.visible_nodes AS SELECT id, name, weight FROM app.nodes")
            .loses(),
        // A value of an enum that is wanted at once, everywhere.
        edit("BEGIN; ALTER TYPE app.grade ADD VALUE 'mid' BEFORE 'high'; COMMIT;
              ALTER TABLE app.nodes ALTER COLUMN grade SET DEFAULT 'mid', ADD CONSTRAINT graded CHECK (grade <> 'mid' OR id > 0);
              CREATE INDEX mids_idx ON app.nodes (id) WHERE grade = 'mid';
              CREATE VIEW app.mids AS SELECT id FROM app.nodes WHERE grade = 'mid';
              ALTER TABLE app.lonely ADD COLUMN grade app.grade NOT NULL DEFAULT 'mid'"),
        // From one table to another.
        edit("DROP VIEW app.visible_nodes; ALTER TABLE app.nodes DROP COLUMN weight;
              ALTER TABLE app.lonely ADD COLUMN weight app.weight;
              CREATE VIEW app.visible_nodes AS
                  SELECT n.id, n.name, l.weight FROM app.nodes n JOIN app.lonely l ON l.a = n.id WHERE NOT n.hidden")
            .loses(),
        edit("ALTER DOMAIN app.weight DROP CONSTRAINT weight_positive;
              ALTER DOMAIN app.weight ADD CONSTRAINT weight_positive CHECK (VALUE >= 0);
              ALTER DOMAIN app.weight ADD CONSTRAINT light CHECK (VALUE < 1000);
              ALTER TABLE app.nodes ALTER COLUMN weight SET NOT NULL, ALTER COLUMN weight SET DEFAULT 1"),
        edit("ALTER TABLE app.nodes DROP CONSTRAINT nodes_during_excl;
              ALTER TABLE app.nodes ADD CONSTRAINT nodes_during_excl
                  EXCLUDE USING gist (during WITH &&, int4range(id, id, '[]') WITH &&) DEFERRABLE"),
        // From serial to identity under one name, and from identity to serial.
        edit("ALTER TABLE app.nodes ALTER COLUMN number DROP DEFAULT; DROP SEQUENCE app.nodes_number_seq;
              ALTER TABLE app.nodes ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY")
            .loses(),
        edit("ALTER TABLE app.people ALTER COLUMN id DROP IDENTITY; CREATE SEQUENCE app.people_id_seq OWNED BY app.people.id;
              ALTER TABLE app.people ALTER COLUMN id SET DEFAULT nextval('app.people_id_seq')")
            .has(&["SELECT setval('app.people_id_seq', max(id))"]),
        // Foreign keys in a circle.
        edit("ALTER TABLE app.lefts ALTER COLUMN id TYPE bigint, ALTER COLUMN right_id TYPE bigint;
              ALTER TABLE app.rights ALTER COLUMN id TYPE bigint, ALTER COLUMN left_id TYPE bigint"),
        edit("ALTER TABLE app.lefts DROP CONSTRAINT lefts_right_fkey; ALTER TABLE app.rights DROP CONSTRAINT rights_left_fkey;
              ALTER TABLE app.lefts ALTER COLUMN id TYPE text, ALTER COLUMN right_id TYPE text;
              ALTER TABLE app.rights ALTER COLUMN id TYPE text, ALTER COLUMN left_id TYPE text;
              ALTER TABLE app.lefts ADD CONSTRAINT lefts_right_fkey FOREIGN KEY (right_id) REFERENCES app.rights (id);
              ALTER TABLE app.rights ADD CONSTRAINT rights_left_fkey FOREIGN KEY (left_id) REFERENCES app.lefts (id)"),
        edit("DROP TABLE app.lefts, app.rights").loses(),
        // The key of a table that refers to itself.
        edit("ALTER TABLE app.nodes DROP CONSTRAINT nodes_next_fkey, DROP CONSTRAINT nodes_pkey;
              ALTER TABLE app.nodes ADD CONSTRAINT nodes_pkey PRIMARY KEY (id, grade), ADD CONSTRAINT nodes_id_key UNIQUE (id);
              ALTER TABLE app.nodes ADD CONSTRAINT nodes_next_fkey FOREIGN KEY (next_id) REFERENCES app.nodes (id)
                  DEFERRABLE INITIALLY DEFERRED"),
        // A unique constraint becomes an index of its name, under a foreign key.
        edit("ALTER TABLE app.orders DROP CONSTRAINT orders_email_fkey; ALTER TABLE app.people DROP CONSTRAINT people_email_key;
              CREATE UNIQUE INDEX people_email_key ON app.people (email);
              ALTER TABLE app.orders ADD CONSTRAINT orders_email_fkey FOREIGN KEY (email) REFERENCES app.people (email)"),
        // Of another new column.
        edit("ALTER TABLE app.nodes ADD COLUMN title text NOT NULL DEFAULT 'x', DROP COLUMN key;
              ALTER TABLE app.nodes ADD COLUMN key text GENERATED ALWAYS AS (app.slugify(title)) STORED")
            .converts(&["app.nodes.key"]),
        edit("CREATE FUNCTION app.mark() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; DROP TRIGGER stamp ON app.nodes;
              CREATE TRIGGER stamp BEFORE UPDATE OF name, weight ON app.nodes FOR EACH ROW EXECUTE FUNCTION app.mark();
              ALTER TABLE app.nodes DISABLE TRIGGER stamp"),
        edit("DROP VIEW app.open_items; CREATE TABLE app.open_items (id uuid PRIMARY KEY)"),
        // A type that no cast leads to.
        edit("ALTER TABLE app.nodes DROP COLUMN during; ALTER TABLE app.nodes ADD COLUMN during date")
            .loses()
            .converts(&["app.nodes.during"])
            .has(&["no cast leads from int4range to date"]),
        // Two names change places.
        edit("ALTER TABLE app.lefts RENAME TO middles; ALTER TABLE app.rights RENAME TO lefts; ALTER TABLE app.middles RENAME TO rights")
            .renames(&["table:app.lefts=app.middles", "table:app.rights=app.lefts", "table:app.middles=app.rights"]),
];
