//! `sessions`: sign-ins. The token is the client's; only its SHA-256 is stored.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::access::{Access, Credential, Origin};
use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{DomainId, SessionId, UserId};
use crate::models::activity::Activity;
use crate::models::user::user_get;
use crate::page::{Page, PageRequest};
use crate::schema::sessions;
use crate::secrets::password::Passwords;
use crate::secrets::token::{TokenHash, new_session_token};
use crate::tx::{Begin, Pool, Tx, WriteTx};

/// A sign-in.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = sessions, check_for_backend(diesel::pg::Pg))]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// Address from which the sign-in came.
    pub ip: Option<IpNet>,
    /// Browser or client, as it called itself.
    pub user_agent: Option<String>,
    /// When the sign-in happened.
    pub created_at: DateTime<Utc>,
    /// Last use, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends, used or not.
    pub expires_at: DateTime<Utc>,
    /// When it was ended by hand.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What somebody signs in with.
#[derive(Debug)]
pub struct SignIn<'a> {
    /// Host name that was called, in lower case, without a port.
    pub host: Option<&'a str>,
    /// Slug of the domain, where the host name does not say it.
    pub domain: Option<&'a str>,
    /// E-mail address.
    pub email: &'a str,
    /// Password.
    pub password: &'a SecretString,
    /// Browser or client, as it calls itself.
    pub user_agent: Option<&'a str>,
    /// The session ends when it is unused for so long.
    pub idle: Duration,
    /// The session ends after so long, used or not.
    pub lifetime: Duration,
}

/// A sign-in that succeeded.
#[derive(Debug)]
pub struct SignedIn {
    /// The new session.
    pub session: SessionId,
    /// Its token, for the cookie. It is nowhere else.
    pub token: SecretString,
    /// Domain of the account.
    pub domain: DomainId,
    /// The account.
    pub user: UserId,
    /// Its e-mail address.
    pub email: String,
    /// Its name.
    pub name: String,
}

#[derive(QueryableByName)]
struct Account {
    #[diesel(sql_type = SqlUuid)]
    domain_id: DomainId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Text)]
    name: String,
}

impl Pool {
    /// What hashing and checking passwords needs.
    pub fn passwords(&self) -> &Passwords {
        &self.shared.passwords
    }

    /// Signs in: checks the password, makes a session. A refusal is noted in the activity stream.
    ///
    /// # Errors
    /// `Unauthenticated` when anything does not fit, without saying what.
    pub async fn sign_in(&self, sign_in: &SignIn<'_>, origin: &Origin) -> Result<SignedIn> {
        let begin = Begin {
            sql: "BEGIN".to_owned(),
            origin: origin.clone(),
            recorded: true,
        };
        let _turn = self.shared.passwords.sign_in_turn().await?;
        let result = self
            .run_write("sign_in", &begin, async |tx| {
                self.open_session(tx, sign_in, origin).await
            })
            .await;
        if matches!(result, Err(Error::Unauthenticated)) {
            self.note_failed_sign_in(sign_in, origin).await?;
        }
        result
    }

    async fn open_session(
        &self,
        tx: &WriteTx<'_>,
        sign_in: &SignIn<'_>,
        origin: &Origin,
    ) -> Result<SignedIn> {
        let passwords = &self.shared.passwords;
        let (pepper_ids, proofs) = passwords.proofs(sign_in.password);
        let timeout = i32::try_from(self.shared.statement_timeout.as_millis()).unwrap_or(i32::MAX);
        let account: Account = Cached(
            diesel::sql_query("SELECT * FROM authenticate($1, $2, $3, $4, $5, $6, $7)")
                .bind::<Nullable<Text>, _>(sign_in.host)
                .bind::<Nullable<Text>, _>(sign_in.domain)
                .bind::<Text, _>(sign_in.email.to_lowercase())
                .bind::<Array<Integer>, _>(pepper_ids)
                .bind::<Array<Text>, _>(proofs)
                .bind::<Integer, _>(passwords.cost())
                .bind::<Integer, _>(timeout),
        )
        .get_result(&mut tx.conn())
        .await
        .optional()?
        .ok_or(Error::Unauthenticated)?;

        let token = new_session_token();
        let session: SessionId = tx.new_id();
        let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
        let lifetime = seconds(sign_in.lifetime);
        diesel::insert_into(sessions::table)
            .values((
                sessions::id.eq(session),
                sessions::user_id.eq(account.user_id),
                sessions::token_hash.eq(TokenHash::of(token.expose_secret()).as_bytes().as_slice()),
                sessions::ip.eq(origin.ip.map(IpNet::from)),
                sessions::user_agent.eq(sign_in
                    .user_agent
                    .map(|agent| agent.chars().take(500).collect::<String>())),
                sessions::idle_seconds.eq(seconds(sign_in.idle)),
                sessions::expires_at.eq(diesel::dsl::sql::<Timestamptz>(&format!(
                    "now() + make_interval(secs => {lifetime})"
                ))),
            ))
            .execute(&mut tx.conn())
            .await?;
        tx.record(Activity::new("session.create", "session", session));
        Ok(SignedIn {
            session,
            token,
            domain: account.domain_id,
            user: account.user_id,
            email: account.email,
            name: account.name,
        })
    }

