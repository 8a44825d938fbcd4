//! What a request proves itself with: an API key, or the session cookie.

use actix_web::HttpRequest;
use actix_web::http::{Method, StatusCode, header};
use db_core::secrets::token::{API_KEY_PREFIX, ApiKeyToken, TokenHash};

use crate::problem::Problem;

/// Name of the session cookie where it is `Secure`: browsers then take it from this host alone, not from its neighbours.
/// Source: RFC 6265bis, section 4.1.3.2.
pub const SECURE_SESSION_COOKIE: &str = "__Host-plinth_session";

/// Name of the session cookie where it is not: on loopback over plain HTTP.
const SESSION_COOKIE: &str = "plinth_session";

/// Name of the session cookie. The other name counts for nothing, so that nobody slips one in under it.
pub const fn session_cookie(secure: bool) -> &'static str {
    if secure {
        SECURE_SESSION_COOKIE
    } else {
        SESSION_COOKIE
    }
}

/// A credential as it was sent, not yet checked.
pub(super) enum Presented {
    Session(TokenHash),
    ApiKey { token: ApiKeyToken, hash: TokenHash },
}

/// Finds the credential of a request: `Authorization: Bearer` before the cookie.
pub(super) fn find(request: &HttpRequest, secure_cookies: bool) -> Result<Presented, Problem> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let token = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
        let Some(token) = token else {
            return Err(Problem::unauthenticated(
                "Authorization must be: Bearer <API key>",
            ));
        };
        return if token.starts_with(API_KEY_PREFIX) {
            let hash = TokenHash::of(token);
            ApiKeyToken::parse(token)
                .map(|token| Presented::ApiKey { token, hash })
                .ok_or_else(|| Problem::unauthenticated("the API key is not a whole key; was it cut off?"))
        } else {
            Err(Problem::unauthenticated(
                "the credential is unknown, expired or revoked",
            ))
        };
    }
    let name = session_cookie(secure_cookies);
    let cookies = request.cookies().ok();
    let mut sessions = cookies
        .iter()
        .flat_map(|cookies| cookies.iter())
        .filter(|cookie| cookie.name() == name);
    let Some(cookie) = sessions.next() else {
        return Err(Problem::unauthenticated(
            "sign in, or send an API key as Authorization: Bearer",
        ));
    };
    if sessions.next().is_some() {
        return Err(Problem::bad_request(
            "two_sessions",
            format!("the request has more than one cookie {name}; delete the cookies of this site"),
        ));
    }
    refuse_cross_site(request)?;
    Ok(Presented::Session(TokenHash::of(cookie.value())))
}

/// A browser sends cookies along with whatever page makes it send a request: a change must come from our own pages.
///
/// `SameSite=Lax` keeps most of them back; this holds for the rest. Source: OWASP, "Cross-Site Request Forgery
/// Prevention Cheat Sheet", Fetch Metadata and origin checks.
fn refuse_cross_site(request: &HttpRequest) -> Result<(), Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let header = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let foreign_fetch = header(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let foreign_origin = header(header::ORIGIN).is_some_and(|origin| {
        let host = origin.split_once("://").map_or(origin, |(_, host)| host);
        Some(host) != header(header::HOST)
    });
    if foreign_fetch || foreign_origin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "the request came from another site's page",
        ));
    }
    Ok(())
}
