-- verify: changes domains because a domain that is being erased stays shut under the status that there was before
SET LOCAL ROLE plinth_system;
SET LOCAL row_security = on;
UPDATE domains SET status = 'suspended' WHERE status = 'erasing';
SET LOCAL row_security = off;
RESET ROLE;
ALTER TABLE domains
    DROP CONSTRAINT domains_status_check,
    ADD CONSTRAINT domains_status_check CHECK (status IN ('active', 'suspended')) NOT VALID;
-- lint: allow(constraint-missing-not-valid) because there are few domains to read
ALTER TABLE domains VALIDATE CONSTRAINT domains_status_check;
COMMENT ON COLUMN domains.status IS 'active, or suspended: nobody of the domain can sign in or use a credential.';