    /// Notes in a transaction of its own that the actor was refused what they asked for.
    ///
    /// # Errors
    /// A database error.
    pub async fn note_denial(&self, access: &Access) -> Result<()> {
        let own = Access {
            permission: None,
            target: crate::access::Target::Domain,
            ..access.clone()
        };
        let (target_type, target_id) = access.target.describe();
        let action = access.permission.map_or("own", crate::rbac::Permission::name);
        self.write("note_denial", &own, async |tx| {
            tx.record(Activity::denied(action, target_type, target_id));
            Ok(())
        })
        .await
    }

    /// In a transaction of its own, in the domain that was meant, else in the installation's.
    async fn note_failed_sign_in(&self, sign_in: &SignIn<'_>, origin: &Origin) -> Result<()> {
        let begin = Begin {
            sql: "BEGIN".to_owned(),
            origin: origin.clone(),
            recorded: true,
        };
        self.run_write("sign_in_refused", &begin, async |tx| {
            diesel::sql_query("SELECT enter_for_refusal($1, $2)")
                .bind::<Nullable<Text>, _>(sign_in.host)
                .bind::<Nullable<Text>, _>(sign_in.domain)
                .execute(&mut tx.conn())
                .await?;
            tx.record(
                Activity::denied("session.create", None, None).after(&FailedSignIn { email: sign_in.email }),
            );
            Ok(())
        })
        .await
    }

    /// Whether the credential's last use was not written within the last minute. Only the first to ask is told so.
    pub fn wants_touch(&self, access: &Access) -> bool {
        let key = match access.credential {
            Credential::Session(hash) => hash,
            Credential::ApiKey(key) => TokenHash::of(&key.id.to_string()),
        };
        if self.shared.touched.contains_key(&key) {
            return false;
        }
        self.shared.touched.insert(key, ());
        true
    }

    /// The domain that a session belongs to.
    ///
    /// # Errors
    /// `Unauthenticated` when it does not count, or a database error.
    pub async fn domain_of(&self, session: TokenHash) -> Result<DomainId> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = SqlUuid)]
            domain_id: DomainId,
        }
        let own = Access {
            credential: Credential::Session(session),
            permission: None,
            target: crate::access::Target::Domain,
            origin: Origin::default(),
        };
        self.read("domain_of", &own, async |tx| {
            let row: Row = Cached(diesel::sql_query("SELECT current_domain_id() AS domain_id"))
                .get_result(&mut tx.conn())
                .await?;
            Ok(row.domain_id)
        })
        .await
    }

    /// Writes that a session or API key was used.
    ///
    /// # Errors
    /// A database error; it matters to nobody but the log.
    pub async fn touch(&self, access: &Access) -> Result<()> {
        let own = Access {
            permission: None,
            target: crate::access::Target::Domain,
            ..access.clone()
        };
        let begin = Begin {
            sql: own.begin_sql(false, self.shared.statement_timeout),
            origin: Origin::default(),
            recorded: false,
        };
        let sql = match access.credential {
            Credential::Session(_) => {
                "UPDATE sessions SET last_used_at = now()
                  WHERE id = current_session_id() AND last_used_at < now() - interval '50 seconds'"
            }
            Credential::ApiKey(_) => {
                "UPDATE api_keys SET last_used_at = now() WHERE id = current_api_key_id()
                    AND (last_used_at IS NULL OR last_used_at < now() - interval '50 seconds')"
            }
        };
        self.run_write("touch", &begin, async |tx| {
            Cached(diesel::sql_query(sql)).execute(&mut tx.conn()).await?;
            Ok(())
        })
        .await
    }
}

