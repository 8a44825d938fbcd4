//! The OpenAPI document: what is the same for every operation stands here once.

use actix_web::App;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, Response};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;

use crate::extract::SECURE_SESSION_COOKIE;
use crate::problem::ProblemBody;

/// The frame of the document; operations come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "Plinth", description = "A self-hosted, multi-tenant backend on PostgreSQL."),
    components(schemas(ProblemBody)),
    security(("session" = []), ("api_key" = [])),
    modifiers(&Security)
)]
pub(crate) struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = document.components.as_mut() else {
            return;
        };
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            SECURE_SESSION_COOKIE,
            "Set by signing in. On loopback over plain HTTP its name is `plinth_session`.",
        )));
        components.add_security_scheme("session", cookie);
        components.add_security_scheme("api_key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme(
            "setup_token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

/// The whole document, as `plinth-api openapi` prints it and `GET /openapi.json` serves it.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, document) = App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .service(utoipa_actix_web::scope("/api/v1").configure(crate::routes::v1))
        .configure(crate::routes::root)
        .split_for_parts();
    with_problems(document)
}

/// What a path takes, as `Allow` has it.
pub(crate) fn methods(item: &utoipa::openapi::PathItem) -> Vec<&'static str> {
    let methods = [
        ("GET", item.get.is_some()),
        ("HEAD", item.get.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
    ];
    methods
        .into_iter()
        .filter_map(|(method, there)| there.then_some(method))
        .collect()
}

/// Every operation may answer with a problem document: said once, for all of them.
pub(crate) fn with_problems(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().filter_map(Option::as_mut) {
            add_problem(operation);
        }
    }
    document
}

fn add_problem(operation: &mut Operation) {
    let mut response = Response::new("A problem document (RFC 9457).");
    let content = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    response
        .content
        .insert("application/problem+json".to_owned(), content.into());
    operation
        .responses
        .responses
        .insert("default".to_owned(), response.into());
}
