//! Logs, traces and metrics of every Plinth program. Nothing else imports opentelemetry.
//!
//! [`init`] once at the start of `main`; the [`Guard`] lives as long as the program and flushes when dropped. Logs go
//! to stderr. Traces go to an OTLP collector where one is configured; otherwise there is no OpenTelemetry layer at
//! all. Metrics are recorded through the `metrics` crate and read through [`MetricsHandle`]: who serves them, and
//! where, is the program's affair.

mod logs;
mod metrics;
#[cfg(test)]
mod tests;
mod traces;

use std::io;

use app_config::TelemetryConfig;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub use crate::metrics::{MetricsHandle, SECONDS_BUCKETS};
pub use crate::traces::{continue_trace, link_trace, trace_id, traceparent};

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "the log filter {filter:?} is not valid: {source}; write a level, or levels by module: info,db_core=debug"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// Where it goes wrong.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter of traces could not be made.
    #[error("traces cannot be sent to {endpoint}: {reason}")]
    Traces {
        /// The configured collector.
        endpoint: String,
        /// What is in the way.
        reason: String,
    },
    /// The metrics recorder could not be made.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
    /// Telemetry was started before in this process.
    #[error("telemetry was already started in this process")]
    AlreadyStarted,
}

/// Keeps telemetry going. When dropped it sends what was traced, for at most five seconds.
#[derive(Debug)]
#[must_use = "dropping it stops telemetry"]
pub struct Guard {
    metrics: metrics::Metrics,
    /// Held for its end.
    _traces: Option<traces::Traces>,
}

impl Guard {
    /// The recorded metrics.
    pub fn metrics(&self) -> MetricsHandle {
        self.metrics.handle()
    }
}

/// Starts logs, traces and metrics for the whole process. May be called inside an async runtime. Traces are filed under
/// `service_name`, the program's.
///
/// # Errors
/// When the filter or the endpoint is not valid, or telemetry was started before.
pub fn init(service_name: &str, config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let (subscriber, traces) = subscriber(service_name, config, io::stderr)?;
    subscriber
        .try_init()
        .map_err(|_error| TelemetryError::AlreadyStarted)?;
    let metrics = metrics::Metrics::install()?;
    Ok(Guard {
        metrics,
        _traces: traces,
    })
}

/// Logs to `writer`, and traces where they are asked for.
fn subscriber<W>(
    service_name: &str,
    config: &TelemetryConfig,
    writer: W,
) -> Result<
    (
        impl tracing::Subscriber + Send + Sync + use<W>,
        Option<traces::Traces>,
    ),
    TelemetryError,
>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![logs::layer(config, writer)?];
    let traces = match &config.otlp_endpoint {
        Some(endpoint) => {
            let traces = traces::Traces::new(endpoint, service_name, config.sample_ratio)?;
            layers.push(traces.layer());
            Some(traces)
        }
        None => None,
    };
    Ok((tracing_subscriber::registry().with(layers), traces))
}
