-- What belongs to the installation: domains, their host names, the setup state, the permission catalogue.

CREATE TABLE domains (
    id uuid PRIMARY KEY,
    slug text NOT NULL CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'erasing')),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT domains_slug_key UNIQUE (slug)
);
COMMENT ON TABLE domains IS 'A tenant. Every row of tenant data carries the id of its domain.';
COMMENT ON COLUMN domains.id IS 'UUIDv7; platform_domain_id() for the installation itself.';
COMMENT ON COLUMN domains.slug IS 'Short name used at sign-in; lower-case letters, digits and hyphens, 1 to 63.';
COMMENT ON COLUMN domains.name IS 'Name shown to people.';
COMMENT ON COLUMN domains.status IS 'active; suspended: nobody of the domain can sign in or use a credential; erasing: the same, while plinth-ops erases it, and nobody can resume it.';
COMMENT ON COLUMN domains.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN domains.created_at IS 'When the row was made.';
COMMENT ON COLUMN domains.updated_at IS 'When the row last changed.';

-- A domain sees itself; the platform domain sees all of them.
ALTER TABLE domains ENABLE ROW LEVEL SECURITY;
ALTER TABLE domains FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON domains TO plinth_app
    USING (id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id())
    WITH CHECK ((SELECT current_domain_id()) = platform_domain_id());
CREATE POLICY system ON domains TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (slug, name, status, version, updated_at) ON domains TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON domains TO plinth_system;

CREATE TABLE domain_hosts (
    domain_id uuid NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    host text NOT NULL CHECK (host = lower(host) AND char_length(host) BETWEEN 1 AND 253),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, host),
    -- The one key that cannot start with domain_id: a host name belongs to one domain of the installation.
    CONSTRAINT domain_hosts_host_key UNIQUE (host)
);
COMMENT ON TABLE domain_hosts IS 'Host names under which a domain is reached; the one that was called decides the domain at sign-in.';
COMMENT ON COLUMN domain_hosts.domain_id IS 'Domain that the host name leads to.';
COMMENT ON COLUMN domain_hosts.host IS 'Host name in lower case, without a port.';
COMMENT ON COLUMN domain_hosts.created_at IS 'When the row was made.';

ALTER TABLE domain_hosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE domain_hosts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON domain_hosts TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id())
    WITH CHECK ((SELECT current_domain_id()) = platform_domain_id());
CREATE POLICY system ON domain_hosts TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON domain_hosts TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON domain_hosts TO plinth_system;

CREATE TABLE installation (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    set_up_at timestamptz NOT NULL DEFAULT now(),
    set_up_by text NOT NULL,
    key_fingerprints text[] NOT NULL,
    plinth_version text NOT NULL
);
COMMENT ON TABLE installation IS 'One row once the installation is set up; that it exists is what "initialized" means.';
COMMENT ON COLUMN installation.singleton IS 'Always true: keeps the table at one row and lets one of many setups win.';
COMMENT ON COLUMN installation.set_up_at IS 'When setup finished.';
COMMENT ON COLUMN installation.set_up_by IS 'Which road made it: api, ops, environment.';
COMMENT ON COLUMN installation.key_fingerprints IS 'Fingerprints of the encryption keys that data may be encrypted with; a server without them does not start.';
COMMENT ON COLUMN installation.plinth_version IS 'Version of Plinth that set the installation up.';

CREATE TABLE installation_secrets (
    name text NOT NULL,
    id integer NOT NULL CHECK (id > 0),
    key_id text NOT NULL,
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, id)
);
COMMENT ON TABLE installation_secrets IS 'Secrets the installation made for itself, such as the password pepper, encrypted under the keyring.';
COMMENT ON COLUMN installation_secrets.name IS 'What the secret is for, such as password_pepper.';
COMMENT ON COLUMN installation_secrets.id IS 'Counts the generations of the secret; newest is in use, older ones verify what they made.';
COMMENT ON COLUMN installation_secrets.key_id IS 'Encryption key that the ciphertext needs.';
COMMENT ON COLUMN installation_secrets.ciphertext IS 'PGP_SYM_ENCRYPT under a key derived for this row.';
COMMENT ON COLUMN installation_secrets.created_at IS 'When the row was made.';

CREATE TABLE permissions (
    name text PRIMARY KEY CHECK (name ~ '^[a-z_]+:[a-z_]+$'),
    description text NOT NULL,
    platform boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE permissions IS 'The catalogue of rights, as the code has it; written by the seeder.';
COMMENT ON COLUMN permissions.name IS 'resource:action, such as card:read.';
COMMENT ON COLUMN permissions.description IS 'What the right allows, for people.';
COMMENT ON COLUMN permissions.platform IS 'Whether the right takes effect in the platform domain only.';

GRANT SELECT ON installation, permissions TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON installation, installation_secrets, permissions TO plinth_system;
