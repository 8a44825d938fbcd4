-- Roles, their permissions, and who has them where. The scope columns point at the work tables, which come next.

CREATE TABLE roles (
    domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    name_key text NOT NULL CHECK (name_key = lower(name_key)),
    description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 2000),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT roles_name_key UNIQUE (domain_id, name_key)
);
COMMENT ON TABLE roles IS 'A named set of permissions. The four system roles stand once, in the platform domain, and are immutable.';
COMMENT ON COLUMN roles.domain_id IS 'Domain that the row belongs to; the platform domain for system roles.';
COMMENT ON COLUMN roles.id IS 'UUIDv7; fixed for system roles.';
COMMENT ON COLUMN roles.name IS 'Name shown to people.';
COMMENT ON COLUMN roles.name_key IS 'The name in lower case; unique within the domain.';
COMMENT ON COLUMN roles.description IS 'What the role is for.';
COMMENT ON COLUMN roles.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN roles.created_at IS 'When the row was made.';
COMMENT ON COLUMN roles.updated_at IS 'When the row last changed.';

CREATE TABLE role_permissions (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    role_id uuid NOT NULL,
    permission text NOT NULL REFERENCES permissions (name),
    PRIMARY KEY (domain_id, role_id, permission),
    FOREIGN KEY (domain_id, role_id) REFERENCES roles (domain_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE role_permissions IS 'Which permissions a role gives.';
COMMENT ON COLUMN role_permissions.domain_id IS 'Domain of the role.';
COMMENT ON COLUMN role_permissions.role_id IS 'Role that gives the permission.';
COMMENT ON COLUMN role_permissions.permission IS 'Permission that is given.';
CREATE INDEX role_permissions_permission_idx ON role_permissions (permission);

-- System roles are readable by every domain, and written by none, the platform domain included; a domain writes its own.
ALTER TABLE roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON roles TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) AND domain_id <> platform_domain_id())
    WITH CHECK (domain_id = (SELECT current_domain_id()) AND domain_id <> platform_domain_id());
CREATE POLICY shared ON roles FOR SELECT TO plinth_app
    USING (domain_id = platform_domain_id() AND (SELECT current_domain_id()) IS NOT NULL);
CREATE POLICY system ON roles TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (name, name_key, description, version, updated_at), DELETE ON roles TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON roles TO plinth_system;

ALTER TABLE role_permissions ENABLE ROW LEVEL SECURITY;
ALTER TABLE role_permissions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON role_permissions TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) AND domain_id <> platform_domain_id())
    WITH CHECK (domain_id = (SELECT current_domain_id()) AND domain_id <> platform_domain_id());
CREATE POLICY shared ON role_permissions FOR SELECT TO plinth_app
    USING (domain_id = platform_domain_id() AND (SELECT current_domain_id()) IS NOT NULL);
CREATE POLICY system ON role_permissions TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON role_permissions TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON role_permissions TO plinth_system;

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
