//! What all databases of a server share: roles with their attributes, memberships and settings, databases, tablespaces, parameters.
//!
//! A scratch database is made on the configured server, so a migration that is only tried there would change this for the live
//! databases beside it. It is noted before and compared after, inside the migration's transaction, which fails on a change.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::kind::{Kind, controls_transaction, kind};
use super::split::split;

/// What a migration may do to what the databases of its server share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerWide {
    /// Change nothing of what was there before it: it is only tried.
    #[default]
    Kept,
    /// Whatever it says: it is meant for this server, or the server is disposable.
    Free,
}

/// The SQLSTATE with which the comparison refuses.
pub const SERVER_WIDE_CHANGED: &str = "PLSRV";

/// How a statement of a file is run where what is shared is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In a transaction.
    Transaction,
    /// By itself: it cannot be in a transaction, or ends transactions.
    Alone,
    /// It begins or ends a transaction.
    Control,
    /// Not at all: it is about the server and cannot be taken back.
    Never,
}

impl Way {
    /// Of one statement.
    #[must_use]
    pub fn of(sql: &str) -> Self {
        let Ok(statements) = split(sql) else {
            return Self::Transaction;
        };
        let Some(statement) = statements.first() else {
            return Self::Transaction;
        };
        let word = |at: usize, words: &[&str]| {
            let token = statement.tokens.get(at);
            token.is_some_and(|token| words.iter().any(|word| token.is(word)))
        };
        if controls_transaction(statement) {
            return Self::Control;
        }
        if word(0, &["ALTER"]) && word(1, &["SYSTEM"])
            || word(0, &["CREATE", "DROP"]) && word(1, &["DATABASE", "TABLESPACE", "SUBSCRIPTION"])
        {
            return Self::Never;
        }
        match kind(statement) {
            Ok(Kind::Outside { .. } | Kind::CreateIndex(_) | Kind::Setting) => Self::Alone,
            _ => Self::Transaction,
        }
    }
}

impl ServerWide {
    /// Begins a transaction. On one snapshot, so that what others change meanwhile is not taken for the migration's.
    #[must_use]
    pub fn begin(self) -> &'static str {
        match self {
            Self::Kept => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Self::Free => "BEGIN",
        }
    }

    /// One statement for the beginning of a transaction: notes what is there. Empty where all is free.
    #[must_use]
    pub fn note(self) -> String {
        self.only(|| block("PERFORM set_config('plinth.server_wide', seen::text, true);"))
    }

    /// For the end of the transaction: an error when anything has changed since [`Self::note`]. Leaves the transaction in the login's
    /// own role.
    #[must_use]
    pub fn check(self) -> String {
        self.only(|| block(&compare("", "it would change")))
    }

    /// As [`Self::note`], for a statement that is in no transaction.
    fn note_alone(self) -> String {
        self.only(|| block("PERFORM set_config('plinth.server_wide', seen::text, false);"))
    }

    /// As [`Self::check`], for a statement that was in no transaction: what it has done is done. What others make or drop
    /// meanwhile does not count.
    fn check_alone(self) -> String {
        self.only(|| {
            let both = "AND (o.what IS NOT NULL AND n.what IS NOT NULL
                 OR coalesce(n.subject, o.subject) IN (SELECT e ->> 0 FROM jsonb_array_elements(seen) e WHERE e ->> 1 LIKE 'role %'))";
            block(&compare(both, "it could not be rolled back, and has changed"))
        })
    }

    fn only(self, sql: impl FnOnce() -> String) -> String {
        match self {
            Self::Kept => sql(),
            Self::Free => String::new(),
        }
    }
}

/// Runs a statement that cannot be in a transaction, or may end transactions, and keeps what is shared. `DO` and `CALL` are tried in a
/// transaction, which can be rolled back; only one that ends it itself is run by `alone`, and looked at when all is done.
///
/// # Errors
/// The statement fails, or changes what is shared.
pub async fn keep(
    client: &Client,
    sql: &str,
    alone: impl AsyncFnOnce() -> Result<(), tokio_postgres::Error>,
) -> Result<(), tokio_postgres::Error> {
    let kept = ServerWide::Kept;
    let words = split(sql).unwrap_or_default();
    let first = words.first().and_then(|statement| statement.tokens.first());
    if first.is_some_and(|word| word.is("DO") || word.is("CALL")) {
        let tried = async {
            let begin = format!("{}; {}", kept.begin(), kept.note());
            client.batch_execute(&begin).await?;
            client.batch_execute(sql).await?;
            client.batch_execute(&format!("{}; COMMIT", kept.check())).await
        };
        let Err(error) = tried.await else { return Ok(()) };
        client.batch_execute("ROLLBACK").await?;
        if error.code() != Some(&SqlState::INVALID_TRANSACTION_TERMINATION) {
            return Err(error);
        }
    }
    client.batch_execute(&kept.note_alone()).await?;
    let ran = alone().await;
    // Also when it failed: what it committed before is done.
    client.batch_execute(&kept.check_alone()).await?;
    ran
}

