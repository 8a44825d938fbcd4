//! The queues from npm, each in a database of its own on the same server. bench/queue/peer.mjs measures them.

use std::path::Path;

use tokio::process::Command;
use tokio_postgres::config::Host;

use crate::Arguments;
use crate::report::Report;
use crate::scratch::{Server, connect};

#[derive(serde::Deserialize)]
struct Measured {
    completed: u64,
    seconds: f64,
    pick_up_ms: Vec<f64>,
}

/// Seconds that one may take for its jobs; what it has done by then counts.
const LIMIT: u64 = 20;

pub(crate) async fn measure(server: &Server, arguments: &Arguments, report: &mut Report) {
    let Some(folder) = &arguments.peers else { return };
    for (library, settings) in [
        (
            "graphile-worker",
            [
                ("default", "default", "one by one"),
                ("each", "32 at once, `localQueue` 500", "one by one"),
                ("batched", "the same, `completeJobBatchDelay` 0", "batched"),
            ],
        ),
        (
            "pg-boss",
            [
                ("default", "default", "one by one"),
                (
                    "each",
                    "`batchSize` 100 by 8, `complete` for each, `burstWhenBatchFull`, notify",
                    "one by one",
                ),
                (
                    "batched",
                    "`batchSize` 1000 by 4, `burstWhenBatchFull`, notify",
                    "batched",
                ),
            ],
        ),
    ] {
        let name = format!("{library} {}", version(folder, library));
        for (mode, setting, label) in settings {
            let Some(measured) = run(server, arguments, folder, library, mode).await else {
                report.rate(&name, setting, label, f64::NAN, "failed");
                continue;
            };
            let note = if measured.completed < arguments.jobs {
                format!("{} jobs in {LIMIT} s", measured.completed)
            } else {
                String::new()
            };
            report.rate(
                &name,
                setting,
                label,
                measured.completed as f64 / measured.seconds,
                &note,
            );
            report.pick_up(&name, setting, &measured.pick_up_ms);
        }
    }
}

fn version(folder: &Path, library: &str) -> String {
    let file = folder.join("node_modules").join(library).join("package.json");
    let package: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    package["version"].as_str().unwrap_or("?").to_owned()
}

async fn run(
    server: &Server,
    arguments: &Arguments,
    folder: &Path,
    library: &str,
    mode: &str,
) -> Option<Measured> {
    let database = format!("{}_{mode}", library.replace('-', "_"));
    let admin = connect(&server.config("postgres")).await;
    admin
        .batch_execute(&format!("CREATE DATABASE {database}"))
        .await
        .unwrap();
    admin.batch_execute("CHECKPOINT").await.unwrap();
    let config = server.config(&database);
    let Host::Unix(host) = &config.get_hosts()[0] else {
        panic!("not a socket")
    };
    let output = Command::new(&arguments.node)
        .arg("peer.mjs")
        .args([library, mode, &arguments.jobs.to_string(), &LIMIT.to_string()])
        .current_dir(folder)
        .env("PGHOST", host)
        .env("PGPORT", config.get_ports()[0].to_string())
        .env("PGUSER", config.get_user().unwrap())
        .env("PGDATABASE", &database)
        .env("NODE_ENV", "production")
        .stderr(std::process::Stdio::inherit())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let measured = text
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    if measured.is_none() {
        crate::say(&format!("{library} {mode} failed: {} {text}", output.status));
    }
    measured
}
