//! One layer of the configuration: what it gives, checked value by value.

use std::path::Path;

use crate::database_url;
use crate::environment::Environment;
use crate::kind::Kind;
use crate::origin::{Origin, Source};
use crate::settings::{self, Setting, Spelled};

/// A value given in a layer. No `Debug`: the value may be a secret.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) setting: &'static Setting,
    /// In the setting's canonical form.
    pub(crate) value: String,
    pub(crate) origin: Origin,
    /// Part of a database URL, which is an address of its own: parts of weaker layers are not mixed into it.
    pub(crate) from_url: bool,
    pub(crate) fallback: bool,
}

/// Problems and warnings, gathered while layers are read.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Settings that were given wrongly: what follows from their absence is no problem of its own.
    pub(crate) refused: Vec<&'static str>,
}

impl Findings {
    pub(crate) fn refuse(&mut self, setting: &'static Setting, problem: String) {
        self.problems.push(problem);
        match setting.key {
            "database.url" => self.refused.extend(settings::ADDRESS_PARTS),
            key => self.refused.push(key),
        }
    }
}

/// What one layer gives.
pub(crate) struct Layer<'a> {
    source: Source,
    /// Relative files that hold secrets are sought here.
    working_dir: &'a Path,
    pub(crate) given: Vec<Given>,
}

impl<'a> Layer<'a> {
    pub(crate) fn new(source: Source, working_dir: &'a Path) -> Self {
        Self {
            source,
            working_dir,
            given: Vec::new(),
        }
    }