/// Reads what is shared into `seen`: a list of subject (the role whose own it is, or null), what, value.
///
/// Names by joins, for functions that give names look past the snapshot. Passwords only where the login may see them. A role that was
/// made after the scratch database is nobody's yet, and left out: OIDs of both come from one counter.
fn block(then: &str) -> String {
    format!(
        "DO $plinth_server_wide$
DECLARE
    seen jsonb;
    more jsonb;
    noted text;
    changes text;
    this oid := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
    PERFORM set_config('role', 'none', true);
    SELECT jsonb_agg(jsonb_build_array(s.subject, s.what, coalesce(s.value, ''))) INTO seen FROM (
        SELECT r.rolname::text AS subject, format('role %I', r.rolname) AS what,
               concat_ws(' ', CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                         CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                         CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
                         CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END,
                         CASE WHEN r.rolconnlimit <> -1 THEN format('CONNECTION LIMIT %s', r.rolconnlimit) END,
                         'VALID UNTIL ' || r.rolvaliduntil) AS value
        FROM pg_roles r WHERE r.oid < this
        UNION ALL
        SELECT m.rolname, format('membership of %I in %I', m.rolname, g.rolname),
               string_agg(DISTINCT CASE WHEN a.admin_option THEN 'with ADMIN OPTION' ELSE 'yes' END
                          || coalesce(' inherit ' || (to_jsonb(a) ->> 'inherit_option'), '')
                          || coalesce(' set ' || (to_jsonb(a) ->> 'set_option'), ''), ', ')
        FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
        WHERE m.oid < this
        GROUP BY m.rolname, g.rolname
        UNION ALL
        SELECT r.rolname, concat_ws(' ', 'settings', 'of role ' || quote_ident(r.rolname), 'in database ' || quote_ident(d.datname)),
               array_to_string(s.setconfig, ', ')
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE d.datname IS DISTINCT FROM current_database() AND (s.setrole = 0) = (r.oid IS NULL)
          AND (s.setdatabase = 0) = (d.oid IS NULL) AND (r.oid IS NULL OR r.oid < this)
        UNION ALL
        SELECT NULL, format('database %I', d.datname),
               format('owner %s, connections %s, template %s, grants %s', o.rolname, d.datallowconn,
                      d.datistemplate, acl.text)
        FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
        CROSS JOIN LATERAL (SELECT string_agg(format('%s=%s', coalesce(g.rolname, 'PUBLIC'), x.privilege_type), ' '
                                              ORDER BY g.rolname, x.privilege_type) AS text
                            FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x LEFT JOIN pg_roles g ON g.oid = x.grantee) acl
        WHERE d.datname <> current_database()
        UNION ALL
        SELECT NULL, format('tablespace %I', t.spcname),
               format('owner %s, options %s, grants %s', o.rolname, array_to_string(t.spcoptions, ' '), acl.text)
        FROM pg_tablespace t JOIN pg_roles o ON o.oid = t.spcowner
        CROSS JOIN LATERAL (SELECT string_agg(format('%s=%s', coalesce(g.rolname, 'PUBLIC'), x.privilege_type), ' '
                                              ORDER BY g.rolname, x.privilege_type) AS text
                            FROM aclexplode(t.spcacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee) acl
    ) s;
    IF to_regclass('pg_catalog.pg_parameter_acl') IS NOT NULL THEN
        EXECUTE $parameters$
            SELECT jsonb_agg(jsonb_build_array(NULL, 'parameter ' || p.parname, acl.text)) FROM pg_parameter_acl p
            CROSS JOIN LATERAL (SELECT coalesce(string_agg(format('%s=%s', coalesce(g.rolname, 'PUBLIC'), x.privilege_type), ' '
                                                           ORDER BY g.rolname, x.privilege_type), '') AS text
                                FROM aclexplode(p.paracl) x LEFT JOIN pg_roles g ON g.oid = x.grantee) acl
        $parameters$ INTO more;
        seen := seen || coalesce(more, '[]');
    END IF;
    IF has_table_privilege('pg_catalog.pg_authid', 'SELECT') THEN
        EXECUTE $passwords$
            SELECT jsonb_agg(jsonb_build_array(rolname, format('password of %I', rolname),
                                               encode(sha256(convert_to(coalesce(rolpassword, ''), 'UTF8')), 'hex')))
            FROM pg_authid WHERE oid < $1
        $passwords$ INTO more USING this;
        seen := seen || coalesce(more, '[]');
    END IF;
    {then}
END
$plinth_server_wide$"
    )
}

/// What is new with a role that is new is no change; nor is that the login itself becomes a member of something, which the first
/// migration does and which it could do anyway.
fn compare(also: &str, verb: &str) -> String {
    format!(
        "noted := current_setting('plinth.server_wide', true);
    IF coalesce(noted, '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = '{SERVER_WIDE_CHANGED}', MESSAGE =
            'it takes back all settings, also the one that notes what the databases of the server share: leave out RESET ALL and DISCARD';
    END IF;
    SELECT string_agg(c.line, '; ' ORDER BY c.line) INTO changes FROM (
        SELECT CASE WHEN coalesce(n.what, o.what) LIKE 'password of %' THEN coalesce(n.what, o.what)
               ELSE format('%s: %s -> %s', coalesce(n.what, o.what), coalesce(nullif(o.value, ''), 'none'),
                           coalesce(nullif(n.value, ''), 'none')) END AS line
        FROM (SELECT e ->> 0 AS subject, e ->> 1 AS what, e ->> 2 AS value FROM jsonb_array_elements(noted::jsonb) e) o
        FULL JOIN (SELECT e ->> 0 AS subject, e ->> 1 AS what, e ->> 2 AS value FROM jsonb_array_elements(seen) e) n
             ON n.what = o.what
        WHERE o.value IS DISTINCT FROM n.value
          AND (o.what IS NOT NULL OR n.subject IS NULL
               OR n.subject IN (SELECT e ->> 0 FROM jsonb_array_elements(noted::jsonb) e WHERE e ->> 1 LIKE 'role %'))
          AND (n.what LIKE 'membership of %' AND n.subject = session_user) IS NOT TRUE
          {also}) c;
    IF changes IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '{SERVER_WIDE_CHANGED}', MESSAGE =
            '{verb} what all databases of the server share (' || changes || '), the live ones beside this scratch database too; '
            'try such a migration on a disposable server, with --disposable-server (verify, lint and generate take it)';
    END IF;"
    )
}
