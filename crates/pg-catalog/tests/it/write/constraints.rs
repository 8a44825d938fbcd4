use super::proof::{Edit, edit, prove};

#[tokio::test]
async fn constraints() {
    prove(CONSTRAINTS).await;
}

pub const CONSTRAINTS: &[Edit] = &[
        edit("ALTER TABLE app.lonely ADD CONSTRAINT positive CHECK (a > 0); COMMENT ON CONSTRAINT positive ON app.lonely IS 'Count'")
            .has(&["CHECK ((a > 0)) NOT VALID", "VALIDATE CONSTRAINT positive"])
            .parts(2),
        edit("ALTER TABLE app.lonely ADD CONSTRAINT positive CHECK (a > 0) NOT VALID").lacks(&["VALIDATE"]),
        edit("ALTER TABLE app.items DROP CONSTRAINT items_price_check"),
        edit("ALTER TABLE app.items DROP CONSTRAINT items_price_check;
              ALTER TABLE app.items ADD CONSTRAINT items_price_check CHECK (price >= 0)"),
        edit("ALTER TABLE app.items RENAME CONSTRAINT items_price_check TO dear")
            .renames(&["constraint:app.items.items_price_check=dear"])
            .has(&["RENAME CONSTRAINT items_price_check TO dear"]),
        // Nothing to guess where they are the same.
        edit("ALTER TABLE app.people RENAME CONSTRAINT people_pkey TO pk").has(&["RENAME CONSTRAINT people_pkey TO pk"]),
        edit("ALTER TABLE app.people RENAME CONSTRAINT people_pkey TO pk; COMMENT ON CONSTRAINT pk ON app.people IS 'Key'").parts(1),
    // A foreign key comes to rest on another constraint.
    edit("ALTER TABLE app.orders DROP CONSTRAINT orders_person_fkey; ALTER TABLE app.people DROP CONSTRAINT people_pkey;
          ALTER TABLE app.people ADD CONSTRAINT people_id_key UNIQUE (id);
          ALTER TABLE app.orders ADD CONSTRAINT orders_person_fkey FOREIGN KEY (person_id) REFERENCES app.people (id)"),
    edit("ALTER TABLE app.lonely ADD CONSTRAINT lonely_key UNIQUE (a)")
            .has(&["CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS lonely_key ON app.lonely (a);", "UNIQUE USING INDEX lonely_key"])
            .parts(2),
        edit("ALTER TABLE app.lonely ADD CONSTRAINT lonely_key UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b) WITH (fillfactor = 70) DEFERRABLE INITIALLY DEFERRED")
            .since(15),
        edit("ALTER TABLE app.lonely ADD PRIMARY KEY (a)")
            .has(&["CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS lonely_pkey", "PRIMARY KEY USING INDEX lonely_pkey"])
            .parts(4),
        edit("ALTER TABLE app.items DROP CONSTRAINT items_number_key"),
        edit("ALTER TABLE app.items DROP CONSTRAINT items_number_key;
              ALTER TABLE app.items ADD CONSTRAINT items_number_key UNIQUE (domain_id, number, title)")
            .has(&["CONCURRENTLY IF NOT EXISTS items_number_key_new"]),
        // Foreign keys hang on it.
        edit("ALTER TABLE app.parents DROP CONSTRAINT parents_pkey CASCADE;
              ALTER TABLE app.parents ADD CONSTRAINT parents_pkey PRIMARY KEY (domain_id, id) INCLUDE (name);
              ALTER TABLE app.items ADD CONSTRAINT items_parent_fkey
                  FOREIGN KEY (domain_id, parent_id) REFERENCES app.parents (domain_id, id)"),
        edit("ALTER TABLE app.orders ADD CONSTRAINT orders_at_fkey FOREIGN KEY (id) REFERENCES app.people (id) ON DELETE CASCADE")
            .has(&["NOT VALID", "VALIDATE CONSTRAINT orders_at_fkey"])
            .parts(2),
        edit("ALTER TABLE app.orders DROP CONSTRAINT orders_email_fkey"),
        edit("ALTER TABLE app.orders ALTER CONSTRAINT orders_email_fkey DEFERRABLE INITIALLY DEFERRED")
            .has(&["ALTER CONSTRAINT orders_email_fkey DEFERRABLE INITIALLY DEFERRED"]),
        edit("ALTER TABLE app.items ADD CONSTRAINT during_more EXCLUDE USING gist (during WITH &&) WHERE (price > 1)"),
        edit("ALTER TABLE app.items DROP CONSTRAINT items_during_excl"),
        edit("ALTER TABLE app.logs ADD CONSTRAINT logs_pkey PRIMARY KEY (id, at)"),
        edit("ALTER TABLE app.logs ADD CONSTRAINT logs_person_fkey FOREIGN KEY (id) REFERENCES app.people (id)"),
        edit("ALTER TABLE app.logs ADD CONSTRAINT line_check CHECK (line <> '')"),
        edit("ALTER INDEX app.people_pkey SET (fillfactor = 80); COMMENT ON CONSTRAINT people_pkey ON app.people IS 'Key'"),
        edit("ALTER TABLE app.lonely ADD CONSTRAINT lonely_key UNIQUE (a);
              ALTER TABLE app.orders ADD CONSTRAINT orders_lonely FOREIGN KEY (id) REFERENCES app.lonely (a) NOT VALID"),
];

#[tokio::test]
async fn indexes() {
    prove(INDEXES).await;
}

pub const INDEXES: &[Edit] = &[
        edit("CREATE INDEX a ON app.items (domain_id, price); COMMENT ON INDEX app.a IS 'By price'")
            .has(&["CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON app.items (domain_id, price);\nCOMMENT ON INDEX app.a IS"])
            .parts(1),
        edit("CREATE UNIQUE INDEX a ON app.people (lower(email) text_pattern_ops DESC) INCLUDE (age) WHERE age > 18"),
        edit("CREATE INDEX a ON app.people USING gin (data jsonb_path_ops)").has(&["USING gin"]),
        edit("DROP INDEX app.items_title_idx").has(&["DROP INDEX CONCURRENTLY IF EXISTS app.items_title_idx;"]),
        edit("DROP INDEX app.items_title_idx; CREATE INDEX items_title_idx ON app.items (title)")
            .has(&["items_title_idx_new", "ALTER INDEX IF EXISTS app.items_title_idx_new RENAME TO items_title_idx"])
            .parts(1),
        edit("ALTER INDEX app.items_title_idx RENAME TO by_title").has(&["ALTER INDEX app.items_title_idx RENAME TO by_title"]).parts(1),
        edit("ALTER INDEX app.items_title_idx RENAME TO by_title")
            .renames(&["index:app.items_title_idx=by_title"])
            .parts(1),
        edit("CREATE INDEX a ON app.logs (line)").lacks(&["CONCURRENTLY"]),
        edit("CREATE INDEX a ON app.logs_2026 (line)").has(&["CONCURRENTLY"]),
        edit("DROP INDEX app.events_at_idx"),
        edit("CREATE INDEX a ON app.counts (items)").has(&["CONCURRENTLY"]),
        edit("ALTER TABLE app.items CLUSTER ON items_title_idx; COMMENT ON INDEX app.items_title_idx IS 'x'"),
        edit("CREATE FUNCTION app.squash(t text) RETURNS text LANGUAGE sql IMMUTABLE RETURN replace(t, ' ', '');
              CREATE INDEX a ON app.people (app.squash(email))"),
        edit("CREATE UNIQUE INDEX a ON app.people (email); ALTER TABLE app.people REPLICA IDENTITY USING INDEX a"),
        edit("ALTER TABLE app.people ADD COLUMN size integer; CREATE INDEX a ON app.people (size)").parts(2),
];
