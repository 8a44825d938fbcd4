//! Metrics, in Prometheus' text form.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::TelemetryError;

/// Upper bounds, in seconds, of the buckets of every histogram whose name ends in `_seconds`: half a millisecond, as a
/// cached read takes, to ten seconds, where a statement is cut off.
pub const SECONDS_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often histograms are tidied: between two readings they keep every single sample.
const UPKEEP: Duration = Duration::from_secs(5);

/// Reads the metrics. Cheap to clone, for use from any thread.
#[derive(Clone, Debug)]
pub struct MetricsHandle(pub(crate) PrometheusHandle);

impl MetricsHandle {
    /// All metrics in Prometheus' text form (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// The process's recorder and the thread that tidies it, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    /// Never sent to: its end is the signal.
    _alive: mpsc::Sender<()>,
}

impl Metrics {
    /// Records the metrics of the whole process.
    pub(crate) fn install() -> Result<Self, TelemetryError> {
        let recorder = recorder()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_error| TelemetryError::AlreadyStarted)?;

        let (alive, ended) = mpsc::channel();
        let tidied = handle.clone();
        thread::Builder::new()
            .name("metrics-upkeep".into())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(UPKEEP) {
                    tidied.run_upkeep();
                }
            })
            .map_err(|error| TelemetryError::Metrics(error.to_string()))?;
        Ok(Self {
            handle,
            _alive: alive,
        })
    }

    pub(crate) fn handle(&self) -> MetricsHandle {
        MetricsHandle(self.handle.clone())
    }
}

pub(crate) fn recorder() -> Result<PrometheusRecorder, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
        .map(PrometheusBuilder::build_recorder)
        .map_err(|error| TelemetryError::Metrics(error.to_string()))
}
