//! The encryption key, and files with secrets that others could read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use app_config::{Environment, Loaded, SETTINGS, Source};
use db_core::setup::{KeyError, KeySource};

use super::catalogue::{KEY, KEY_FITS, SECRET_FILES};
use super::check::{Findings, Trouble};

/// Group and others.
const OTHERS: u32 = 0o077;

/// The key, and whether it is the one that the installation remembers; `fingerprints` where that could be asked, inner `None`
/// while it is not set up.
pub fn look(findings: &mut Findings, loaded: &Loaded, fingerprints: Option<Option<&[String]>>) {
    let source = KeySource::from_config(&loaded.config);
    let configured = loaded.config.security.encryption_key.is_some();
    let keyring = match source.load() {
        Ok(keyring) => keyring,
        Err(KeyError::Missing(path)) => {
            let set_up = matches!(fingerprints, Some(Some(_)));
            if set_up {
                findings.failed(
                    KEY,
                    Trouble::new(
                        format!("POSTGRES_ENCRYPTION_KEY is not set, and {} is not there", path.display()),
                        "data is encrypted with a key that this process does not have; the server refuses to start",
                        "set POSTGRES_ENCRYPTION_KEY (or …_FILE) to the key of the setup, or run where PLINTH_PATHS_PERSISTENT_DIR has it; \
                         if it is lost, look into the copy that was kept: without it everything encrypted is lost",
                    ),
                );
            } else {
                findings.ok(KEY, "none yet; setup makes one");
            }
            return findings.skip_rest([KEY_FITS], "there is no key");
        }
        Err(error) => {
            findings.failed(
                KEY,
                Trouble::new(
                    error.to_string(),
                    "the keyring cannot be read, and the server refuses to start",
                    "correct POSTGRES_ENCRYPTION_KEY: keys of 32 bytes or more, separated by commas, newest first",
                ),
            );
            return findings.skip_rest([KEY_FITS], "there is no key");
        }
    };
    let from = if configured {
        "POSTGRES_ENCRYPTION_KEY".to_owned()
    } else {
        source.path().display().to_string()
    };
    findings.ok(KEY, format!("{from}, newest {}", keyring.newest_id()));
    match fingerprints {
        None => findings.skipped(KEY_FITS, "the database could not be asked"),
        Some(None) => findings.skipped(KEY_FITS, "not set up yet"),
        Some(Some(remembered)) => match keyring.check(remembered) {
            Ok(()) => findings.ok(KEY_FITS, "the key that the installation was set up with is there"),
            Err(error) => findings.failed(
                KEY_FITS,
                Trouble::new(
                    error.to_string(),
                    "this is another key than the one that data is encrypted with; the server refuses to start",
                    "add the installation's key to POSTGRES_ENCRYPTION_KEY, newest first; look for it where the copy was kept",
                ),
            ),
        },
    }
}

/// Whether others on this machine can read files with secrets.
pub fn files(findings: &mut Findings, loaded: &Loaded, environment: &Environment) {
    let paths = secret_files(loaded, environment);
    let mut open = Vec::new();
    let mut looked = 0;
    for path in &paths {
        let Ok(metadata) = fs::metadata(path) else {
            continue;
        };
        looked += 1;
        let mode = metadata.permissions().mode() & 0o777;
        // Secrets that a container's runtime mounts are often readable by all, in a file system that nobody else sees.
        if mode & OTHERS != 0 && !path.starts_with("/run/secrets") {
            open.push((path, mode));
        }
    }
    if open.is_empty() {
        return findings.ok(
            SECRET_FILES,
            if looked == 0 {
                "none".to_owned()
            } else {
                format!("{looked} readable by their owner alone")
            },
        );
    }
    let list: Vec<String> = open
        .iter()
        .map(|(path, mode)| format!("{} has mode {mode:04o}", path.display()))
        .collect();
    let names: Vec<String> = open.iter().map(|(path, _)| path.display().to_string()).collect();
    findings.warning(
        SECRET_FILES,
        Trouble::new(
            list.join(", "),
            "others on this machine may read the key or the passwords in it",
            format!(
                "chmod 600 {} (and let it belong to the user that Plinth runs as)",
                names.join(" ")
            ),
        ),
    );
}

/// The key file, the files that variables name, and configuration files that give a secret.
fn secret_files(loaded: &Loaded, environment: &Environment) -> Vec<PathBuf> {
    let mut paths = vec![KeySource::from_config(&loaded.config).path().to_owned()];
    for entry in &loaded.entries {
        if entry.value.is_none() {
            continue;
        }
        let secret = SETTINGS
            .iter()
            .any(|setting| setting.key == entry.key && setting.secret);
        if !secret {
            continue;
        }
        match &entry.origin.source {
            Source::File(file) => paths.push(file.into()),
            Source::DotEnv => paths.push(".env".into()),
            Source::Environment if entry.origin.name.ends_with("_FILE") => {
                paths.extend(environment.get(&entry.origin.name).map(PathBuf::from));
            }
            _ => {}
        }
    }
    paths.sort();
    paths.dedup();
    paths
}