#[derive(Serialize)]
struct FailedSignIn<'a> {
    email: &'a str,
}

/// A session, and whether it is the one that was presented.
#[derive(Clone, Debug, Queryable)]
pub struct ListedSession {
    /// The row.
    pub session: Session,
    /// Whether it is the one that was presented.
    pub current: bool,
}

/// Sessions of a user that have not ended, newest first.
///
/// # Errors
/// `NotFound` when there is no such user, or a database error.
pub async fn session_list(
    tx: &Tx<'_>,
    user: UserId,
    page: &PageRequest<SessionId>,
) -> Result<Page<ListedSession>> {
    let mut query = sessions::table
        .select((Session::as_select(), is_current()))
        .filter(sessions::user_id.eq(user))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(diesel::dsl::now))
        .filter(diesel::dsl::sql::<Bool>(
            "sessions.last_used_at + make_interval(secs => sessions.idle_seconds) > now()",
        ))
        .order(sessions::id.desc())
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(sessions::id.lt(after));
    }
    let rows: Vec<ListedSession> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        user_get(tx, user).await?;
    }
    Ok(page.cut(rows))
}

/// `coalesce`, because nobody's session is current when an API key was presented.
fn is_current() -> diesel::expression::SqlLiteral<Bool> {
    diesel::dsl::sql("coalesce(sessions.id = (SELECT current_session_id()), false)")
}

/// Ends the session that was presented.
///
/// # Errors
/// `NotFound` when none was: an API key is no session.
pub async fn session_end_current(tx: &WriteTx<'_>) -> Result<()> {
    let id: SessionId = diesel::update(sessions::table.filter(sessions::id.nullable().eq(
        diesel::dsl::sql::<Nullable<SqlUuid>>("(SELECT current_session_id())"),
    )))
    .set(sessions::revoked_at.eq(diesel::dsl::now))
    .returning(sessions::id)
    .get_result(&mut tx.conn())
    .await
    .or_not_found("session")?;
    tx.record(Activity::new("session.revoke", "session", id));
    Ok(())
}

/// Ends a session of a user.
///
/// # Errors
/// `NotFound` when the user has no such session, or it has ended; `Forbidden` when the user holds what the actor does not.
pub async fn session_revoke(tx: &WriteTx<'_>, user: UserId, id: SessionId) -> Result<()> {
    super::user::require_over(tx, user).await?;
    let revoked = diesel::update(
        sessions::table
            .filter(sessions::id.eq(id))
            .filter(sessions::user_id.eq(user))
            .filter(sessions::revoked_at.is_null()),
    )
    .set(sessions::revoked_at.eq(diesel::dsl::now))
    .execute(&mut tx.conn())
    .await?;
    if revoked == 0 {
        return Err(Error::NotFound("session"));
    }
    tx.record(Activity::new("session.revoke", "session", id));
    Ok(())
}

/// Ends all sessions of a user.
///
/// # Errors
/// A database error.
pub(super) async fn session_revoke_all(tx: &WriteTx<'_>, user: UserId) -> Result<()> {
    diesel::update(
        sessions::table
            .filter(sessions::user_id.eq(user))
            .filter(sessions::revoked_at.is_null()),
    )
    .set(sessions::revoked_at.eq(diesel::dsl::now))
    .execute(&mut tx.conn())
    .await?;
    Ok(())
}

/// Ends all sessions of a user but the one that was presented.
///
/// # Errors
/// A database error.
pub async fn session_revoke_others(tx: &WriteTx<'_>, user: UserId) -> Result<()> {
    diesel::sql_query(
        "UPDATE sessions SET revoked_at = now()
          WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM current_session_id()",
    )
    .bind::<SqlUuid, _>(user)
    .execute(&mut tx.conn())
    .await?;
    Ok(())
}
