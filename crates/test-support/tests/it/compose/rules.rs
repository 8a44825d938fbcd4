//! What must hold for a Compose file of ours. Each rule returns its breaches, so that the tests can also show that it
//! sees them.

use std::path::Path;

use super::model::{Compose, Condition, Service};

/// Rules for both files.
pub(crate) fn breaches(compose: &Compose, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (name, service) in &compose.services {
        let mut breach = |text: String| found.push(format!("{name}: {text}"));
        if service.image.is_none() && service.build.is_none() {
            breach("has neither image nor build".into());
        }
        if let Some(build) = &service.build {
            let file = root
                .join(&build.context)
                .join(build.dockerfile.as_deref().unwrap_or("Dockerfile"));
            if !file.is_file() {
                breach(format!("is built from {}, which is not there", file.display()));
            }
        }
        for port in &service.ports {
            if !port.starts_with("127.0.0.1:") {
                breach(format!("publishes {port}, not on loopback"));
            }
        }
        if !service.is_step() && !service.is_checked() && !service.profiles.contains(&"ops".to_owned()) {
            breach("runs without a health check".into());
        }
        for (source, target, mode) in service.mounts() {
            if source.starts_with("./") {
                if !root.join(source).exists() {
                    breach(format!("mounts {source}, which is not there"));
                }
                if mode != "ro" {
                    breach(format!("may write to {source} (mounted at {target})"));
                }
            } else if !compose.volumes.contains_key(source) {
                breach(format!("mounts the volume {source}, which is not declared"));
            }
        }
        for network in &service.networks {
            if !compose.networks.contains_key(network) {
                breach(format!("is on the network {network}, which is not declared"));
            }
        }
        for (other, dependency) in &service.depends_on {
            match compose.services.get(other) {
                None => breach(format!("waits for {other}, which is not there")),
                Some(other_service) => {
                    dependency_breaches(
                        service,
                        other,
                        other_service,
                        dependency.condition,
                        dependency.required,
                    )
                    .into_iter()
                    .for_each(&mut breach);
                }
            }
        }
    }
    found
}

fn dependency_breaches(
    service: &Service,
    other: &str,
    other_service: &Service,
    condition: Condition,
    required: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    match condition {
        Condition::Started => found.push(format!("waits for {other} to start, which says nothing")),
        Condition::Healthy if !other_service.is_checked() => {
            found.push(format!("waits for the health of {other}, which is not checked"));
        }
        Condition::Completed if !other_service.is_step() => {
            found.push(format!("waits for the end of {other}, which does not end"));
        }
        Condition::Healthy | Condition::Completed => {}
    }
    let hidden = other_service
        .profiles
        .iter()
        .any(|profile| !service.profiles.contains(profile));
    if required && hidden {
        found.push(format!("needs {other}, which is behind another profile"));
    }
    found
}

/// Rules for production alone.
pub(crate) fn production_breaches(compose: &Compose) -> Vec<String> {
    let mut found = Vec::new();
    for (name, service) in &compose.services {
        let mut breach = |text: String| found.push(format!("{name}: {text}"));
        if !service.read_only {
            breach("may write to its root file system".into());
        }
        if service.cap_drop != ["ALL"] {
            breach("keeps capabilities".into());
        }
        if service.security_opt != ["no-new-privileges:true"] {
            breach("may gain privileges".into());
        }
        if service.deploy.is_none() {
            breach("has no limits".into());
        }
        match service.user.as_deref().and_then(|user| user.split_once(':')) {
            Some((uid, _)) if uid.parse().is_ok_and(|uid: u32| uid > 0) => {}
            _ => breach(format!(
                "runs as {:?}, not as a fixed user other than root",
                service.user
            )),
        }
        match service.restart.as_deref() {
            Some("no" | "unless-stopped") => {}
            other => breach(format!("has the restart policy {other:?}")),
        }
        if service.image.as_ref().is_none_or(|image| !image.contains(':')) {
            breach("names an image without a tag".into());
        }
        secret_breaches(compose, service)
            .into_iter()
            .for_each(&mut breach);
    }
    for (name, secret) in &compose.secrets {
        if !secret.file.ends_with(&format!("/{name}")) {
            found.push(format!("the secret {name} is in {}", secret.file));
        }
        if !compose
            .services
            .values()
            .any(|service| service.secrets.contains(name))
        {
            found.push(format!("nobody uses the secret {name}"));
        }
    }
    found
}

/// A secret comes as a file that the service was given, never as text.
fn secret_breaches(compose: &Compose, service: &Service) -> Vec<String> {
    const TELLING: [&str; 6] = ["PASSWORD", "PEPPER", "SECRET", "TOKEN", "_KEY", "URL"];
    let mut found = Vec::new();
    for (variable, value) in &service.environment {
        // Where backups are is no secret; who may write there is.
        if variable == "PLINTH_BACKUP_URL" || !TELLING.iter().any(|word| variable.contains(word)) {
            continue;
        }
        match value.strip_prefix("/run/secrets/") {
            Some(secret) if variable.ends_with("_FILE") && service.secrets.contains(secret) => {}
            _ => found.push(format!("{variable} is not a secret that the service was given")),
        }
    }
    for secret in &service.secrets {
        if !compose.secrets.contains_key(secret) {
            found.push(format!("uses the secret {secret}, which is not declared"));
        }
    }
    let text = service.command.iter().chain(service.environment.values());
    for text in text.filter(|text| text.contains("://") && text.contains('@')) {
        found.push(format!("has an address with a login in plain text: {text}"));
    }
    found
}
