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
CREATE TABLE app.lonely (a integer, b text);

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
REFRESH MATERIALIZED VIEW app.counts;
