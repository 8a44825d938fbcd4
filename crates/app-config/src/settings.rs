//! The one table of settings: keys, kinds and every accepted spelling.
//!
//! A loader of our own over this table, rather than the `config` crate: the accepted variables are aliases that may
//! contradict one another, every value must know where it came from, and secrets must not reach an error message.
//! None of that is what `config` does, and what it does besides is a dozen lines here.

use crate::kind::Kind;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Section and name as in `plinth.toml`: `database.pool_size`.
    pub key: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Other variables that mean the same, with the same rank as Plinth's own name.
    pub also: &'static [&'static str],
    /// Variables of other programs that are heard only where nothing else gives the setting.
    pub fallback: &'static [&'static str],
    /// Whether the value is never shown.
    pub secret: bool,
}

impl Setting {
    const fn new(key: &'static str, kind: Kind) -> Self {
        Self {
            key,
            kind,
            also: &[],
            fallback: &[],
            secret: false,
        }
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    const fn fallback(self, fallback: &'static [&'static str]) -> Self {
        Self { fallback, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Plinth's own variable: `PLINTH_` and the key, `PLINTH_DATABASE_POOL_SIZE`.
    pub fn variable(&self) -> String {
        format!("PLINTH_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Every accepted variable, our own first; each secret's also with `_FILE` behind it.
    pub fn variables(&self) -> Vec<String> {
        let mut names = vec![self.variable()];
        names.extend(
            self.also
                .iter()
                .chain(self.fallback)
                .map(|name| (*name).to_owned()),
        );
        names
    }

    /// Whether the value may come from a file: `<VARIABLE>_FILE` and `<key>_file`.
    pub fn takes_file(&self) -> bool {
        self.secret
    }
}

const MIB: u64 = 1024 * 1024;
const MAX_U32: u64 = u32::MAX as u64;

/// All settings, in the order of the default file.
pub const SETTINGS: &[Setting] = &[
    Setting::new("server.bind", Kind::SocketAddress),
    Setting::new("server.metrics_bind", Kind::SocketAddress),
    Setting::new("server.workers", Kind::Integer { min: 0, max: 1024 }),
    Setting::new(
        "server.body_limit_bytes",
        Kind::Integer {
            min: 1024,
            max: 64 * MIB,
        },
    ),
    Setting::new("server.header_timeout", Kind::Duration),
    Setting::new("server.request_timeout", Kind::Duration),
    Setting::new("server.send_timeout", Kind::Duration),
    Setting::new("server.keep_alive", Kind::Duration),
    Setting::new("server.shutdown_grace", Kind::Duration),
    Setting::new("server.cookie_secure", Kind::OneOf(&["auto", "always", "never"])),
    Setting::new("server.trusted_proxies", Kind::Networks),
    Setting::new("database.url", Kind::DatabaseUrl)
        .also(&["DATABASE_URL"])
        .secret(),
    Setting::new("database.direct_url", Kind::DatabaseUrl)
        .also(&["DATABASE_DIRECT_URL"])
        .secret(),
    Setting::new("database.type", Kind::DatabaseType).also(&["DATABASE_TYPE"]),
    Setting::new("database.host", Kind::Host)
        .also(&["DBHOST", "DATABASE_HOST", "POSTGRES_HOST"])
        .fallback(&["PGHOST"]),
    Setting::new("database.port", Kind::Integer { min: 1, max: 65_535 })
        .also(&["DBPORT", "DATABASE_PORT", "POSTGRES_PORT"])
        .fallback(&["PGPORT"]),
    Setting::new("database.name", Kind::Text)
        .also(&["DBNAME", "DATABASE_NAME", "POSTGRES_DATABASE", "POSTGRES_DB"])
        .fallback(&["PGDATABASE"]),
    Setting::new("database.user", Kind::Text)
        .also(&["DBUSERNAME", "DATABASE_USERNAME", "POSTGRES_USER"])
        .fallback(&["PGUSER"]),
    Setting::new("database.password", Kind::Text)
        .also(&["DBPASSWORD", "DATABASE_PASSWORD", "POSTGRES_PASSWORD"])
        .fallback(&["PGPASSWORD"])
        .secret(),
    Setting::new("database.ssl", Kind::Ssl)
        .also(&["DBSSL", "DATABASE_SSL", "POSTGRES_SSL"])
        .fallback(&["PGSSLMODE"]),
    Setting::new("database.ssl_root_cert", Kind::Text).fallback(&["PGSSLROOTCERT"]),
    Setting::new("database.ssl_cert", Kind::Text).fallback(&["PGSSLCERT"]),
    Setting::new("database.ssl_key", Kind::Text).fallback(&["PGSSLKEY"]),
    Setting::new("database.require_tls", Kind::Boolean).also(&["PLINTH_REQUIRE_TLS"]),
    Setting::new("database.pool_size", Kind::Integer { min: 1, max: 10_000 }).also(&["DATABASE_POOL_SIZE"]),
    Setting::new("database.domain_share", Kind::Ratio),
    Setting::new("database.acquire_timeout", Kind::Duration),
    Setting::new("database.connect_timeout", Kind::Duration).fallback(&["PGCONNECT_TIMEOUT"]),
    Setting::new("database.statement_timeout", Kind::Duration),
    Setting::new("database.idle_in_transaction_timeout", Kind::Duration),
    Setting::new("database.connection_lifetime", Kind::Duration),
    Setting::new("database.migrate_on_start", Kind::Boolean).also(&["PLINTH_MIGRATE_ON_START"]),
    Setting::new("database.local", Kind::OneOf(&["auto", "never"])),
    Setting::new("security.encryption_key", Kind::Text)
        .also(&["POSTGRES_ENCRYPTION_KEY"])
        .secret(),
    Setting::new("security.password_pepper", Kind::Text)
        .also(&["PLINTH_PASSWORD_PEPPER"])
        .secret(),
    // Below 10 is too cheap to guess; 16 keeps a backend busy for over four seconds a password.
    Setting::new("security.bcrypt_cost", Kind::Integer { min: 10, max: 16 }),
    Setting::new(
        "security.password_hash_concurrency",
        Kind::Integer { min: 1, max: 1024 },
    ),
    Setting::new("security.session_idle", Kind::Duration),
    Setting::new("security.session_lifetime", Kind::Duration),
    Setting::new(
        "security.login_rate_per_address",
        Kind::Integer { min: 1, max: MAX_U32 },
    ),
    Setting::new(
        "security.login_rate_per_account",
        Kind::Integer { min: 1, max: MAX_U32 },
    ),
    Setting::new(
        "security.login_rate_per_account_total",
        Kind::Integer { min: 1, max: MAX_U32 },
    ),
    Setting::new(
        "security.denial_rate_per_credential",
        Kind::Integer { min: 1, max: MAX_U32 },
    ),
    Setting::new("setup.token", Kind::Text).secret(),
    Setting::new("setup.auto", Kind::Boolean),
    Setting::new("setup.operator_email", Kind::Text),
    Setting::new("setup.operator_password", Kind::Text).secret(),
    Setting::new("setup.domain_slug", Kind::Text),
    Setting::new("setup.domain_name", Kind::Text),
    Setting::new("setup.demo", Kind::Boolean),
    Setting::new("backup.url", Kind::Text),
    Setting::new("backup.recipients", Kind::Text),
    Setting::new("backup.identity", Kind::Text).secret(),
    Setting::new("backup.s3_endpoint", Kind::HttpUrl).fallback(&["AWS_ENDPOINT_URL"]),
    Setting::new("backup.s3_region", Kind::Text).fallback(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
    Setting::new("backup.s3_root_cert", Kind::Text),
    Setting::new("backup.s3_access_key_id", Kind::Text)
        .fallback(&["AWS_ACCESS_KEY_ID"])
        .secret(),
    Setting::new("backup.s3_secret_access_key", Kind::Text)
        .fallback(&["AWS_SECRET_ACCESS_KEY"])
        .secret(),
    Setting::new("backup.s3_session_token", Kind::Text)
        .fallback(&["AWS_SESSION_TOKEN"])
        .secret(),
    Setting::new("backup.keep_daily", Kind::Integer { min: 0, max: 10_000 }),
    Setting::new("backup.keep_weekly", Kind::Integer { min: 0, max: 10_000 }),
    Setting::new("backup.keep_monthly", Kind::Integer { min: 0, max: 10_000 }),
    Setting::new("backup.schedule", Kind::Text),
    Setting::new("backup.drill_schedule", Kind::Text),
    Setting::new("backup.prune_schedule", Kind::Text),
    Setting::new("backup.time_zone", Kind::Text),
    Setting::new("jobs.worker", Kind::Boolean),
    Setting::new("jobs.concurrency", Kind::Integer { min: 1, max: 1000 }),
    Setting::new("jobs.metrics_bind", Kind::SocketAddress),
    Setting::new("jobs.shutdown_grace", Kind::Duration),
    Setting::new("jobs.keep_activity_days", Kind::Integer { min: 0, max: 36_500 }),
    Setting::new("telemetry.log_filter", Kind::Text)
        .also(&["PLINTH_LOG"])
        .fallback(&["RUST_LOG"]),
    Setting::new("telemetry.log_format", Kind::OneOf(&["text", "json"])).also(&["PLINTH_LOG_FORMAT"]),
    Setting::new("telemetry.otlp_endpoint", Kind::HttpUrl).fallback(&["OTEL_EXPORTER_OTLP_ENDPOINT"]),
    Setting::new("telemetry.sample_ratio", Kind::Ratio),
    Setting::new("paths.persistent_dir", Kind::Text),
    Setting::new("paths.state_dir", Kind::Text),
    Setting::new("paths.postgres_bin", Kind::Text).also(&["PLINTH_POSTGRES_BIN"]),
];

/// The variable that names the configuration file, instead of `plinth.toml`. Not a setting: it says where settings are.
pub(crate) const CONFIG_FILE_VARIABLE: &str = "PLINTH_CONFIG_FILE";

/// The parts of an address that a URL speaks for as a whole.
pub(crate) const ADDRESS_PARTS: [&str; 5] = [
    "database.host",
    "database.port",
    "database.name",
    "database.user",
    "database.password",
];

/// How a spelling gives its setting.
#[derive(Clone, Copy)]
pub(crate) struct Spelled {
    pub(crate) setting: &'static Setting,
    /// The value is in the file that the spelling names.
    pub(crate) in_file: bool,
    /// Heard only where nothing else gives the setting.
    pub(crate) fallback: bool,
}

/// The setting that a variable gives, if it gives one.
pub(crate) fn by_variable(name: &str) -> Option<Spelled> {
    let find = |name: &str| {
        SETTINGS.iter().find_map(|setting| {
            let fallback = setting.fallback.contains(&name);
            (fallback || setting.also.contains(&name) || setting.variable() == name).then_some(Spelled {
                setting,
                in_file: false,
                fallback,
            })
        })
    };
    find(name).or_else(|| {
        let spelled = find(name.strip_suffix("_FILE")?)?;
        spelled.setting.takes_file().then_some(Spelled {
            in_file: true,
            ..spelled
        })
    })
}

/// The setting that a key of the file or a flag gives, if it gives one.
pub(crate) fn by_key(key: &str) -> Option<Spelled> {
    let find = |key: &str| {
        let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
        Some(Spelled {
            setting,
            in_file: false,
            fallback: false,
        })
    };
    find(key).or_else(|| {
        let spelled = find(key.strip_suffix("_file")?)?;
        spelled.setting.takes_file().then_some(Spelled {
            in_file: true,
            ..spelled
        })
    })
}

/// The accepted `PLINTH_…` name nearest to a mistyped one.
pub(crate) fn nearest_variable(name: &str) -> String {
    let mut names = vec![CONFIG_FILE_VARIABLE.to_owned()];
    for setting in SETTINGS {
        for own in setting
            .variables()
            .into_iter()
            .filter(|own| own.starts_with("PLINTH_"))
        {
            if setting.takes_file() {
                names.push(format!("{own}_FILE"));
            }
            names.push(own);
        }
    }
    nearest(name, names.into_iter())
}

/// The key nearest to a mistyped one.
pub(crate) fn nearest_key(key: &str) -> String {
    let files = SETTINGS
        .iter()
        .filter(|setting| setting.takes_file())
        .map(|setting| format!("{}_file", setting.key));
    nearest(
        key,
        SETTINGS.iter().map(|setting| setting.key.to_owned()).chain(files),
    )
}

fn nearest(name: &str, valid: impl Iterator<Item = String>) -> String {
    valid
        .min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate))
        .unwrap_or_default()
}
