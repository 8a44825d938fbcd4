-- The ways into a domain. Each is SECURITY DEFINER, owned by plinth_system, with a pinned search_path, and takes the
-- domain from a stored row. enter() raises for every refusal: the statement and the COMMIT are already on their way behind it.
-- The refusal is named by its SQLSTATE and, for clients that cannot see that, by the error's constraint name.

CREATE FUNCTION refuse(p_status integer, p_reason text) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PL' || p_status::text,
        MESSAGE = p_reason,
        CONSTRAINT = 'plinth_refused_' || p_status::text;
END
$$;
COMMENT ON FUNCTION refuse(integer, text) IS 'Raises SQLSTATE PL401, PL403 or PL404 and names it in the constraint field too.';

-- Volatile, one expression, each argument used once: what an SQL function must be to be inlined.
CREATE FUNCTION set_context(p_domain uuid, p_user uuid, p_session uuid, p_key uuid, p_domain_wide boolean, p_timeout_ms integer)
    RETURNS text
    LANGUAGE sql VOLATILE
    -- The one place that sets who a transaction acts for (and what a deployment on Citus would change).
    RETURN concat(
        set_config('plinth.domain_id', p_domain::text, true),
        set_config('plinth.user_id', coalesce(p_user::text, ''), true),
        set_config('plinth.session_id', coalesce(p_session::text, ''), true),
        set_config('plinth.api_key_id', coalesce(p_key::text, ''), true),
        set_config('plinth.domain_wide', CASE WHEN p_domain_wide THEN 'on' ELSE 'off' END, true),
        set_config('statement_timeout', p_timeout_ms::text, true));
COMMENT ON FUNCTION set_context(uuid, uuid, uuid, uuid, boolean, integer) IS 'Says for this transaction in whose name it acts and how long a statement may take (milliseconds).';

-- Organization and project that a target belongs to; no row when there is no such target in the domain.
CREATE FUNCTION target_scope(p_domain uuid, p_target_type text, p_target uuid)
    RETURNS TABLE (organization_id uuid, project_id uuid)
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    CASE p_target_type
        WHEN 'organization' THEN
            RETURN QUERY SELECT o.id, NULL::uuid FROM organizations o WHERE o.domain_id = p_domain AND o.id = p_target;
        WHEN 'project' THEN
            RETURN QUERY SELECT p.organization_id, p.id FROM projects p WHERE p.domain_id = p_domain AND p.id = p_target;
        WHEN 'board' THEN
            RETURN QUERY SELECT p.organization_id, p.id FROM boards b
                JOIN projects p ON p.domain_id = b.domain_id AND p.id = b.project_id
                WHERE b.domain_id = p_domain AND b.id = p_target;
        WHEN 'column' THEN
            RETURN QUERY SELECT p.organization_id, p.id FROM board_columns c
                JOIN projects p ON p.domain_id = c.domain_id AND p.id = c.project_id
                WHERE c.domain_id = p_domain AND c.id = p_target;
        WHEN 'card' THEN
            RETURN QUERY SELECT p.organization_id, p.id FROM cards c
                JOIN projects p ON p.domain_id = c.domain_id AND p.id = c.project_id
                WHERE c.domain_id = p_domain AND c.id = p_target;
        WHEN 'tag' THEN
            RETURN QUERY SELECT p.organization_id, p.id FROM tags t
                JOIN projects p ON p.domain_id = t.domain_id AND p.id = t.project_id
                WHERE t.domain_id = p_domain AND t.id = p_target;
        ELSE
            RAISE EXCEPTION 'unknown target type %', p_target_type;
    END CASE;
END
$$;
COMMENT ON FUNCTION target_scope(uuid, text, uuid) IS 'Organization and project of an organization, project, board, column, card or tag.';

