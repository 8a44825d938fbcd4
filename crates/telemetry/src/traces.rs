//! Traces, sent to an OTLP collector over HTTP.

use std::thread;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, Registry};

use crate::TelemetryError;

/// How long one delivery to the collector may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the end of the program waits for the last delivery.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// What the exporter itself works with: tracing it would never end.
const OWN_TARGETS: [&str; 6] = ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls"];

/// The pipeline from spans to the collector; flushed when dropped.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// A pipeline to the collector at `endpoint`. Connects on first use, so a collector that is down stops nothing.
    pub(crate) fn new(endpoint: &str, service_name: &str, sample_ratio: f64) -> Result<Self, TelemetryError> {
        let failed = |reason: String| TelemetryError::Traces {
            endpoint: endpoint.to_owned(),
            reason,
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client().map_err(failed)?)
            // An endpoint given in code is used as it is; the base URL of the specification gets its path here.
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(SEND_TIMEOUT)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                sample_ratio,
            ))))
            .with_resource(
                Resource::builder()
                    .with_service_name(service_name.to_owned())
                    .build(),
            )
            .build();
        Ok(Self { provider })
    }

    /// The layer that records spans of level INFO and above, and the events in them.
    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let targets = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(OWN_TARGETS.map(|target| (target, LevelFilter::OFF)));
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("plinth"))
            .with_filter(targets)
            .boxed()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last traces were not delivered");
        }
    }
}

/// The blocking client: the exporter runs on a thread of its own without a runtime, where the async one dies silently
/// at the first delivery. Made on another thread, because making it inside a runtime panics.
fn client() -> Result<reqwest::blocking::Client, String> {
    let build = || {
        // An error says that a provider is there already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::blocking::Client::builder()
            .timeout(SEND_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())
    };
    thread::spawn(build)
        .join()
        .map_err(|_panic| "its HTTP client could not be made".to_owned())?
}

/// Makes `span` part of the caller's trace, given the value of its `traceparent` header
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>). To be called before the span is first entered.
///
/// Returns whether it did: not where the header is malformed, as the specification has it, nor where traces are off.
pub fn continue_trace(span: &Span, traceparent: &str) -> bool {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(traceparent));
    parent.span().span_context().is_valid() && span.set_parent(parent).is_ok()
}

/// Links `span` to the span that `traceparent` names: what caused it, though it is no part of it, such as the request behind a job.
///
/// Returns whether it did: not where the value is malformed, nor where traces are off.
pub fn link_trace(span: &Span, traceparent: &str) -> bool {
    let cause = TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(traceparent));
    let cause = cause.span().span_context().clone();
    let valid = cause.is_valid();
    span.add_link(cause);
    valid && trace_id(span).is_some()
}

/// The `traceparent` that names `span`, for whoever goes on with its work; `None` where traces are off.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let id = context.span().span_context().clone();
    id.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            id.trace_id(),
            id.span_id(),
            id.trace_flags().to_u8()
        )
    })
}

/// The id of the trace that `span` belongs to, 32 hexadecimal digits; `None` where traces are off.
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::TraceId::INVALID).then(|| id.to_string())
}

/// One request's `traceparent`, as the propagator wants to be asked for it.
struct Header<'a>(&'a str);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}
