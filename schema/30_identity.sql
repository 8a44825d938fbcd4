-- Who may come in: accounts, sessions, API keys.
-- The app role never reads a hash: columns are granted one by one, and enter() and authenticate() compare.

CREATE TABLE users (
    domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id),
    id uuid NOT NULL,
    email text NOT NULL CHECK (email = lower(email) AND char_length(email) BETWEEN 3 AND 254),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'deactivated')),
    -- $2a$ with a cost of 10 or more: pgcrypto's own default is 6.
    password_hash text CHECK (password_hash ~ '^\$2[aby]\$1[0-9]\$'),
    pepper_id integer,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CONSTRAINT users_email_key UNIQUE (domain_id, email),
    CHECK ((password_hash IS NULL) = (pepper_id IS NULL))
);
COMMENT ON TABLE users IS 'An account inside one domain. Deactivated and perhaps anonymised, never deleted.';
COMMENT ON COLUMN users.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN users.id IS 'UUIDv7.';
COMMENT ON COLUMN users.email IS 'E-mail address in lower case; unique within the domain.';
COMMENT ON COLUMN users.name IS 'Name shown to people.';
COMMENT ON COLUMN users.status IS 'active, or deactivated: no credential of the account works.';
COMMENT ON COLUMN users.password_hash IS 'crypt() over an HMAC of the password under the pepper; NULL when the account has no password.';
COMMENT ON COLUMN users.pepper_id IS 'Generation of the pepper that password_hash was made with.';
COMMENT ON COLUMN users.version IS 'Counts changes; the ETag of the resource.';
COMMENT ON COLUMN users.created_at IS 'When the row was made.';
COMMENT ON COLUMN users.updated_at IS 'When the row last changed.';

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON users TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON users TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT (domain_id, id, email, name, status, version, created_at, updated_at),
      INSERT (domain_id, id, email, name, password_hash, pepper_id),
      UPDATE (email, name, status, password_hash, pepper_id, version, updated_at)
    ON users TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users TO plinth_system;

CREATE TABLE sessions (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    ip inet,
    user_agent text CHECK (char_length(user_agent) <= 500),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    idle_seconds integer NOT NULL CHECK (idle_seconds > 0),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (domain_id, id),
    FOREIGN KEY (domain_id, user_id) REFERENCES users (domain_id, id)
);
COMMENT ON TABLE sessions IS 'A sign-in. Only the SHA-256 of its 256-bit token is stored.';
COMMENT ON COLUMN sessions.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN sessions.id IS 'UUIDv7.';
COMMENT ON COLUMN sessions.user_id IS 'Who signed in.';
COMMENT ON COLUMN sessions.token_hash IS 'SHA-256 of the token in the cookie.';
COMMENT ON COLUMN sessions.ip IS 'Address from which the sign-in came.';
COMMENT ON COLUMN sessions.user_agent IS 'Browser or client, as it called itself.';
COMMENT ON COLUMN sessions.created_at IS 'When the sign-in happened.';
COMMENT ON COLUMN sessions.last_used_at IS 'Last use, to the minute.';
COMMENT ON COLUMN sessions.idle_seconds IS 'The session ends when it is unused for so long.';
COMMENT ON COLUMN sessions.expires_at IS 'The session ends at this time, used or not.';
COMMENT ON COLUMN sessions.revoked_at IS 'When it was ended by hand.';
-- Not unique: every unique key starts with domain_id, and 256 random bits do not meet twice.
CREATE INDEX sessions_token_hash_idx ON sessions (token_hash);
CREATE INDEX sessions_user_idx ON sessions (domain_id, user_id, id);

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sessions TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON sessions TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT (domain_id, id, user_id, ip, user_agent, created_at, last_used_at, idle_seconds, expires_at, revoked_at),
      INSERT (domain_id, id, user_id, token_hash, ip, user_agent, idle_seconds, expires_at),
      UPDATE (last_used_at, revoked_at)
    ON sessions TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO plinth_system;

CREATE TABLE api_keys (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    secret_hash text NOT NULL CHECK (secret_hash LIKE '$2a$%'),
    last_four text NOT NULL CHECK (char_length(last_four) = 4),
    permissions text[],
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (domain_id, id),
    FOREIGN KEY (domain_id, user_id) REFERENCES users (domain_id, id)
);
COMMENT ON TABLE api_keys IS 'A key for programs. It acts as its user, with all or some of the user''s permissions.';
COMMENT ON COLUMN api_keys.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN api_keys.id IS 'UUIDv7; part of the key, so that it is found without trying hashes.';
COMMENT ON COLUMN api_keys.user_id IS 'User that the key acts as.';
COMMENT ON COLUMN api_keys.name IS 'What the key is for, for people.';
COMMENT ON COLUMN api_keys.secret_hash IS 'crypt() of the secret part. A low cost is right: the secret has 178 random bits.';
COMMENT ON COLUMN api_keys.last_four IS 'Last four characters, to recognise the key by.';
COMMENT ON COLUMN api_keys.permissions IS 'The permissions the key is limited to; NULL for all of its user''s.';
COMMENT ON COLUMN api_keys.version IS 'Counts what a cached verification does not outlive, such as revocation; a new name is no such thing.';
COMMENT ON COLUMN api_keys.created_at IS 'When the row was made.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Last use, to the minute.';
COMMENT ON COLUMN api_keys.expires_at IS 'When the key ends by itself; NULL for never.';
COMMENT ON COLUMN api_keys.revoked_at IS 'When it was ended by hand.';
CREATE INDEX api_keys_user_idx ON api_keys (domain_id, user_id, id);
CREATE INDEX api_keys_id_idx ON api_keys (id);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON api_keys TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT (domain_id, id, user_id, name, last_four, permissions, version, created_at, last_used_at, expires_at, revoked_at),
      INSERT (domain_id, id, user_id, name, secret_hash, last_four, permissions, expires_at),
      UPDATE (name, version, last_used_at, revoked_at)
    ON api_keys TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO plinth_system;
