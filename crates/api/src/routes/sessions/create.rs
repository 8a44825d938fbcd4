//! `POST /api/v1/sessions`

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, post, web};
use db_core::models::session::SignIn;
use db_core::secrets::token::TokenHash;
use db_core::text::check_text;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cookie;
use crate::extract::{Body, Check, Checker, Client, secret};
use crate::problem::Problem;
use crate::state::Worker;

/// What somebody signs in with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// Slug of the domain; needed unless the host name says it or there is only one.
    #[schema(min_length = 1, max_length = 63)]
    domain: Option<String>,
    /// E-mail address.
    #[schema(min_length = 1, max_length = 254)]
    email: String,
    /// Password.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 1, max_length = 1024)]
    password: SecretString,
}

impl Check for CreateSession {
    fn check(&self, check: &mut Checker) {
        check.optional("domain", self.domain.as_ref(), |domain| check_text(domain, 1, 63));
        check.field("email", check_text(&self.email, 1, 254));
        // No more is asked of a password that is only compared.
        let length = self.password.expose_secret().chars().count();
        if !(1..=1024).contains(&length) {
            check.field("password", Err("must have 1 to 1024 characters".to_owned()));
        }
    }
}

/// A new session; its token is in the cookie.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionCreated {
    /// Id of the session.
    id: Uuid,
    /// Domain of the account.
    domain_id: Uuid,
    /// The account.
    user_id: Uuid,
    /// Its e-mail address.
    email: String,
    /// Its name.
    name: String,
}

/// Signs in.
#[utoipa::path(tag = "sessions", security(()), request_body = CreateSession,
    responses((status = 201, body = SessionCreated)))]
#[post("/sessions")]
pub(super) async fn create_session(
    worker: web::Data<Worker>,
    client: Client,
    request: HttpRequest,
    Body(body): Body<CreateSession>,
) -> Result<HttpResponse, Problem> {
    let state = worker.state();
    let pool = worker.pool().await?;
    state.limits.check_sign_in(client.ip, &body.email)?;
    let security = &state.config.security;
    let signed_in = pool
        .sign_in(
            &SignIn {
                host: client.host.as_deref(),
                domain: body.domain.as_deref(),
                email: &body.email,
                password: &body.password,
                user_agent: request
                    .headers()
                    .get(header::USER_AGENT)
                    .and_then(|value| value.to_str().ok()),
                idle: security.session_idle,
                lifetime: security.session_lifetime,
            },
            &client.origin(),
        )
        .await
        .map_err(|error| match error {
            db_core::Error::Unauthenticated => {
                Problem::unauthenticated("the domain, the e-mail address or the password does not fit")
            }
            error => error.into(),
        })?;
    state.note_session(TokenHash::of(signed_in.token.expose_secret()), signed_in.domain);
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(cookie(
            state,
            &client,
            signed_in.token.expose_secret(),
            security.session_lifetime,
        ))
        .json(SessionCreated {
            id: signed_in.session.uuid(),
            domain_id: signed_in.domain.uuid(),
            user_id: signed_in.user.uuid(),
            email: signed_in.email,
            name: signed_in.name,
        }))
}
