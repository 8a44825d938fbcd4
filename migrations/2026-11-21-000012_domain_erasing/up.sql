-- A domain that is being erased is shut for good: nobody resumes it half empty.
-- lint: allow(ban-drop-constraint) because a wider one takes its place in the same statement
ALTER TABLE domains
    DROP CONSTRAINT domains_status_check,
    ADD CONSTRAINT domains_status_check CHECK (status IN ('active', 'suspended', 'erasing')) NOT VALID;
-- lint: allow(constraint-missing-not-valid) because there are few domains to read
ALTER TABLE domains VALIDATE CONSTRAINT domains_status_check;
COMMENT ON COLUMN domains.status IS 'active; suspended: nobody of the domain can sign in or use a credential; erasing: the same, while plinth-ops erases it, and nobody can resume it.';
