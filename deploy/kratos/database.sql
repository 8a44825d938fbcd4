-- Kratos' own login and database beside Plinth's, for development. May run again and again.
SELECT 'CREATE ROLE kratos LOGIN PASSWORD ''kratos'''
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kratos') \gexec
SELECT 'CREATE DATABASE kratos OWNER kratos'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'kratos') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE kratos FROM PUBLIC;
