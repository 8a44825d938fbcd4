//! Each layer on its own, with a subscriber for the test alone.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;

use app_config::{LogFormat, TelemetryConfig};
use tracing::subscriber::with_default;
use tracing::{debug, info, info_span};

use crate::metrics::{MetricsHandle, SECONDS_BUCKETS, recorder};
use crate::{continue_trace, link_trace, subscriber, trace_id, traceparent};

/// What the log wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn config() -> TelemetryConfig {
    TelemetryConfig {
        log_filter: "info".into(),
        log_format: LogFormat::Text,
        otlp_endpoint: None,
        sample_ratio: 1.0,
    }
}

/// What the log says of what `work` does.
fn log(config: &TelemetryConfig, work: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let (subscriber, traces) = subscriber("plinth-test", config, move || writer.clone()).unwrap();
    with_default(subscriber, work);
    drop(traces);
    written.text()
}

#[test]
fn text_lines_pass_the_filter() {
    let filtered = TelemetryConfig {
        log_filter: "warn,telemetry=info".into(),
        ..config()
    };
    let text = log(&filtered, || {
        info!(answer = 42, "heard");
        debug!("too quiet");
        info!(target: "elsewhere", "from elsewhere");
    });
    assert!(
        text.contains("INFO") && text.contains("heard answer=42"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn json_lines_carry_the_span() {
    let text = log(
        &TelemetryConfig {
            log_format: LogFormat::Json,
            ..config()
        },
        || {
            let _entered = info_span!("request", id = "r1").entered();
            info!(answer = 42, "heard");
        },
    );
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "heard");
    assert_eq!(line["answer"], 42);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["span"]["id"], "r1");
}

#[test]
fn what_is_not_valid_is_named() {
    let wrong = TelemetryConfig {
        log_filter: "info,a=loud".into(),
        ..config()
    };
    let error = subscriber("plinth-test", &wrong, std::io::sink)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains(r#""info,a=loud""#), "{error}");
    let wrong = TelemetryConfig {
        otlp_endpoint: Some("http://a b".into()),
        ..config()
    };
    let error = subscriber("plinth-test", &wrong, std::io::sink)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains("http://a b"), "{error}");
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Port 9 answers nobody: a collector that is down stops nothing.
fn traced() -> TelemetryConfig {
    TelemetryConfig {
        otlp_endpoint: Some("http://127.0.0.1:9".into()),
        ..config()
    }
}

#[test]
fn a_caller_s_trace_is_continued() {
    log(&traced(), || {
        let span = info_span!("request");
        assert!(continue_trace(&span, &format!("00-{TRACE}-b7ad6b7169203331-01")));
        assert_eq!(trace_id(&span).as_deref(), Some(TRACE));
        let inner = span.in_scope(|| info_span!("inner"));
        assert_eq!(trace_id(&inner).as_deref(), Some(TRACE));
    });
}

#[test]
fn what_a_request_causes_is_linked_to_it() {
    log(&traced(), || {
        let request = info_span!("request");
        assert!(continue_trace(
            &request,
            &format!("00-{TRACE}-b7ad6b7169203331-01")
        ));
        let parent = traceparent(&request).unwrap();
        assert!(
            parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"),
            "{parent}"
        );
        assert_eq!(parent.len(), 55);
        // A trace of its own, with a link.
        let job = info_span!("job");
        assert!(link_trace(&job, &parent));
        assert_ne!(trace_id(&job).as_deref(), Some(TRACE));
        assert!(!link_trace(&info_span!("job"), "nonsense"));
    });
    log(&config(), || {
        let span = info_span!("request");
        assert_eq!(traceparent(&span), None, "traces are off");
        assert!(!link_trace(&span, &format!("00-{TRACE}-b7ad6b7169203331-01")));
    });
}

#[test]
fn a_malformed_traceparent_starts_a_trace_of_its_own() {
    let zero = "0".repeat(32);
    let malformed = [
        String::new(),
        "nonsense".into(),
        format!("00-{TRACE}-b7ad6b7169203331"),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00-{zero}-b7ad6b7169203331-01"),
        format!("ff-{TRACE}-b7ad6b7169203331-01"),
        format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
        "\u{fc}".repeat(55),
    ];
    log(&traced(), || {
        for header in malformed {
            let span = info_span!("request");
            assert!(!continue_trace(&span, &header), "{header}");
            let own = trace_id(&span).unwrap();
            assert!(own != TRACE && own != zero, "{header}: {own}");
        }
    });
}

#[test]
fn without_a_collector_nothing_is_traced() {
    log(&config(), || {
        let span = info_span!("request");
        assert!(!continue_trace(&span, &format!("00-{TRACE}-b7ad6b7169203331-01")));
        assert_eq!(trace_id(&span), None);
    });
}

/// The log's filter is for the log.
#[test]
fn a_quiet_log_does_not_stop_traces() {
    let quiet = TelemetryConfig {
        log_filter: "off".into(),
        ..traced()
    };
    let text = log(&quiet, || assert!(trace_id(&info_span!("request")).is_some()));
    assert_eq!(text, "");
}

#[test]
fn metrics_render_from_any_thread() {
    let recorder = recorder().unwrap();
    let handle = MetricsHandle(recorder.handle());
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!("requests_total", "route" => "/cards").increment(2);
        metrics::gauge!("pool_connections").set(3.0);
        metrics::histogram!("request_duration_seconds").record(0.004);
    });
    let text = thread::spawn(move || handle.render()).join().unwrap();
    for line in [
        r#"requests_total{route="/cards"} 2"#,
        "pool_connections 3",
        r#"request_duration_seconds_bucket{le="0.0025"} 0"#,
        r#"request_duration_seconds_bucket{le="0.005"} 1"#,
        r#"request_duration_seconds_bucket{le="+Inf"} 1"#,
        "request_duration_seconds_count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert_eq!(
        text.matches("request_duration_seconds_bucket").count(),
        SECONDS_BUCKETS.len() + 1
    );
}
