DROP FUNCTION platform_domain_id();
DROP FUNCTION current_api_key_id();
DROP FUNCTION current_session_id();
DROP FUNCTION current_user_id();
DROP FUNCTION current_domain_id();
REVOKE USAGE, CREATE ON SCHEMA public FROM plinth_system;
REVOKE USAGE ON SCHEMA public FROM plinth_app;
-- Roles and extensions stay: other databases of the server, or other schemas of this one, may use them.
