//! Reading the layers, weakest first, into one configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::environment::Environment;
use crate::error::ConfigError;
use crate::files;
use crate::layer::{Findings, Given, Layer};
use crate::origin::Source;
use crate::reader::Reader;
use crate::sections::{
    BackupConfig, DatabaseConfig, JobsConfig, PathsConfig, SecurityConfig, ServerConfig, SetupConfig,
    TelemetryConfig,
};
use crate::settings::{self, CONFIG_FILE_VARIABLE};
use crate::show::{self, Entry};

/// The file of defaults: every setting, with its meaning.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The database and its pool.
    pub database: DatabaseConfig,
    /// Keys, hashing, sessions.
    pub security: SecurityConfig,
    /// Setting up without a browser.
    pub setup: SetupConfig,
    /// Section `backup`.
    pub backup: BackupConfig,
    /// Background jobs.
    pub jobs: JobsConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Directories.
    pub paths: PathsConfig,
}

impl Default for Config {
    /// The compiled-in defaults alone.
    ///
    /// # Panics
    /// When `default.toml` is wrong, which the tests of this crate rule out.
    fn default() -> Self {
        Loader::new(PathBuf::new(), Environment::default())
            .load_defaults()
            .unwrap_or_else(|error| panic!("default.toml: {error}"))
            .config
    }
}

/// A configuration that was read, and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting with its value and origin; secrets are redacted.
    pub entries: Vec<Entry>,
    /// What is allowed but should be looked at: log it.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// One line for each setting: key, value, origin; then the warnings. Secrets are redacted.
    pub fn to_text(&self) -> String {
        show::text(&self.entries, &self.warnings)
    }

    /// `{"settings": [{"key", "value", "origin"}], "warnings": [..]}`; `value` is text, or null where nothing is set.
    pub fn to_json(&self) -> serde_json::Value {
        show::json(&self.entries, &self.warnings)
    }
}

/// Where the layers come from.
#[derive(Clone, Debug)]
pub struct Loader {
    working_dir: PathBuf,
    environment: Environment,
    config_file: Option<PathBuf>,
    flags: Vec<String>,
}

impl Loader {
    /// Layers from this process: its working directory and its environment.
    pub fn from_process() -> Self {
        // Every path is used relative to the working directory as it is.
        Self::new(PathBuf::new(), Environment::from_process())
    }

    /// Layers from a directory (`plinth.toml`, `.env`) and an environment.
    pub fn new(working_dir: impl Into<PathBuf>, environment: Environment) -> Self {
        Self {
            working_dir: working_dir.into(),
            environment,
            config_file: None,
            flags: Vec::new(),
        }
    }

    /// Reads this file instead of `plinth.toml`, whatever `PLINTH_CONFIG_FILE` says; it must exist.
    pub fn config_file(mut self, path: Option<PathBuf>) -> Self {
        self.config_file = path;
        self
    }

    /// Overrides from the command line, each `key=value` (`database.pool_size=20`): the strongest layer. They show
    /// in process lists: secrets are better given as files (`database.password_file=…`).
    pub fn flags<F: Into<String>>(mut self, flags: impl IntoIterator<Item = F>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut findings = Findings::default();
        let dot_env = files::read_dot_env(&self.working_dir.join(".env"), &mut findings);

        let mut env_file = Layer::new(Source::DotEnv, &self.working_dir);
        env_file.variables(&dot_env, &mut findings);
        let mut environment = Layer::new(Source::Environment, &self.working_dir);
        environment.variables(&self.environment, &mut findings);

        let layers = [
            self.defaults(&mut findings),
            self.file_layer(&dot_env, &mut findings),
            env_file,
            environment,
            self.flag_layer(&mut findings),
        ];
        finish(&layers, findings)
    }

    fn load_defaults(&self) -> Result<Loaded, ConfigError> {
        let mut findings = Findings::default();
        let layers = [self.defaults(&mut findings)];
        finish(&layers, findings)
    }

