//! Signing in and out.

mod create;
mod end;

use actix_web::cookie::{Cookie, SameSite};
use app_config::CookieSecure;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::extract::{Client, SESSION_COOKIE};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create::create_session).service(end::end_session);
}

/// The session cookie: out of reach of scripts, not sent along by other sites, over TLS only unless we are on loopback.
fn cookie(state: &AppState, client: &Client, value: &str, max_age: std::time::Duration) -> Cookie<'static> {
    let loopback = client.host.as_deref().is_some_and(|host| {
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    let secure = match state.config.server.cookie_secure {
        CookieSecure::Always => true,
        CookieSecure::Never => false,
        CookieSecure::Auto => client.https || !loopback,
    };
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    Cookie::build(SESSION_COOKIE, value.to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .max_age(actix_web::cookie::time::Duration::seconds(seconds))
        .finish()
}
