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
use std::str::FromStr;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub use crate::metrics::{MetricsHandle, SECONDS_BUCKETS};
pub use crate::traces::{continue_trace, trace_id};

/// What to log and where traces go.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// Name under which traces are filed: the program's.
    pub service_name: String,
    /// Which events are logged, in `tracing`'s syntax: `info,db_core=debug`. Traces are not affected by it.
    pub filter: String,
    /// Form of a log line.
    pub format: Format,
    /// Base URL of an OTLP collector over HTTP, without `/v1/traces`; `None` for no traces.
    pub otlp_endpoint: Option<String>,
    /// Share of traces begun here that are recorded, 0 to 1; a caller's decision is respected.
    pub sample_ratio: f64,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object to a line.
    Json,
}

impl FromStr for Format {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, TelemetryError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::Format(text.to_owned())),
        }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A log format that does not exist.
    #[error("the log format {0:?} is not known: text or json")]
    Format(String),
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

/// Starts logs, traces and metrics for the whole process. May be called inside an async runtime.
///
/// # Errors
/// When the filter or the endpoint is not valid, or telemetry was started before.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let (subscriber, traces) = subscriber(config, io::stderr)?;
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
            let traces = traces::Traces::new(endpoint, &config.service_name, config.sample_ratio)?;
            layers.push(traces.layer());
            Some(traces)
        }
        None => None,
    };
    Ok((tracing_subscriber::registry().with(layers), traces))
}
