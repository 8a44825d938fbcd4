//! Every answer that is not a success: `application/problem+json` (RFC 9457). The only place that knows status codes.
//!
//! A 5xx body tells nothing of the inside; the log tells it once, with the same request id.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::request_id;

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Path of the field, such as `title` or `operator.email`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Field errors of one answer; who has made more mistakes may see the others when these are mended.
const MANY: usize = 20;

/// Characters of a name or message in an answer: some repeat what was sent, which may be long.
const LONG: usize = 200;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl FieldError {
    fn shortened(&self) -> Self {
        Self {
            field: shortened(&self.field),
            message: shortened(&self.message),
        }
    }
}

/// A problem document.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Reference of the kind of problem; `about:blank#<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Stable, machine-readable name of the problem.
    pub code: &'static str,
    /// What is wrong with this request, for people.
    pub detail: String,
    /// Id of the request, as in the log and in the header `x-request-id`.
    pub request_id: String,
    /// Fields that do not fit (422 and 400).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// An answer that is not a success.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    allow: Option<String>,
}

impl Problem {
    /// A problem with a status, a stable code, and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            allow: None,
        }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: no credential, or none that counts.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    /// 404, for another domain's row exactly as for one that does not exist.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such resource")
    }

    /// 405: the path exists, and takes these methods.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self {
            allow: Some(allow.to_owned()),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("this resource takes {allow}"),
            )
        }
    }

    /// 500: a fault of ours. What it is stands in the log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong on our side",
        )
    }

    /// 422: fields that do not fit.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "some fields do not fit; see errors",
            )
        }
    }

    /// 422: one field that does not fit.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError {
            field: field.into(),
            message: message.into(),
        }])
    }

    /// 503: try again later.
    pub fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
    }

    /// Names the field that a problem is about.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Says after how many seconds the same request may succeed.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        // Answers about one client's credentials and data are nobody else's.
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // Source: RFC 9110, section 15.5.9.
            response.force_close();
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        response.json(ProblemBody {
            kind: format!("about:blank#{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: shortened(&self.detail),
            request_id: request_id::current(),
            errors: self.errors.iter().take(MANY).map(FieldError::shortened).collect(),
        })
    }
}

impl From<db_core::Error> for Problem {
    fn from(error: db_core::Error) -> Self {
        use db_core::Error;
        match error {
            Error::Unauthenticated => Self::unauthenticated(error.to_string()),
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            Error::NotFound(_) => Self::not_found(),
            Error::Conflict { code, message } => Self::new(StatusCode::CONFLICT, code, message),
            Error::StaleVersion { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "stale_version",
                "the resource has changed since you read it; read it again",
            ),
            Error::Invalid { field, message } => Self::invalid_field(field, message),
            Error::Unavailable(cause) => {
                tracing::warn!(%cause, "the database is not available");
                Self::unavailable("database_unavailable", "the database is not available")
            }
            Error::Timeout => {
                tracing::warn!("a statement was cut off at its time limit");
                Self::unavailable("timeout", "the request took longer than it may")
            }
            error @ (Error::Database(_) | Error::Internal(_)) => {
                tracing::error!(%error, "request failed");
                Self::internal()
            }
        }
    }
}
