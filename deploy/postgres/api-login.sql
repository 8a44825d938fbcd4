-- The login of the API: no more than a name and a password. What it may do comes from the role plinth_app, which the server
-- grants it at start. Run as the owner, with psql: -v login=plinth_api -v password=…

CREATE ROLE :"login" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
-- Session settings do not survive PgBouncer; the login's own do.
ALTER ROLE :"login" SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE :"login" SET log_parameter_max_length_on_error = 0;

-- Nobody else's logins on this server.
REVOKE CONNECT, TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO :"login";
