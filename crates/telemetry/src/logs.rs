//! Log lines.

use std::io::{self, IsTerminal};

use app_config::{LogFormat, TelemetryConfig};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::TelemetryError;

/// The layer that writes log lines, with the configured filter of its own.
pub(crate) fn layer<W>(
    config: &TelemetryConfig,
    writer: W,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&config.log_filter)
        .map_err(|source| TelemetryError::Filter {
            filter: config.log_filter.clone(),
            source,
        })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match config.log_format {
        LogFormat::Text => layer
            .with_ansi(io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
        // The innermost span carries the request's fields; the list of all of them would repeat it.
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
    })
}
