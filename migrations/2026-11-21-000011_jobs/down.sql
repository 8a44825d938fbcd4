-- lint: allow(require-concurrent-index-deletion) because no release has the table yet
DROP INDEX user_roles_expires_idx;
DROP FUNCTION enter_job(uuid, uuid, uuid, integer, integer);
