-- What plinth-ops did with backups: operators see it, who act in the platform domain.

CREATE TABLE backup_runs (
    domain_id uuid NOT NULL DEFAULT platform_domain_id() REFERENCES domains (id) CHECK (domain_id = platform_domain_id()),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('backup', 'drill', 'restore')),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'failed')),
    backup text NOT NULL CHECK (char_length(backup) BETWEEN 1 AND 100),
    location text NOT NULL CHECK (char_length(location) <= 2000),
    snapshot_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    size_bytes bigint CHECK (size_bytes >= 0),
    manifest_sha256 text CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    details jsonb,
    error text,
    plinth_version text NOT NULL,
    PRIMARY KEY (domain_id, id),
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
COMMENT ON TABLE backup_runs IS 'Backups, drills and restores as they were run, for people and metrics. What backups there are is told by the place that they are in.';
COMMENT ON COLUMN backup_runs.domain_id IS 'The platform domain: a backup is the installation''s.';
COMMENT ON COLUMN backup_runs.id IS 'UUIDv7.';
COMMENT ON COLUMN backup_runs.kind IS 'backup, drill (a proof that the backup can be restored), or restore (of the backup into this database).';
COMMENT ON COLUMN backup_runs.state IS 'running, succeeded, or failed. A run that was killed says running until the next one finds it.';
COMMENT ON COLUMN backup_runs.backup IS 'Name of the backup.';
COMMENT ON COLUMN backup_runs.location IS 'Where the backup is: a directory, or s3://bucket/prefix.';
COMMENT ON COLUMN backup_runs.snapshot_at IS 'Moment that the backup shows.';
COMMENT ON COLUMN backup_runs.started_at IS 'When the run began.';
COMMENT ON COLUMN backup_runs.finished_at IS 'When it ended; NULL while it runs.';
COMMENT ON COLUMN backup_runs.size_bytes IS 'Size of all files of the backup.';
COMMENT ON COLUMN backup_runs.manifest_sha256 IS 'SHA-256 of the backup''s manifest, in hex: a proof is of these bytes.';
COMMENT ON COLUMN backup_runs.details IS 'What was compared: tables, cells, rows, checks.';
COMMENT ON COLUMN backup_runs.error IS 'Why it failed.';
COMMENT ON COLUMN backup_runs.plinth_version IS 'Version of Plinth that ran it.';
-- The last success of each kind, and its age.
CREATE INDEX backup_runs_latest_idx ON backup_runs (domain_id, kind, started_at DESC) WHERE state = 'succeeded';

ALTER TABLE backup_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON backup_runs TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON backup_runs TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT ON backup_runs TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON backup_runs TO plinth_system;
