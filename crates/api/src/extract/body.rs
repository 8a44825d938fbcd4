//! A JSON body: read within its limit, named field by field when it does not fit.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::body_arrival;
use crate::problem::{FieldError, Problem};
use crate::state::Worker;

/// A request's JSON body, checked.
pub struct Body<T>(pub T);

/// Says of a request what its types cannot say.
pub trait Check {
    /// Reports every field that does not fit.
    fn check(&self, check: &mut Checker);
}

/// Collects the fields that do not fit.
#[derive(Default)]
pub struct Checker {
    errors: Vec<FieldError>,
}

impl Checker {
    /// Notes the field when the rule is broken.
    pub fn field(&mut self, field: &str, rule: Result<(), String>) {
        if let Err(message) = rule {
            self.errors.push(FieldError {
                field: field.to_owned(),
                message,
            });
        }
    }

    /// Notes the field when it is there and breaks the rule.
    pub fn optional<V>(
        &mut self,
        field: &str,
        value: Option<&V>,
        rule: impl FnOnce(&V) -> Result<(), String>,
    ) {
        if let Some(value) = value {
            self.field(field, rule(value));
        }
    }
}

impl<T: DeserializeOwned + Check + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = payload.take();
        let limit = request
            .app_data::<web::Data<Worker>>()
            .map_or(1 << 20, |worker| worker.state().config.server.body_limit_bytes);
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(is_json);
        Box::pin(async move {
            if !is_json {
                return Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "not_json",
                    "the body must be JSON: send Content-Type: application/json",
                ));
            }
            let bytes = read(payload, limit).await?;
            let value = parse::<T>(&bytes)?;
            let mut checker = Checker::default();
            value.check(&mut checker);
            if checker.errors.is_empty() {
                Ok(Self(value))
            } else {
                Err(Problem::invalid(checker.errors))
            }
        })
    }
}

fn is_json(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(payload: Payload, limit: usize) -> Result<web::BytesMut, Problem> {
    let mut bytes = web::BytesMut::new();
    let mut payload = body_arrival::Arriving::new(payload);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::bad_request("unreadable_body", format!("the body broke off: {error}"))
        })?;
        if bytes.len() + chunk.len() > limit {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body has more than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What cannot be read as JSON is a 400; JSON that is not what is wanted is a 422 that names the field.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    use serde_json::error::Category;
    // serde would take a list for a struct, its fields in order.
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte != b'{') {
        return Err(match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            Ok(_) => Problem::invalid_field("body", "must be an object"),
            Err(error) => malformed("body".to_owned(), &error),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let field = field_of(&path, &inner.to_string()).unwrap_or_else(|| "body".to_owned());
        let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        match inner.classify() {
            // A number where a word of a list is wanted is a syntax error to serde_json, and so is one that fits no type.
            kind if kind == Category::Data || is_json() => {
                // serde_json appends where it stopped; the field says it better.
                let message = inner.to_string();
                Problem::invalid_field(field, message.split(" at line ").next().unwrap_or_default())
            }
            _ => malformed(field, &inner),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| malformed("body".to_owned(), &error))?;
    Ok(value)
}

/// The field that an error is about: of one that is missing or there twice serde says the name, and where it was looked for.
/// `None` where it is about no field.
pub(super) fn field_of(path: &str, message: &str) -> Option<String> {
    let parent = Some(path).filter(|path| *path != ".");
    let named = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    match (parent, named) {
        (None, None) => None,
        (None, Some(name)) => Some(name.to_owned()),
        (Some(parent), None) => Some(parent.to_owned()),
        (Some(parent), Some(name)) if parent == name || parent.ends_with(&format!(".{name}")) => {
            Some(parent.to_owned())
        }
        (Some(parent), Some(name)) => Some(format!("{parent}.{name}")),
    }
}

fn malformed(field: String, error: &serde_json::Error) -> Problem {
    Problem::bad_request("malformed_json", "the body is not JSON; see errors").field(field, error.to_string())
}

/// A secret. What is no string is refused without being repeated, as serde's own message would.
///
/// # Errors
/// It is no string.
pub fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    match serde::Deserialize::deserialize(deserializer) {
        Ok(serde_json::Value::String(text)) => Ok(SecretString::from(text)),
        Ok(_) => Err(serde::de::Error::custom("must be a string")),
        Err(error) => Err(error),
    }
}

/// For PATCH: a field that is absent is `None`, one that is null is `Some(None)`.
///
/// # Errors
/// Those of the value.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}