    fn defaults(&self, findings: &mut Findings) -> Layer<'_> {
        let mut layer = Layer::new(Source::Default, &self.working_dir);
        files::read_toml(DEFAULT_TOML, "default.toml", &mut layer, findings);
        layer
    }

    fn file_layer(&self, dot_env: &Environment, findings: &mut Findings) -> Layer<'_> {
        let variable = || {
            self.environment
                .get(CONFIG_FILE_VARIABLE)
                .or_else(|| dot_env.get(CONFIG_FILE_VARIABLE))
        };
        let asked = self.config_file.clone().or_else(|| variable().map(PathBuf::from));
        let path = asked.clone().unwrap_or_else(|| "plinth.toml".into());
        let name = path.display().to_string();
        let mut layer = Layer::new(Source::File(name.clone()), &self.working_dir);
        match std::fs::read_to_string(self.working_dir.join(&path)) {
            Ok(text) => files::read_toml(&text, &name, &mut layer, findings),
            Err(error) if asked.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings
                .problems
                .push(format!("the configuration file {name} cannot be read: {error}")),
        }
        layer
    }

    fn flag_layer(&self, findings: &mut Findings) -> Layer<'_> {
        let mut layer = Layer::new(Source::Flag, &self.working_dir);
        for flag in &self.flags {
            let Some((key, value)) = flag.split_once('=') else {
                // What was typed may be a secret in the wrong place.
                findings
                    .problems
                    .push("a flag is not of the form key=value, such as database.pool_size=20".into());
                continue;
            };
            match settings::by_key(key) {
                Some(spelled) => layer.take(spelled, key, value.to_owned(), findings),
                None => findings.problems.push(format!(
                    "{key} on the command line is not a setting; did you mean {}?",
                    settings::nearest_key(key)
                )),
            }
        }
        layer
    }
}

/// Merges the layers and reads the sections out of them.
fn finish(layers: &[Layer<'_>], mut findings: Findings) -> Result<Loaded, ConfigError> {
    for layer in layers {
        layer.check_contradictions(&mut findings);
    }
    let values = merge(layers);
    let mut reader = Reader::new(&values, &mut findings);
    let sections = (
        ServerConfig::read(&mut reader),
        DatabaseConfig::read(&mut reader),
        SecurityConfig::read(&mut reader),
        SetupConfig::read(&mut reader),
        BackupConfig::read(&mut reader),
        JobsConfig::read(&mut reader),
        TelemetryConfig::read(&mut reader),
        PathsConfig::read(&mut reader),
    );
    match sections {
        (
            Some(server),
            Some(database),
            Some(security),
            Some(setup),
            Some(backup),
            Some(jobs),
            Some(telemetry),
            Some(paths),
        ) if findings.problems.is_empty() => {
            let entries = show::entries(&values, &database);
            let config = Config {
                server,
                database,
                security,
                setup,
                backup,
                jobs,
                telemetry,
                paths,
            };
            Ok(Loaded {
                config,
                entries,
                warnings: findings.warnings,
            })
        }
        _ => Err(ConfigError {
            problems: findings.problems,
        }),
    }
}

/// The strongest value of each setting. Variables of other programs only beat the defaults.
fn merge(layers: &[Layer<'_>]) -> BTreeMap<&'static str, Given> {
    let mut values: BTreeMap<&'static str, Given> = BTreeMap::new();
    let (defaults, rest) = layers.split_at(1.min(layers.len()));
    let mut take = |given: &Given| drop(values.insert(given.setting.key, given.clone()));
    for given in defaults.iter().flat_map(|layer| &layer.given) {
        take(given);
    }
    for given in rest
        .iter()
        .flat_map(|layer| &layer.given)
        .filter(|given| given.fallback)
    {
        take(given);
    }
    let beneath = values.clone();
    for layer in rest {
        if layer.given.iter().any(|given| given.from_url) {
            // DATABASE_URL in the environment and DBPASSWORD in .env are two addresses, not one.
            for key in settings::ADDRESS_PARTS {
                match beneath.get(key) {
                    Some(given) => drop(values.insert(key, given.clone())),
                    None => drop(values.remove(key)),
                }
            }
        }
        for given in layer.given.iter().filter(|given| !given.fallback) {
            values.insert(given.setting.key, given.clone());
        }
    }
    values
}
