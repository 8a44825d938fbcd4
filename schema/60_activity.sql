-- Born partitioned by time (a UUIDv7 begins with its milliseconds), so that retention can drop whole partitions.
CREATE TABLE activity_stream (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid DEFAULT current_user_id(),
    api_key_id uuid DEFAULT current_api_key_id(),
    action text NOT NULL CHECK (char_length(action) <= 100),
    outcome text NOT NULL DEFAULT 'success' CHECK (outcome IN ('success', 'denied')),
    target_type text CHECK (char_length(target_type) <= 100),
    target_id uuid,
    before jsonb,
    after jsonb,
    request_id text CHECK (char_length(request_id) <= 100),
    ip inet,
    PRIMARY KEY (domain_id, id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE activity_stream IS 'One row for every change and every denial, written with the change. The API inserts and reads; nobody updates. No foreign keys: it outlives what it speaks of.';
COMMENT ON COLUMN activity_stream.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN activity_stream.id IS 'UUIDv7; newest is largest, the cursor of the list.';
COMMENT ON COLUMN activity_stream.occurred_at IS 'When it happened, by the database clock.';
COMMENT ON COLUMN activity_stream.user_id IS 'Who did it; NULL for the system and for strangers.';
COMMENT ON COLUMN activity_stream.api_key_id IS 'API key it was done with, if any.';
COMMENT ON COLUMN activity_stream.action IS 'What was done, such as card.move, or the permission that was refused.';
COMMENT ON COLUMN activity_stream.outcome IS 'success or denied.';
COMMENT ON COLUMN activity_stream.target_type IS 'Kind of the thing it was done to.';
COMMENT ON COLUMN activity_stream.target_id IS 'Id of the thing it was done to.';
COMMENT ON COLUMN activity_stream.before IS 'The fields as they were, secrets left out.';
COMMENT ON COLUMN activity_stream.after IS 'The fields as they are, secrets left out.';
COMMENT ON COLUMN activity_stream.request_id IS 'Request that did it; the same as in the log and in the answer.';
COMMENT ON COLUMN activity_stream.ip IS 'Address that the request came from.';
CREATE INDEX activity_stream_target_idx ON activity_stream (domain_id, target_id, id);
CREATE INDEX activity_stream_user_idx ON activity_stream (domain_id, user_id, id);
CREATE INDEX activity_stream_action_idx ON activity_stream (domain_id, action, id);
CREATE INDEX activity_stream_denied_idx ON activity_stream (domain_id, id) WHERE outcome = 'denied';
CREATE TABLE activity_stream_default PARTITION OF activity_stream DEFAULT;
COMMENT ON TABLE activity_stream_default IS 'Rows for which no partition was made. Never addressed by name.';

ALTER TABLE activity_stream ENABLE ROW LEVEL SECURITY;
ALTER TABLE activity_stream FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON activity_stream TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON activity_stream TO plinth_system USING (true) WITH CHECK (true);
-- Grants and policies stand on the parent alone; the partition itself is closed.
ALTER TABLE activity_stream_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE activity_stream_default FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON activity_stream TO plinth_app;
GRANT SELECT, INSERT, DELETE ON activity_stream TO plinth_system;
