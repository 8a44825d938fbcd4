-- The functions that say in whose name a transaction runs. Rules: docs/TENANCY.md.
-- The roles plinth_app and plinth_system are the server's, and no part of a schema: the first migration makes them.

CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO plinth_app;
-- CREATE because a function can only be given to a role that may create functions; plinth_system cannot log in.
GRANT USAGE, CREATE ON SCHEMA public TO plinth_system;

-- STABLE, never IMMUTABLE: a prepared statement would keep the first tenant for ever.
-- '' counts as unset: that is what current_setting gives after a transaction that set the value locally.
CREATE FUNCTION current_domain_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('plinth.domain_id', true), '')::uuid;
COMMENT ON FUNCTION current_domain_id() IS 'Domain this transaction acts in, or NULL outside of one. The ways in set it; whoever may send SQL of their own as the app role could set it too.';

CREATE FUNCTION current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('plinth.user_id', true), '')::uuid;
COMMENT ON FUNCTION current_user_id() IS 'User this transaction acts for, or NULL for the system.';

CREATE FUNCTION current_session_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('plinth.session_id', true), '')::uuid;
COMMENT ON FUNCTION current_session_id() IS 'Session whose token was presented, or NULL.';

CREATE FUNCTION current_api_key_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('plinth.api_key_id', true), '')::uuid;
COMMENT ON FUNCTION current_api_key_id() IS 'API key that was presented, or NULL.';

CREATE FUNCTION platform_domain_id() RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '00000000-0000-7000-8000-000000000000'::uuid;
COMMENT ON FUNCTION platform_domain_id() IS 'The reserved domain of the installation itself: operators, system roles.';
