SET LOCAL row_security = on;

CREATE OR REPLACE FUNCTION enter(
    p_session_hash bytea, p_key_domain uuid, p_key_id uuid, p_key_version integer,
    p_permission text, p_target_type text, p_target uuid, p_timeout_ms integer
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_domain uuid;
    v_user uuid;
    v_session uuid;
    v_limit text[];
    v_domain_wide boolean;
    v_organization uuid;
    v_project uuid;
BEGIN
    -- Credential and domain-wide permission in one query: the common case ends here.
    IF p_session_hash IS NOT NULL THEN
        SELECT s.domain_id, s.user_id, s.id,
               p_permission IS NULL OR EXISTS (
                   SELECT FROM user_roles ur
                   JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                   WHERE ur.domain_id = s.domain_id AND ur.user_id = s.user_id AND rp.permission = p_permission
                     AND ur.organization_id IS NULL AND ur.project_id IS NULL
                     AND (ur.expires_at IS NULL OR ur.expires_at > now()))
          INTO v_domain, v_user, v_session, v_domain_wide
          FROM sessions s
          JOIN users u ON u.domain_id = s.domain_id AND u.id = s.user_id
          JOIN domains d ON d.id = s.domain_id
         WHERE s.token_hash = p_session_hash AND s.revoked_at IS NULL AND s.expires_at > now()
           AND s.last_used_at + make_interval(secs => s.idle_seconds) > now()
           AND u.status = 'active' AND d.status = 'active';
    ELSE
        SELECT k.domain_id, k.user_id, k.permissions,
               p_permission IS NULL OR EXISTS (
                   SELECT FROM user_roles ur
                   JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                   WHERE ur.domain_id = k.domain_id AND ur.user_id = k.user_id AND rp.permission = p_permission
                     AND ur.organization_id IS NULL AND ur.project_id IS NULL
                     AND (ur.expires_at IS NULL OR ur.expires_at > now()))
          INTO v_domain, v_user, v_limit, v_domain_wide
          FROM api_keys k
          JOIN users u ON u.domain_id = k.domain_id AND u.id = k.user_id
          JOIN domains d ON d.id = k.domain_id
         WHERE k.domain_id = p_key_domain AND k.id = p_key_id AND k.version = p_key_version AND k.revoked_at IS NULL
           AND (k.expires_at IS NULL OR k.expires_at > now())
           AND u.status = 'active' AND d.status = 'active';
    END IF;
    IF v_domain IS NULL THEN
        PERFORM refuse(401, 'the credential is unknown, expired or revoked');
    END IF;
    IF v_limit IS NOT NULL AND p_permission IS NOT NULL AND NOT p_permission = ANY (v_limit) THEN
        PERFORM refuse(403, 'the API key is limited to other permissions');
    END IF;
    IF p_target_type = 'platform' AND v_domain <> platform_domain_id() THEN
        PERFORM refuse(403, 'only platform operators may do this');
    END IF;

    IF NOT v_domain_wide THEN
        -- A role limited to an organization or a project may allow it still.
        IF p_target_type IS NULL OR p_target_type IN ('platform', 'domain') THEN
            PERFORM refuse(403, 'the permission ' || p_permission || ' is missing');
        END IF;
        IF p_target_type <> 'anywhere' THEN
            SELECT t.organization_id, t.project_id INTO v_organization, v_project
              FROM target_scope(v_domain, p_target_type, p_target) t;
        END IF;
        IF NOT EXISTS (
            SELECT FROM user_roles ur
            JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
            WHERE ur.domain_id = v_domain AND ur.user_id = v_user AND rp.permission = p_permission
              AND (ur.organization_id IS NOT NULL OR ur.project_id IS NOT NULL)
              AND (ur.expires_at IS NULL OR ur.expires_at > now())
              -- Without a target the permission counts wherever it is held: the refusal below then says 404, not 403.
              AND (v_organization IS NULL OR ur.organization_id = v_organization OR ur.project_id = v_project)
        ) THEN
            PERFORM refuse(403, 'the permission ' || p_permission || ' is missing');
        ELSIF p_target_type <> 'anywhere' AND v_organization IS NULL THEN
            PERFORM refuse(404, 'there is no such ' || p_target_type);
        END IF;
    END IF;

    PERFORM set_context(v_domain, v_user, v_session, CASE WHEN p_session_hash IS NULL THEN p_key_id END,
                        v_domain_wide, p_timeout_ms);
END
$$;

DROP FUNCTION set_context(uuid, uuid, uuid, uuid, boolean, integer);
CREATE FUNCTION set_context(p_domain uuid, p_user uuid, p_session uuid, p_key uuid, p_domain_wide boolean, p_timeout_ms integer)
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    -- The one place that sets who a transaction acts for (and what a deployment on Citus would change).
    PERFORM set_config('plinth.domain_id', p_domain::text, true),
            set_config('plinth.user_id', coalesce(p_user::text, ''), true),
            set_config('plinth.session_id', coalesce(p_session::text, ''), true),
            set_config('plinth.api_key_id', coalesce(p_key::text, ''), true),
            set_config('plinth.domain_wide', CASE WHEN p_domain_wide THEN 'on' ELSE 'off' END, true),
            set_config('statement_timeout', p_timeout_ms::text, true);
END
$$;
COMMENT ON FUNCTION set_context(uuid, uuid, uuid, uuid, boolean, integer) IS 'Says for this transaction in whose name it acts and how long a statement may take (milliseconds).';
REVOKE ALL ON FUNCTION set_context(uuid, uuid, uuid, uuid, boolean, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION set_context(uuid, uuid, uuid, uuid, boolean, integer) TO plinth_system;
