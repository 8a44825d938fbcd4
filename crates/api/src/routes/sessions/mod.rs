//! Signing in and out, and the sign-ins of users.

mod create;
mod end;
mod list;
mod list_own;
mod revoke;
mod revoke_own;

use actix_web::cookie::{Cookie, SameSite};
use chrono::{DateTime, Utc};
use db_core::models::session::ListedSession;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::extract::{Client, session_cookie};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(create::create_session)
        .service(end::end_session)
        .service(list_own::list_own_sessions)
        .service(revoke_own::revoke_own_session)
        .service(list::list_sessions)
        .service(revoke::revoke_session);
}

/// Which page of sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListSessions {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A sign-in that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    id: Uuid,
    /// Who signed in.
    user_id: Uuid,
    /// Whether it is the one that this request came with.
    current: bool,
    /// Address from which the sign-in came.
    ip: Option<String>,
    /// Browser or client, as it called itself.
    user_agent: Option<String>,
    /// When the sign-in happened.
    created_at: DateTime<Utc>,
    /// Last use, to the minute.
    last_used_at: DateTime<Utc>,
    /// When it ends, used or not.
    expires_at: DateTime<Utc>,
}

impl From<ListedSession> for SessionView {
    fn from(row: ListedSession) -> Self {
        let ListedSession { session, current } = row;
        Self {
            id: session.id.uuid(),
            user_id: session.user_id.uuid(),
            current,
            ip: session.ip.map(|ip| ip.addr().to_string()),
            user_agent: session.user_agent,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

/// The session cookie: out of reach of scripts, not sent along by other sites, over TLS only unless we are on loopback.
fn cookie(state: &AppState, client: &Client, value: &str, max_age: std::time::Duration) -> Cookie<'static> {
    let secure = client.has_secure_cookies(state.config.server.cookie_secure);
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    Cookie::build(session_cookie(secure), value.to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .max_age(actix_web::cookie::time::Duration::seconds(seconds))
        .finish()
}
