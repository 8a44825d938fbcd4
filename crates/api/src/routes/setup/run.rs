//! `POST /api/db/setup`

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, post, web};
use db_core::models::{domain, user};
use db_core::setup::{FirstDomain, SetupError, SetupRequest};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::extract::{Body, Check, Checker, secret};
use crate::problem::Problem;
use crate::state::{StartError, Worker, is_setup_token};

/// What setup is told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSetup {
    /// Always `postgresql`.
    #[serde(rename = "type")]
    #[schema(pattern = "^postgresql$")]
    kind: String,
    /// The first domain; `default` when it is not given.
    domain: Option<SetupDomain>,
    /// The first platform operator; `admin@localhost` with a password printed in the log when it is not given.
    operator: Option<SetupOperator>,
}

/// The first domain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupDomain {
    /// Short name used at sign-in.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    slug: String,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// The first platform operator, who is an Admin of the first domain too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupOperator {
    /// E-mail address.
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: String,
    /// Password, 10 to 256 characters.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    password: SecretString,
}

impl Check for RunSetup {
    fn check(&self, check: &mut Checker) {
        if self.kind != "postgresql" {
            check.field("type", Err(format!("must be \"postgresql\", is {:?}", self.kind)));
        }
        if let Some(given) = &self.domain {
            check.field("domain.slug", domain::check_slug(&given.slug));
            check.field("domain.name", domain::check_name(&given.name));
        }
        if let Some(given) = &self.operator {
            check.field("operator.email", user::check_email(&given.email));
            check.field("operator.password", user::check_password(&given.password));
        }
    }
}

/// That setup has happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetupDone {
    /// For people.
    message: &'static str,
    /// Always false: the server serves at once.
    restart_required: bool,
    /// Always `postgresql`.
    database_type: &'static str,
}

/// Sets the installation up, once.
///
/// The one-time token from the log, or `PLINTH_SETUP_TOKEN`, goes into `Authorization: Bearer`.
#[utoipa::path(tag = "setup", request_body = RunSetup, security(("setup_token" = [])),
    responses((status = 200, body = SetupDone)))]
#[post("/api/db/setup")]
pub(super) async fn run_setup(
    worker: web::Data<Worker>,
    request: HttpRequest,
    body: Result<Body<RunSetup>, Problem>,
) -> Result<HttpResponse, Problem> {
    let state = worker.state();
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = token
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    // Before the body: a stranger learns nothing about it.
    if !is_setup_token(state, token.trim()) {
        return Err(Problem::unauthenticated(
            "setup needs the token from the server's log, or PLINTH_SETUP_TOKEN, as Authorization: Bearer",
        ));
    }
    let Body(body) = body?;
    let defaults = SetupRequest::default();
    let (email, password) = body.operator.map_or((defaults.operator_email, None), |given| {
        (given.email, Some(given.password))
    });
    let wanted = SetupRequest {
        domain: body.domain.map_or(defaults.domain, |given| FirstDomain {
            slug: given.slug,
            name: given.name,
        }),
        operator_email: email,
        operator_password: password,
        more_domains: Vec::new(),
        via: "api",
    };
    state.set_up(wanted).await.map_err(answer_failure)?;
    Ok(answer::ok(&SetupDone {
        message: "Plinth is set up",
        restart_required: false,
        database_type: "postgresql",
    }))
}

fn answer_failure(error: StartError) -> Problem {
    match error {
        StartError::Setup(SetupError::AlreadySetUp) => Problem::new(
            StatusCode::CONFLICT,
            "already_set_up",
            "the installation is already set up",
        ),
        StartError::Setup(SetupError::Invalid { field, message }) => Problem::invalid_field(field, message),
        error if error.is_transient() => {
            tracing::warn!(%error, "setup did not happen");
            Problem::unavailable(
                "database_unavailable",
                "the database is not available; the same call works later",
            )
        }
        error => {
            tracing::error!(%error, "setup did not happen");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "setup failed; the server's log says why",
            )
        }
    }
}
