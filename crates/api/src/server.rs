//! The HTTP servers: the API, and the metrics on an address of their own.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use actix_web::body::MessageBody;
use actix_web::dev::{ResourceDef, Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, web};
use telemetry::MetricsHandle;
use utoipa::OpenApi as _;
use utoipa_actix_web::AppExt as _;
use utoipa_swagger_ui::SwaggerUi;

use crate::openapi::{self, Document};
use crate::problem::Problem;
use crate::state::{AppState, Worker};
use crate::{request_id, routes};

/// A server that listens, and where.
pub struct Listening {
    /// To be awaited, or stopped by its handle.
    pub server: Server,
    /// The address it is bound to; with the port that the system chose, where the configuration says 0.
    pub address: SocketAddr,
}

/// Binds the API.
///
/// # Errors
/// The address cannot be bound.
pub fn api(state: Arc<AppState>) -> std::io::Result<Listening> {
    let server = &state.config.server;
    let (bind, workers) = (server.bind, state.workers());
    let (header_timeout, keep_alive, grace) =
        (server.header_timeout, server.keep_alive, server.shutdown_grace);
    let send_timeout = server.send_timeout;
    let http = HttpServer::new(move || app(Arc::clone(&state)))
        .workers(workers)
        .client_request_timeout(header_timeout)
        .keep_alive(keep_alive)
        .shutdown_timeout(grace.as_secs())
        // The program hears them, which has more to stop than this.
        .disable_signals()
        .on_connect(move |connection, _| {
            if let Some(stream) = connection.downcast_ref() {
                crate::send_timeout::limit_connection(stream, send_timeout);
            }
        })
        .bind(bind)?;
    let address = http.addrs().first().copied().unwrap_or(bind);
    Ok(Listening {
        server: http.run(),
        address,
    })
}

/// What each worker serves: all routes, and what wraps them.
pub fn app(
    state: Arc<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let server = &state.config.server;
    let (request_timeout, send_timeout) = (server.request_timeout, server.send_timeout);
    let (app, document) = App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .app_data(web::Data::new(Worker::new(state)))
        .service(utoipa_actix_web::scope("/api/v1").configure(routes::v1))
        .configure(routes::root)
        .split_for_parts();
    app.service(SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", openapi::with_problems(document)))
        .service(web::resource("/docs").guard(guard::Get()).to(docs))
        .default_service(web::to(unknown))
        .wrap(from_fn(crate::gate::middleware))
        .wrap(Compress::default())
        .wrap(from_fn(move |request, next| {
            crate::deadline::middleware(request_timeout, send_timeout, request, next)
        }))
        .wrap(from_fn(request_id::middleware))
}

/// Binds the metrics; those of the queues are measured when they are read.
///
/// # Errors
/// The address cannot be bound.
pub fn metrics(bind: SocketAddr, handle: MetricsHandle, state: Arc<AppState>) -> std::io::Result<Listening> {
    let http = HttpServer::new(move || {
        let (handle, state) = (handle.clone(), Arc::clone(&state));
        App::new().route(
            "/metrics",
            web::get().to(move || {
                let (handle, state) = (handle.clone(), Arc::clone(&state));
                async move {
                    state.measure_queues().await;
                    let text = handle.render();
                    HttpResponse::Ok()
                        .content_type("text/plain; version=0.0.4; charset=utf-8")
                        .body(text)
                }
            }),
        )
    })
    .workers(1)
    .disable_signals()
    .bind(bind)?;
    let address = http.addrs().first().copied().unwrap_or(bind);
    Ok(Listening {
        server: http.run(),
        address,
    })
}

async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "/docs/"))
        .finish()
}

/// What no route takes: 405 where the path takes other methods, else 404.
async fn unknown(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.path();
    tracing::debug!(path, "no such route");
    let mut methods: Vec<&str> = Vec::new();
    for (_, own) in METHODS.iter().filter(|(pattern, _)| pattern.is_match(path)) {
        methods.extend(own);
    }
    let mut seen = std::collections::HashSet::new();
    methods.retain(|method| seen.insert(*method));
    Err(if methods.is_empty() {
        Problem::not_found()
    } else {
        Problem::method_not_allowed(&methods.join(", "))
    })
}

/// The paths of the document, each with what goes into `Allow`.
static METHODS: LazyLock<Vec<(ResourceDef, Vec<&str>)>> = LazyLock::new(|| {
    let mut methods: Vec<_> = openapi::document()
        .paths
        .paths
        .into_iter()
        .map(|(path, item)| (ResourceDef::new(path), openapi::methods(&item)))
        .collect();
    for path in ["/openapi.json", "/docs", "/docs/{file:.*}"] {
        methods.push((ResourceDef::new(path), vec!["GET", "HEAD"]));
    }
    methods
});
