-- Roles, their permissions, and who has them where.

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

CREATE TABLE user_roles (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    role_domain_id uuid NOT NULL,
    role_id uuid NOT NULL,
    organization_id uuid,
    project_id uuid,
    granted_by uuid DEFAULT current_user_id(),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    FOREIGN KEY (domain_id, user_id) REFERENCES users (domain_id, id),
    FOREIGN KEY (role_domain_id, role_id) REFERENCES roles (domain_id, id),
    FOREIGN KEY (domain_id, organization_id) REFERENCES organizations (domain_id, id) ON DELETE CASCADE,
    FOREIGN KEY (domain_id, project_id) REFERENCES projects (domain_id, id) ON DELETE CASCADE,
    CHECK (role_domain_id = domain_id OR role_domain_id = platform_domain_id()),
    CHECK (organization_id IS NULL OR project_id IS NULL)
);
COMMENT ON TABLE user_roles IS 'A role given to a user, for the domain, one organization or one project, perhaps until a time.';
COMMENT ON COLUMN user_roles.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN user_roles.id IS 'UUIDv7.';
COMMENT ON COLUMN user_roles.user_id IS 'Who has the role.';
COMMENT ON COLUMN user_roles.role_domain_id IS 'Domain of the role: this one, or the platform domain for a system role.';
COMMENT ON COLUMN user_roles.role_id IS 'The role.';
COMMENT ON COLUMN user_roles.organization_id IS 'Organization that it is limited to; at most one of the two scopes is set.';
COMMENT ON COLUMN user_roles.project_id IS 'Project that it is limited to.';
COMMENT ON COLUMN user_roles.granted_by IS 'Who gave it; NULL for the system.';
COMMENT ON COLUMN user_roles.expires_at IS 'When it ends by itself, by the database clock; NULL for never.';
COMMENT ON COLUMN user_roles.created_at IS 'When it was given.';
CREATE UNIQUE INDEX user_roles_domain_key ON user_roles (domain_id, user_id, role_domain_id, role_id)
    WHERE organization_id IS NULL AND project_id IS NULL;
CREATE UNIQUE INDEX user_roles_organization_key ON user_roles (domain_id, organization_id, user_id, role_domain_id, role_id)
    WHERE organization_id IS NOT NULL;
CREATE UNIQUE INDEX user_roles_project_key ON user_roles (domain_id, project_id, user_id, role_domain_id, role_id)
    WHERE project_id IS NOT NULL;
CREATE INDEX user_roles_user_idx ON user_roles (domain_id, user_id, id);
CREATE INDEX user_roles_role_idx ON user_roles (role_domain_id, role_id);
-- For the job that ends assignments.
CREATE INDEX user_roles_expires_idx ON user_roles (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE user_roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON user_roles TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON user_roles TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (expires_at), DELETE ON user_roles TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON user_roles TO plinth_system;
