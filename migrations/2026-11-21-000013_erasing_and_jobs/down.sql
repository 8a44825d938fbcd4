CREATE OR REPLACE FUNCTION enter_job(p_domain uuid, p_job uuid, p_worker uuid, p_attempt integer, p_timeout_ms integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_domain uuid;
    v_context text;
BEGIN
    SELECT j.domain_id INTO v_domain FROM queue_jobs j
     WHERE j.domain_id = p_domain AND j.id = p_job AND j.worker_id = p_worker AND j.attempt = p_attempt;
    IF v_domain IS NULL THEN
        PERFORM refuse(409, 'the lease on the job has ended');
    END IF;
    v_context := set_context(v_domain, NULL, NULL, NULL, true, p_timeout_ms);
END
$$;
COMMENT ON FUNCTION enter_job(uuid, uuid, uuid, integer, integer) IS
    'Sets the context of a running job: its domain, and nobody as the user. Raises PL409 when the lease (worker, attempt) has ended.';
