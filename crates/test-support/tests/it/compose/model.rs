//! The part of the Compose specification that our files use. A key that is not in it is an error: a misspelt key would
//! otherwise be a setting that is silently missing.
#![expect(dead_code, reason = "some keys are read for their spelling alone")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A Compose file, as far as we use the format: <https://github.com/compose-spec/compose-spec>.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compose {
    pub(crate) name: Option<String>,
    pub(crate) services: BTreeMap<String, Service>,
    #[serde(default)]
    pub(crate) networks: BTreeMap<String, Option<Network>>,
    #[serde(default)]
    pub(crate) volumes: BTreeMap<String, Option<Volume>>,
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, Secret>,
    #[serde(rename = "x-hardened")]
    pub(crate) hardened: Option<IgnoredAny>,
    #[serde(rename = "x-plinth")]
    pub(crate) plinth: Option<IgnoredAny>,
    #[serde(rename = "x-step")]
    pub(crate) step: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) image: Option<String>,
    pub(crate) build: Option<Build>,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) secrets: BTreeSet<String>,
    #[serde(default)]
    pub(crate) ports: Vec<String>,
    #[serde(default)]
    pub(crate) volumes: Vec<String>,
    #[serde(default)]
    pub(crate) tmpfs: Vec<String>,
    #[serde(default)]
    pub(crate) networks: BTreeSet<String>,
    #[serde(default)]
    pub(crate) depends_on: BTreeMap<String, Dependency>,
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
    pub(crate) healthcheck: Option<Healthcheck>,
    pub(crate) restart: Option<String>,
    #[serde(default)]
    pub(crate) read_only: bool,
    #[serde(default)]
    pub(crate) cap_drop: Vec<String>,
    #[serde(default)]
    pub(crate) security_opt: Vec<String>,
    pub(crate) deploy: Option<Deploy>,
    pub(crate) shm_size: Option<String>,
    pub(crate) stop_signal: Option<String>,
    pub(crate) stop_grace_period: Option<String>,
    pub(crate) logging: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    pub(crate) context: String,
    pub(crate) dockerfile: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependency {
    pub(crate) condition: Condition,
    #[serde(default = "yes")]
    pub(crate) required: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Condition {
    #[serde(rename = "service_started")]
    Started,
    #[serde(rename = "service_healthy")]
    Healthy,
    #[serde(rename = "service_completed_successfully")]
    Completed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Healthcheck {
    #[serde(default)]
    pub(crate) test: Vec<String>,
    #[serde(default)]
    pub(crate) disable: bool,
    pub(crate) interval: Option<String>,
    pub(crate) timeout: Option<String>,
    pub(crate) retries: Option<u32>,
    pub(crate) start_period: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deploy {
    pub(crate) resources: Resources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resources {
    pub(crate) limits: Limits,
}

/// All three must be given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) cpus: String,
    pub(crate) memory: String,
    pub(crate) pids: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    #[serde(default)]
    pub(crate) internal: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Volume {
    #[serde(default)]
    pub(crate) driver_opts: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secret {
    pub(crate) file: String,
}

fn yes() -> bool {
    true
}

impl Service {
    /// Whether the service ends by itself: it has no restart policy but an explicit `no`.
    pub(crate) fn is_step(&self) -> bool {
        self.restart.as_deref() == Some("no")
    }

    pub(crate) fn is_checked(&self) -> bool {
        self.healthcheck
            .as_ref()
            .is_some_and(|check| !check.disable && !check.test.is_empty())
    }

    /// `source`, `target` and the mode of each volume.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.volumes.iter().map(|volume| {
            let mut parts = volume.split(':');
            let mut next = || parts.next().unwrap_or("");
            (next(), next(), next())
        })
    }
}