CREATE FUNCTION enter(
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
    v_context text;
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

    -- An assignment, not PERFORM: the inlined expression then runs without a query of its own.
    v_context := set_context(v_domain, v_user, v_session, CASE WHEN p_session_hash IS NULL THEN p_key_id END,
                             v_domain_wide, p_timeout_ms);
END
$$;
COMMENT ON FUNCTION enter(bytea, uuid, uuid, integer, text, text, uuid, integer) IS
    'Checks a session (SHA-256 of its token) or a verified API key (domain, id, version), and a permission at a target; sets the context, or raises PL401, PL403 or PL404.';

-- Host name, else slug, else the only domain there is: which domain somebody means to sign in to.
CREATE FUNCTION sign_in_domain(p_host text, p_slug text) RETURNS uuid
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_domain uuid;
BEGIN
    SELECT h.domain_id INTO v_domain FROM domain_hosts h WHERE h.host = p_host;
    IF v_domain IS NULL AND p_slug IS NOT NULL THEN
        SELECT d.id INTO v_domain FROM domains d WHERE d.slug = p_slug;
    ELSIF v_domain IS NULL THEN
        SELECT min(d.id::text)::uuid INTO v_domain FROM domains d WHERE d.id <> platform_domain_id() HAVING count(*) = 1;
    END IF;
    RETURN v_domain;
END
$$;
COMMENT ON FUNCTION sign_in_domain(text, text) IS 'Domain that a host name or a slug leads to, or NULL.';

-- A refused sign-in is noted too, by nobody, in the domain that was meant or else in the installation's.
CREATE FUNCTION enter_for_refusal(p_host text, p_slug text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM set_context(coalesce(sign_in_domain(p_host, p_slug), platform_domain_id()), NULL, NULL, NULL, false, 5000);
END
$$;
COMMENT ON FUNCTION enter_for_refusal(text, text) IS 'Sets the context in which a refused sign-in is written to the activity stream.';

CREATE FUNCTION authenticate(
    p_host text, p_slug text, p_email text, p_pepper_ids integer[], p_proofs text[], p_cost integer, p_timeout_ms integer
) RETURNS TABLE (domain_id uuid, user_id uuid, email text, name text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_domain uuid;
    v_user users%ROWTYPE;
    v_hash text;
    v_proof text;
BEGIN
    v_domain := sign_in_domain(p_host, p_slug);
    SELECT u.* INTO v_user FROM users u JOIN domains d ON d.id = u.domain_id
     WHERE u.domain_id = v_domain AND u.email = p_email AND u.status = 'active' AND d.status = 'active'
       -- Who changes the password or deactivates the account waits for this sign-in, and then sees its session to end it.
       FOR SHARE OF u;
    v_hash := v_user.password_hash;
    v_proof := p_proofs[array_position(p_pepper_ids, v_user.pepper_id)];
    IF v_hash IS NULL OR v_proof IS NULL THEN
        -- The same work for an account that is not there, so that the time does not tell.
        PERFORM crypt(coalesce(v_proof, p_proofs[1]), gen_salt('bf', p_cost));
        RETURN;
    END IF;
    IF crypt(v_proof, v_hash) <> v_hash THEN
        RETURN;
    END IF;
    PERFORM set_context(v_domain, v_user.id, NULL, NULL, false, p_timeout_ms);
    RETURN QUERY SELECT v_domain, v_user.id, v_user.email, v_user.name;
END
$$;
COMMENT ON FUNCTION authenticate(text, text, text, integer[], text[], integer, integer) IS
    'Sign-in: finds the domain and the account, compares the password proof, sets the context; no row when anything does not fit.';

CREATE FUNCTION verify_own_password(p_pepper_ids integer[], p_proofs text[]) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    RETURN coalesce((
        SELECT crypt(p_proofs[array_position(p_pepper_ids, u.pepper_id)], u.password_hash) = u.password_hash
          FROM users u WHERE u.domain_id = current_domain_id() AND u.id = current_user_id()), false);
COMMENT ON FUNCTION verify_own_password(integer[], text[]) IS 'Whether the proof fits the password of the user that the transaction acts for.';

CREATE FUNCTION verify_api_key(p_id uuid, p_proof text) RETURNS TABLE (domain_id uuid, version integer)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT k.domain_id, k.version FROM api_keys k
     WHERE k.id = p_id AND k.revoked_at IS NULL AND crypt(p_proof, k.secret_hash) = k.secret_hash;
END;
COMMENT ON FUNCTION verify_api_key(uuid, text) IS 'Domain and version of the API key that the proof fits; no row otherwise.';

-- What the acting user may do at a scope; the ceiling of what they may give to others.
CREATE FUNCTION held_permissions(p_organization uuid, p_project uuid) RETURNS SETOF text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT rp.permission
      FROM user_roles ur
      JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
     WHERE ur.domain_id = current_domain_id() AND ur.user_id = current_user_id()
       AND (ur.expires_at IS NULL OR ur.expires_at > now())
       AND ((ur.organization_id IS NULL AND ur.project_id IS NULL)
            OR ur.organization_id = p_organization
            OR ur.project_id = p_project
            OR ur.organization_id = (SELECT p.organization_id FROM projects p
                                      WHERE p.domain_id = current_domain_id() AND p.id = p_project))
       AND (current_api_key_id() IS NULL
            OR EXISTS (SELECT FROM api_keys k
                        WHERE k.domain_id = current_domain_id() AND k.id = current_api_key_id()
                          AND (k.permissions IS NULL OR rp.permission = ANY (k.permissions))));
END;
COMMENT ON FUNCTION held_permissions(uuid, uuid) IS 'Permissions that the acting user, within the limits of the API key used, holds for an organization, a project, or (both NULL) the domain.';

-- Making a domain writes rows of another domain, which no policy allows the API: the one door for it.
CREATE FUNCTION domain_create(
    p_id uuid, p_slug text, p_name text,
    p_admin_id uuid, p_admin_email text, p_admin_name text, p_admin_proof text, p_pepper_id integer, p_cost integer,
    p_assignment_id uuid, p_activity_id uuid, p_admin_role uuid
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_domain_id() IS DISTINCT FROM platform_domain_id() THEN
        PERFORM refuse(403, 'only platform operators may do this');
    END IF;
    INSERT INTO domains (id, slug, name) VALUES (p_id, p_slug, p_name);
    INSERT INTO users (domain_id, id, email, name, password_hash, pepper_id)
        VALUES (p_id, p_admin_id, p_admin_email, p_admin_name, crypt(p_admin_proof, gen_salt('bf', p_cost)), p_pepper_id);
    INSERT INTO user_roles (domain_id, id, user_id, role_domain_id, role_id, granted_by)
        VALUES (p_id, p_assignment_id, p_admin_id, platform_domain_id(), p_admin_role, NULL);
    INSERT INTO activity_stream (domain_id, id, user_id, api_key_id, action, target_type, target_id, after)
        VALUES (p_id, p_activity_id, NULL, NULL, 'domain.create', 'domain', p_id,
                jsonb_build_object('slug', p_slug, 'name', p_name, 'admin', p_admin_email));
END
$$;
COMMENT ON FUNCTION domain_create(uuid, text, text, uuid, text, text, text, integer, integer, uuid, uuid, uuid) IS
    'Makes a domain with its first Admin; from the platform domain only.';

REVOKE ALL ON FUNCTION
    refuse(integer, text), set_context(uuid, uuid, uuid, uuid, boolean, integer), target_scope(uuid, text, uuid),
    sign_in_domain(text, text), enter(bytea, uuid, uuid, integer, text, text, uuid, integer),
    authenticate(text, text, text, integer[], text[], integer, integer), enter_for_refusal(text, text),
    verify_own_password(integer[], text[]), verify_api_key(uuid, text), held_permissions(uuid, uuid),
    domain_create(uuid, text, text, uuid, text, text, text, integer, integer, uuid, uuid, uuid)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    enter(bytea, uuid, uuid, integer, text, text, uuid, integer),
    authenticate(text, text, text, integer[], text[], integer, integer), enter_for_refusal(text, text),
    verify_own_password(integer[], text[]), verify_api_key(uuid, text), held_permissions(uuid, uuid),
    domain_create(uuid, text, text, uuid, text, text, text, integer, integer, uuid, uuid, uuid)
    TO plinth_app, plinth_system;
GRANT EXECUTE ON FUNCTION refuse(integer, text), set_context(uuid, uuid, uuid, uuid, boolean, integer),
    target_scope(uuid, text, uuid), sign_in_domain(text, text) TO plinth_system;

ALTER FUNCTION enter(bytea, uuid, uuid, integer, text, text, uuid, integer) OWNER TO plinth_system;
ALTER FUNCTION authenticate(text, text, text, integer[], text[], integer, integer) OWNER TO plinth_system;
ALTER FUNCTION enter_for_refusal(text, text) OWNER TO plinth_system;
ALTER FUNCTION verify_own_password(integer[], text[]) OWNER TO plinth_system;
ALTER FUNCTION verify_api_key(uuid, text) OWNER TO plinth_system;
ALTER FUNCTION domain_create(uuid, text, text, uuid, text, text, text, integer, integer, uuid, uuid, uuid) OWNER TO plinth_system;
