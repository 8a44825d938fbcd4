use super::proof::{Edit, edit, prove};

#[tokio::test]
async fn tables() {
    prove(TABLES).await;
}

pub const TABLES: &[Edit] = &[
        edit(
            "CREATE TABLE app.shelves (
                 id bigint GENERATED ALWAYS AS IDENTITY,
                 owner_id bigint NOT NULL,
                 name text NOT NULL DEFAULT 'shelf',
                 size numeric(5, 1),
                 CONSTRAINT shelves_pkey PRIMARY KEY (id),
                 CONSTRAINT shelves_owner_fkey FOREIGN KEY (owner_id) REFERENCES app.people (id),
                 CONSTRAINT shelves_size_check CHECK (size > 0)
             );
             CREATE INDEX shelves_name_idx ON app.shelves (name);
             COMMENT ON TABLE app.shelves IS 'Where things stand';
             COMMENT ON COLUMN app.shelves.name IS 'What is written on it';
             ALTER TABLE app.shelves ENABLE ROW LEVEL SECURITY;
             ALTER TABLE app.shelves FORCE ROW LEVEL SECURITY;
             CREATE POLICY own ON app.shelves TO pgc_app USING (owner_id = 1) WITH CHECK (owner_id = 1);
             CREATE TRIGGER stamp BEFORE UPDATE ON app.shelves FOR EACH ROW EXECUTE FUNCTION app.stamp();
             GRANT SELECT, INSERT, UPDATE ON app.shelves TO pgc_app",
        )
        .has(&[
            "CREATE TABLE app.shelves (\n    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,\n    owner_id bigint NOT NULL,\n",
            "    CONSTRAINT shelves_pkey PRIMARY KEY (id),\n",
            ");\nCOMMENT ON TABLE app.shelves IS 'Where things stand';\nCOMMENT ON COLUMN",
            "CREATE INDEX shelves_name_idx ON app.shelves (name);",
        ])
        .lacks(&["CONCURRENTLY", "NOT VALID"])
        .parts(1),
        edit("DROP TABLE app.orders").loses().has(&["-- Loses the rows of app.orders."]),
        edit("DROP TABLE app.people CASCADE").loses().leaves(&[
            "~ constraint orders_email_fkey on app.orders: validated",
            "~ constraint orders_person_fkey on app.orders: validated",
        ]),
        edit("DROP TABLE app.items CASCADE").loses(),
        edit("DROP TABLE app.logs CASCADE").loses(),
        edit("DROP TABLE app.lonely; CREATE VIEW app.lonely AS SELECT 1 AS a").loses(),
        // They need one another.
        edit("CREATE TABLE app.eggs (id integer PRIMARY KEY, hen_id integer);
              CREATE TABLE app.hens (id integer PRIMARY KEY, egg_id integer REFERENCES app.eggs (id));
              ALTER TABLE app.eggs ADD FOREIGN KEY (hen_id) REFERENCES app.hens (id)"),
        edit("CREATE TABLE app.trees (id integer PRIMARY KEY, parent_id integer REFERENCES app.trees (id))").parts(1),
        edit("CREATE TABLE app.counters (id serial PRIMARY KEY, at timestamptz DEFAULT now()) WITH (fillfactor = 70, autovacuum_enabled = false)")
            .has(&["WITH (autovacuum_enabled = false, fillfactor = 70)", "CREATE SEQUENCE app.counters_id_seq AS integer"]),
        edit("CREATE UNLOGGED TABLE app.quick ()"),
        edit("CREATE TABLE app.kinds () INHERITS (app.lonely)"),
        edit("CREATE TABLE app.points OF app.point"),
        edit("ALTER TABLE app.lonely SET (fillfactor = 60), SET UNLOGGED")
            .loses()
            .has(&["Rewrites", "-- Loses the rows of app.lonely, whenever the server crashes."]),
        edit("ALTER TABLE app.items FORCE ROW LEVEL SECURITY; ALTER TABLE app.people ENABLE ROW LEVEL SECURITY")
            .has(&["ALTER TABLE app.items FORCE ROW LEVEL SECURITY;"]),
        edit("ALTER TABLE app.lonely REPLICA IDENTITY FULL; COMMENT ON TABLE app.lonely IS 'Alone'"),
        edit("ALTER TABLE app.lonely OWNER TO pgc_other; GRANT SELECT ON app.lonely TO pgc_app"),
        edit("ALTER TABLE app.items OWNER TO pgc_app"),
        edit("ALTER TABLE app.people RENAME TO persons").renames(&["table:app.people=app.persons"]).parts(1),
        edit("ALTER TABLE app.people SET SCHEMA empty").renames(&["table:app.people=empty.people"]).has(&["SET SCHEMA empty"]),
        edit("ALTER TABLE app.people RENAME TO persons; ALTER TABLE app.persons RENAME CONSTRAINT people_pkey TO persons_pkey;
              ALTER TABLE app.persons RENAME COLUMN nick TO nickname; ALTER INDEX app.people_nick_idx RENAME TO persons_nickname_idx;
              ALTER TABLE app.persons ADD COLUMN born date")
            .renames(&["table:app.people=app.persons", "column:app.persons.nick=nickname"])
            .has(&["RENAME CONSTRAINT people_pkey TO persons_pkey", "ALTER INDEX app.people_nick_idx RENAME TO persons_nickname_idx"])
            .parts(1),
];

#[tokio::test]
async fn partitions() {
    prove(PARTITIONS).await;
}

pub const PARTITIONS: &[Edit] = &[
        edit("CREATE TABLE app.logs_2027 PARTITION OF app.logs FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
            .has(&["CREATE TABLE app.logs_2027 PARTITION OF app.logs FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');"]),
        edit("DROP TABLE app.logs_2026").loses(),
        edit("ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')").has(&["ATTACH PARTITION"]),
        edit("ALTER TABLE app.logs DETACH PARTITION app.logs_2026").has(&["DETACH PARTITION"]),
        edit("CREATE TABLE app.visits (id bigint, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
              CREATE TABLE app.visits_rest PARTITION OF app.visits DEFAULT;
              ALTER TABLE app.visits_rest ALTER COLUMN id SET DEFAULT 4;
              CREATE INDEX visits_at_idx ON app.visits (at);
              GRANT SELECT ON app.visits TO pgc_app"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest").has(&["DETACH PARTITION"]),
        // An index or a constraint goes with its partition or without it, and comes before it or after it.
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; DROP INDEX app.events_at_idx"),
        edit("DROP INDEX app.events_at_idx; ALTER TABLE app.events DETACH PARTITION app.events_rest"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; ALTER TABLE app.events DROP CONSTRAINT events_pkey"),
        edit("ALTER TABLE app.events DROP CONSTRAINT events_pkey; ALTER TABLE app.events DETACH PARTITION app.events_rest"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; DROP INDEX app.events_rest_at_idx"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; ALTER TABLE app.events_rest DROP CONSTRAINT events_rest_pkey;
              CREATE INDEX more ON app.events_rest (at DESC)"),
        edit("DROP INDEX app.events_at_idx; CREATE INDEX events_at_idx ON app.events (at DESC);
              ALTER TABLE app.events DETACH PARTITION app.events_rest"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; ALTER INDEX app.events_rest_at_idx RENAME TO own"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; DROP INDEX app.events_at_idx;
              CREATE INDEX events_at_idx ON app.events (at DESC)"),
        edit("ALTER TABLE app.events DETACH PARTITION app.events_rest; CREATE INDEX later ON app.events (at DESC)"),
        edit("CREATE INDEX later ON app.events (at DESC); ALTER TABLE app.events DETACH PARTITION app.events_rest"),
        edit("ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
              CREATE INDEX logs_line_idx ON app.logs (line)"),
        // PostgreSQL takes the partition's for a part of the parent's, in whatever order it is.
        edit("CREATE INDEX logs_line_idx ON app.logs (line);
              ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"),
        edit("CREATE INDEX own ON app.logs_2025 (id);
              ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"),
        edit("CREATE INDEX logs_line_idx ON app.logs (line DESC);
              ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"),
        edit("CREATE INDEX logs_line_idx ON app.logs (line DESC); CREATE INDEX more ON app.logs (line);
              ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"),
        edit("DROP INDEX app.logs_2025_own; ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
              CREATE INDEX logs_line_idx ON app.logs (line DESC)"),
        edit("ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
              ALTER TABLE app.logs ADD PRIMARY KEY (id, at)"),
        edit("ALTER TABLE app.logs ADD UNIQUE (id, at);
              ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"),
        edit("ALTER TABLE app.logs ADD CONSTRAINT line_check CHECK (line <> ''), ADD FOREIGN KEY (id) REFERENCES app.people (id);
              ALTER TABLE app.logs_2025 ADD CONSTRAINT line_check CHECK (line <> ''), ADD CONSTRAINT whose FOREIGN KEY (id) REFERENCES app.people (id);
              ALTER TABLE app.logs ATTACH PARTITION app.logs_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"),
        edit("ALTER TABLE app.logs ADD CONSTRAINT line_check CHECK (line <> ''), ADD FOREIGN KEY (id) REFERENCES app.people (id);
              ALTER TABLE app.logs DETACH PARTITION app.logs_2026"),
        edit("ALTER TABLE app.logs DETACH PARTITION app.logs_2026;
              ALTER TABLE app.logs ADD CONSTRAINT line_check CHECK (line <> ''), ADD FOREIGN KEY (id) REFERENCES app.people (id)"),
        edit("ALTER TABLE app.logs ADD COLUMN level integer NOT NULL DEFAULT 0").parts(1),
        edit("ALTER TABLE app.logs RENAME COLUMN line TO text").renames(&["column:app.logs.line=text"]),
];

#[tokio::test]
async fn views() {
    prove(VIEWS).await;
}

pub const VIEWS: &[Edit] = &[
        edit("CREATE VIEW app.more WITH (security_invoker = true) AS SELECT id, title FROM app.items;
              CREATE VIEW app.most AS SELECT id FROM app.more; COMMENT ON COLUMN app.more.id IS 'Number'")
            .has(&["CREATE VIEW app.more WITH (security_invoker = true) AS\n SELECT "])
            .since(15),
        edit("DROP VIEW app.people_old"),
        edit("CREATE OR REPLACE VIEW app.people_old AS SELECT id, email FROM app.people_mail WHERE age > 70")
            .has(&["CREATE OR REPLACE VIEW app.people_old"])
            .lacks(&["DROP"]),
        edit("ALTER VIEW app.people_mail SET (security_barrier = true)").lacks(&["DROP"]),
        // More columns, under others.
        edit("CREATE OR REPLACE VIEW app.people_mail AS SELECT id, email, age, nick FROM app.people")
            .has(&["DROP VIEW app.people_old;", "DROP FUNCTION app.mail_of(bigint);", "GRANT SELECT ON TABLE app.people_mail TO pgc_app"]),
        edit("ALTER VIEW app.people_mail RENAME TO addresses").renames(&["view:app.people_mail=app.addresses"]),
        edit("COMMENT ON VIEW app.people_mail IS 'Letters'; COMMENT ON COLUMN app.people_mail.id IS 'Number';
              REVOKE SELECT ON app.people_mail FROM pgc_app; GRANT SELECT (id) ON app.people_mail TO pgc_app"),
        edit("CREATE MATERIALIZED VIEW app.sums AS SELECT person_id, sum(total) AS total FROM app.orders GROUP BY 1;
              CREATE UNIQUE INDEX sums_key ON app.sums (person_id)"),
        edit("DROP MATERIALIZED VIEW app.counts;
              CREATE MATERIALIZED VIEW app.counts AS SELECT domain_id, count(*) + 1 AS items FROM app.items GROUP BY domain_id;
              CREATE UNIQUE INDEX counts_key ON app.counts (domain_id)"),
        edit("DROP MATERIALIZED VIEW app.counts"),
        edit("CREATE TRIGGER instead INSTEAD OF INSERT ON app.open_items FOR EACH ROW EXECUTE FUNCTION app.stamp()"),
];
