//! `If-Match`: the version that the client has seen.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::problem::Problem;

/// Version that the change is meant for; `None` when the header is absent or `*`.
pub struct IfMatch(pub Option<i32>);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request).map(Self))
    }
}

impl utoipa::IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tag = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r#"^(\*|"[0-9]+")$"#))
            .examples(["\"3\""]);
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "Entity tag that the client has seen: if the resource has changed since, the answer is 412. \
                 Without it, or with `*`, the change is made anyway.",
            ))
            .schema(Some(tag));
        vec![parameter.build()]
    }
}

/// An entity tag of ours is the version in quotes: `"3"`. RFC 9110, section 13.1.1.
fn read(request: &HttpRequest) -> Result<Option<i32>, Problem> {
    let Some(value) = request.headers().get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::bad_request(
            "invalid_if_match",
            "If-Match must be one entity tag, such as \"3\", or *",
        )
        .field("If-Match", "is not an entity tag of ours")
    })
}
