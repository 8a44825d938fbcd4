#!/usr/bin/env bash
# Runs once, when the bundled PostgreSQL makes its cluster: creates the login of the API.
set -euo pipefail

# The statement holds the password: it is not logged, not even when it fails or is slow.
export PGOPTIONS='-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic'
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set login plinth_api
\set password `cat /run/secrets/api_password`
\i /usr/local/share/plinth/api-login.sql
SQL