    /// A layer of variables: `.env` or the process environment.
    pub(crate) fn variables(&mut self, environment: &Environment, findings: &mut Findings) {
        for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
            match settings::by_variable(name) {
                Some(spelled) => {
                    if let Some(plain) = name.strip_suffix("_FILE").filter(|_| spelled.in_file)
                        && environment.get(plain).is_some()
                    {
                        let problem = format!(
                            "{plain} and {name} are both set{}: keep one of them",
                            self.place()
                        );
                        findings.refuse(spelled.setting, problem);
                        continue;
                    }
                    if is_kubernetes_port(spelled.setting, name, value) {
                        findings.warnings.push(format!(
                            "{name}={value} was put there by Kubernetes for a service of that name, and is not heard"
                        ));
                        continue;
                    }
                    // libpq's variable counts in bare seconds; every other duration has a unit.
                    let value = if name == "PGCONNECT_TIMEOUT" {
                        database_url::seconds(value)
                    } else {
                        value.into()
                    };
                    self.take(spelled, name, value, findings);
                }
                None => self.unknown_variable(name, value, findings),
            }
        }
        for name in environment.unreadable() {
            if let Some(spelled) = settings::by_variable(name) {
                findings.refuse(spelled.setting, format!("{name} is not valid UTF-8"));
            }
        }
    }

    /// Takes one value, from the file it names if it names one, and checks it.
    pub(crate) fn take(&mut self, spelled: Spelled, name: &str, value: String, findings: &mut Findings) {
        let setting = spelled.setting;
        let value = if spelled.in_file {
            match self.read_secret(&value) {
                Ok(value) => value,
                Err(reason) => return findings.refuse(setting, format!("{name}{}: {reason}", self.place())),
            }
        } else {
            value
        };
        if value.is_empty() {
            return;
        }
        if value.contains('\0') {
            return findings.refuse(
                setting,
                format!("{name}{} contains a NUL character", self.place()),
            );
        }
        let origin = Origin {
            source: self.source.clone(),
            name: name.to_owned(),
        };
        let give = |setting, value, from_url| Given {
            setting,
            value,
            origin: origin.clone(),
            from_url,
            fallback: spelled.fallback,
        };
        if setting.key == "database.url" {
            match database_url::parse(&value) {
                Ok(url) => {
                    if !url.ignored.is_empty() {
                        findings
                            .warnings
                            .push(format!("{name}: ignored its {}", url.ignored.join(", ")));
                    }
                    for (key, value) in url.parts {
                        let Some(part) = settings::by_key(key) else {
                            continue;
                        };
                        match part.setting.kind.canonical(&value) {
                            Ok(value) => self.given.push(give(part.setting, value, true)),
                            Err(expected) => {
                                let problem = format!("{name}{}: its part {key}: {expected}", self.place());
                                findings.refuse(part.setting, problem);
                            }
                        }
                    }
                    return;
                }
                Err(reason) => {
                    let problem = format!("{name}{} is not a database URL: {reason}", self.place());
                    return findings
                        .refuse(setting, format!("{problem}; expected {}", setting.kind.accepts()));
                }
            }
        }
        match setting.kind.canonical(&value) {
            Ok(value) => self.given.push(give(setting, value, false)),
            Err(expected) if setting.secret => {
                findings.refuse(setting, format!("{name}{}: {expected}", self.place()));
            }
            Err(expected) => {
                findings.refuse(setting, format!("{name}={value:?}{}: {expected}", self.place()));
            }
        }
    }

    /// `PLINTH_` is ours alone, so a name we do not know is a slip of the pen.
    fn unknown_variable(&self, name: &str, value: &str, findings: &mut Findings) {
        let foreign = !name.starts_with("PLINTH_")
            || name == settings::CONFIG_FILE_VARIABLE
            || name.starts_with("PLINTH_TEST_")
            || is_kubernetes_link(name, value);
        if !foreign {
            findings.problems.push(format!(
                "{name}{} is not a variable of Plinth; did you mean {}?",
                self.place(),
                settings::nearest_variable(name)
            ));
        }
    }

    /// The content of a file without one newline at its end.
    fn read_secret(&self, path: &str) -> Result<String, String> {
        let content = std::fs::read(self.working_dir.join(path))
            .map_err(|error| format!("the file {path} cannot be read: {error}"))?;
        let content = String::from_utf8(content).map_err(|_error| format!("the file {path} is not UTF-8"))?;
        let content = content.strip_suffix('\n').unwrap_or(&content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        if content.is_empty() {
            Err(format!("the file {path} is empty"))
        } else {
            Ok(content.to_owned())
        }
    }

    fn place(&self) -> String {
        match &self.source {
            Source::Default => " (compiled-in default)".into(),
            Source::File(file) => format!(" in {file}"),
            Source::DotEnv => " in .env".into(),
            Source::Environment => " in the environment".into(),
            Source::Flag => " on the command line".into(),
        }
    }

    /// Two spellings of one setting that differ are an error; what they agree on counts once.
    pub(crate) fn check_contradictions(&self, findings: &mut Findings) {
        for setting in settings::SETTINGS {
            for fallback in [false, true] {
                let mut given = self
                    .given
                    .iter()
                    .filter(|given| given.setting.key == setting.key && given.fallback == fallback);
                let Some(first) = given.next() else { continue };
                if let Some(other) = given.find(|other| other.value != first.value) {
                    findings.refuse(setting, self.contradiction(first, other));
                }
            }
        }
    }

    fn contradiction(&self, first: &Given, other: &Given) -> String {
        let what = first.setting.key;
        let show = |given: &Given| match (given.setting.secret, given.from_url) {
            (true, true) => format!("{} (its password)", given.origin.name),
            (true, false) => given.origin.name.clone(),
            (false, true) => format!("{} (its {what} is {:?})", given.origin.name, given.value),
            (false, false) => format!("{}={:?}", given.origin.name, given.value),
        };
        let secret = if first.setting.secret {
            " (the values are secret)"
        } else {
            ""
        };
        format!(
            "{} and {}{} contradict each other{secret}: both give {what}; keep one of them",
            show(first),
            show(other),
            self.place()
        )
    }
}

/// Kubernetes gives every pod `<SERVICE>_PORT=tcp://…` for each service, and a service may well be called `postgres`.
fn is_kubernetes_port(setting: &Setting, name: &str, value: &str) -> bool {
    matches!(setting.kind, Kind::Integer { .. }) && name.ends_with("_PORT") && value.starts_with("tcp://")
}

/// The rest of what Kubernetes gives for a service called `plinth` or `plinth-api`.
fn is_kubernetes_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || value.starts_with("tcp://")
        || value.starts_with("udp://")
        || ((name.contains("_TCP_") || name.contains("_UDP_"))
            && ["_ADDR", "_PORT", "_PROTO"].iter().any(|end| name.ends_with(end)))
}
