-- On top of the other base: more that hangs together, and rows in every table.
CREATE FUNCTION app.next_code() RETURNS text LANGUAGE sql VOLATILE AS $$SELECT 'c' || gen_random_uuid()$$;
CREATE FUNCTION app.plain_code() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'plain'$$;
CREATE FUNCTION app.loud(t text) RETURNS text LANGUAGE sql IMMUTABLE RETURN upper(t);

CREATE TABLE app.people (
    id bigint GENERATED ALWAYS AS IDENTITY,
    email text NOT NULL,
    nick character varying(30),
    age integer,
    code text NOT NULL DEFAULT app.plain_code(),
    shout text GENERATED ALWAYS AS (app.loud(email)) STORED,
    mood app.status,
    moods app.status[],
    home app.point,
    joined timestamptz NOT NULL DEFAULT now(),
    data jsonb,
    CONSTRAINT people_pkey PRIMARY KEY (id),
    CONSTRAINT people_email_key UNIQUE (email)
);
CREATE INDEX people_nick_idx ON app.people (lower(nick)) WHERE nick IS NOT NULL;
CREATE VIEW app.people_mail AS SELECT id, email, age FROM app.people;
COMMENT ON VIEW app.people_mail IS 'Mail';
GRANT SELECT ON app.people_mail TO pgc_app;
CREATE VIEW app.people_old AS SELECT id, email FROM app.people_mail WHERE age > 60;
CREATE FUNCTION app.mail_of(a bigint) RETURNS text LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT m.email FROM app.people_mail m WHERE m.id = a; END;

CREATE TABLE app.orders (
    id integer PRIMARY KEY,
    person_id bigint NOT NULL CONSTRAINT orders_person_fkey REFERENCES app.people (id),
    email text CONSTRAINT orders_email_fkey REFERENCES app.people (email),
    total numeric(10, 2) NOT NULL,
    at date
);
CREATE SEQUENCE app.order_numbers AS integer START WITH 100;
ALTER TABLE app.orders ADD COLUMN number integer NOT NULL DEFAULT nextval('app.order_numbers');
ALTER SEQUENCE app.order_numbers OWNED BY app.orders.number;

CREATE TABLE app.logs (id bigint NOT NULL, at date NOT NULL, line text) PARTITION BY RANGE (at);
CREATE TABLE app.logs_2026 PARTITION OF app.logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE app.logs_2025 (id bigint NOT NULL, at date NOT NULL, line text);
CREATE INDEX logs_2025_own ON app.logs_2025 (line DESC);
CREATE TABLE app.lonely (a integer, b text);

-- Whatever may hang on a column hangs on one of these.
CREATE TYPE app.grade AS ENUM ('low', 'high');
CREATE DOMAIN app.weight AS numeric CONSTRAINT weight_positive CHECK (VALUE > 0);
CREATE FUNCTION app.slugify(t text) RETURNS text LANGUAGE sql IMMUTABLE RETURN lower(t);
CREATE TABLE app.nodes (
    id integer PRIMARY KEY,
    next_id integer CONSTRAINT nodes_next_fkey REFERENCES app.nodes (id) DEFERRABLE INITIALLY DEFERRED,
    name text NOT NULL CONSTRAINT nodes_name_check CHECK (app.slugify(name) <> ''),
    key text GENERATED ALWAYS AS (app.slugify(name)) STORED,
    grade app.grade NOT NULL DEFAULT 'low',
    weight app.weight,
    hidden boolean NOT NULL DEFAULT false,
    during int4range,
    number serial,
    CONSTRAINT nodes_during_excl EXCLUDE USING gist (during WITH &&) WHERE (NOT hidden)
);
CREATE INDEX nodes_slug_idx ON app.nodes (app.slugify(name));
CREATE POLICY visible ON app.nodes USING (NOT hidden);
CREATE VIEW app.visible_nodes AS SELECT id, name, weight FROM app.nodes WHERE NOT hidden;
CREATE TRIGGER stamp BEFORE UPDATE OF name ON app.nodes FOR EACH ROW WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION app.stamp();
CREATE TABLE app.lefts (id integer PRIMARY KEY, right_id integer);
CREATE TABLE app.rights (id integer PRIMARY KEY, left_id integer CONSTRAINT rights_left_fkey REFERENCES app.lefts (id));
ALTER TABLE app.lefts ADD CONSTRAINT lefts_right_fkey FOREIGN KEY (right_id) REFERENCES app.rights (id);

INSERT INTO app.parents SELECT d.id, p.id, 'parent ' || n, 'code ' || n
    FROM generate_series(1, 20) n,
    LATERAL (SELECT ('00000000-0000-0000-0000-00000000000' || 1 + n % 2)::uuid AS id) d,
    LATERAL (SELECT ('10000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid AS id) p;
INSERT INTO app.items (domain_id, id, title, note, status, slug, price, parent_id)
    SELECT p.domain_id, ('20000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid, 'item ' || n,
           CASE WHEN n % 3 > 0 THEN 'note ' || n END, (CASE WHEN n % 2 = 0 THEN 'open' ELSE 'done' END)::app.status,
           CASE WHEN n % 4 > 0 THEN 'slug' || n END, CASE WHEN n % 5 > 0 THEN n * 1.25 END, p.id
    FROM generate_series(1, 40) n
    JOIN app.parents p ON p.code = 'code ' || 1 + n % 20;
INSERT INTO app.events SELECT ('30000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid,
    '2026-01-01'::timestamptz + n * interval '1 day' FROM generate_series(1, 15) n;
INSERT INTO app.people (email, nick, age, mood, moods, home, data)
    SELECT 'p' || n || '@example.test', CASE WHEN n % 2 = 0 THEN 'Nick' || n END, CASE WHEN n % 7 > 0 THEN 20 + n END,
           CASE WHEN n % 3 > 0 THEN 'open'::app.status END, ARRAY ['open', 'done']::app.status[], ROW (n, -n)::app.point,
           jsonb_build_object('n', n)
    FROM generate_series(1, 50) n;
INSERT INTO app.orders (id, person_id, email, total, at)
    SELECT n, n, CASE WHEN n % 2 = 0 THEN 'p' || n || '@example.test' END, n * 1.11, '2026-01-01'::date + n FROM generate_series(1, 30) n;
INSERT INTO app.logs SELECT n, '2026-01-01'::date + n, 'line ' || n FROM generate_series(1, 25) n;
INSERT INTO app.logs_2025 SELECT n, '2025-01-01'::date + n, 'line ' || n FROM generate_series(1, 25) n;
INSERT INTO app.lonely SELECT n, NULL FROM generate_series(1, 5) n;
INSERT INTO app.nodes (id, next_id, name, weight, during)
    SELECT n, 1 + n % 10, 'Node ' || n, n * 0.5, int4range(n * 10, n * 10 + 5) FROM generate_series(1, 10) n;
INSERT INTO app.lefts SELECT n FROM generate_series(1, 4) n;
INSERT INTO app.rights SELECT n, n FROM generate_series(1, 4) n;
UPDATE app.lefts SET right_id = id;
REFRESH MATERIALIZED VIEW app.counts;
