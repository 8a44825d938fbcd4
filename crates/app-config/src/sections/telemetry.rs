//! Section `telemetry`: logs and traces.

use std::str::FromStr;

use crate::reader::Reader;

/// What is logged, how, and where traces go.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// Which events are logged, in `tracing`'s filter syntax: `PLINTH_LOG`, else `RUST_LOG`, default `info`.
    pub log_filter: String,
    /// Form of a log line: `PLINTH_LOG_FORMAT`, default `text`.
    pub log_format: LogFormat,
    /// Base URL of an OTLP collector over HTTP (`http://localhost:4318`): `PLINTH_TELEMETRY_OTLP_ENDPOINT`, else
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`; without it nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// Share of new traces that are recorded, 0 to 1: `PLINTH_TELEMETRY_SAMPLE_RATIO`, default 1.
    pub sample_ratio: f64,
}

impl TelemetryConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            log_filter: reader.required("telemetry.log_filter")?,
            log_format: reader.required("telemetry.log_format")?,
            otlp_endpoint: reader.optional("telemetry.otlp_endpoint"),
            sample_ratio: reader.required("telemetry.sample_ratio")?,
        })
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object to a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}
