//! What the text of a setting may be, and the one form it is kept in.

use std::net::SocketAddr;
use std::time::Duration;

use crate::address::SslMode;
use crate::database_url;
use crate::sections::Network;

/// The kind of a setting's value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text, kept as it is: `007` stays `007`.
    Text,
    /// One host name, IP address or socket directory.
    Host,
    /// A whole number within bounds.
    Integer {
        /// Smallest accepted value.
        min: u64,
        /// Largest accepted value.
        max: u64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// Yes or no.
    Boolean,
    /// A length of time, at least a millisecond, with its unit.
    Duration,
    /// An IP address and a port.
    SocketAddress,
    /// IP addresses and networks, separated by commas.
    Networks,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// The kind of database: PostgreSQL, the only one there is.
    DatabaseType,
    /// An `sslmode`, or yes (`require`) or no (`disable`).
    Ssl,
    /// `postgresql://…`.
    DatabaseUrl,
    /// `http://…` or `https://…`.
    HttpUrl,
}

impl Kind {
    /// What is accepted, in words that end a sentence.
    pub fn accepts(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Host => "one host name, IP address, or socket directory starting with /".into(),
            Self::Integer { min, max: u64::MAX } => format!("a whole number, at least {min}"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Ratio => "a number from 0 to 1".into(),
            Self::Boolean => "true or false".into(),
            Self::Duration => "a duration with its unit, such as 500ms, 30s, 5m, 12h or 7d".into(),
            Self::SocketAddress => "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".into(),
            Self::Networks => {
                "IP addresses or networks separated by commas, such as 10.0.0.0/8,192.168.1.5".into()
            }
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::DatabaseType => "postgres or postgresql: Plinth runs on PostgreSQL only".into(),
            Self::Ssl => "disable, allow, prefer, require, verify-ca, verify-full, true (require) or false \
                          (disable)"
                .into(),
            Self::DatabaseUrl => "postgresql://user:password@host:port/database?sslmode=…".into(),
            Self::HttpUrl => "a URL that starts with http:// or https://".into(),
        }
    }

    /// The text in the one form it is compared, shown and read in; `true`, `yes` and `1` are all `true`.
    ///
    /// # Errors
    /// Says what is accepted; the text itself is not repeated, because it may be a secret.
    pub(crate) fn canonical(&self, text: &str) -> Result<String, String> {
        let word = text.trim();
        let canonical = match self {
            Self::Text => Some(text.to_owned()),
            Self::Host => (!text.contains(|c: char| c.is_whitespace() || c == ',')).then(|| text.to_owned()),
            Self::Integer { min, max } => integer(word)
                .filter(|number| (min..=max).contains(&number))
                .map(|number| number.to_string()),
            Self::Ratio => word
                .parse::<f64>()
                .ok()
                .filter(|number| (0.0..=1.0).contains(number))
                .map(|number| number.to_string()),
            Self::Boolean => boolean(word).map(|yes| yes.to_string()),
            Self::Duration => duration(word).map(|length| humantime::format_duration(length).to_string()),
            Self::SocketAddress => word.parse::<SocketAddr>().ok().map(|address| address.to_string()),
            Self::Networks => networks(word),
            Self::OneOf(words) => {
                let lower = word.to_ascii_lowercase();
                words.contains(&lower.as_str()).then_some(lower)
            }
            Self::DatabaseType => ["postgres", "postgresql"]
                .contains(&word.to_ascii_lowercase().as_str())
                .then(|| "postgresql".to_owned()),
            Self::Ssl => ssl_mode(word).map(|mode| mode.as_str().to_owned()),
            Self::DatabaseUrl => {
                return database_url::parse(text)
                    .map(|_| text.to_owned())
                    .map_err(|reason| format!("{reason}; expected {}", self.accepts()));
            }
            Self::HttpUrl => ["http://", "https://"]
                .iter()
                .any(|scheme| word.starts_with(scheme) && word.len() > scheme.len())
                .then(|| word.to_owned()),
        };
        canonical.ok_or_else(|| format!("expected {}", self.accepts()))
    }
}

/// Digits only: `u64::from_str` would also take `+5`.
fn integer(word: &str) -> Option<u64> {
    word.chars()
        .all(|c| c.is_ascii_digit())
        .then(|| word.parse().ok())
        .flatten()
}

fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A length of time; zero is refused, because it means "at once" to some libraries and "never" to others.
pub(crate) fn duration(word: &str) -> Option<Duration> {
    humantime::parse_duration(word)
        .ok()
        .filter(|length| length.as_millis() > 0)
}

fn networks(text: &str) -> Option<String> {
    let mut networks = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        networks.push(item.parse::<Network>().ok()?.to_string());
    }
    Some(networks.join(","))
}

/// `allow` is taken as `prefer`: both accept either, and differ only in what is tried first.
fn ssl_mode(word: &str) -> Option<SslMode> {
    match word.to_ascii_lowercase().as_str() {
        "allow" => Some(SslMode::Prefer),
        lower => match boolean(lower) {
            Some(true) => Some(SslMode::Require),
            Some(false) => Some(SslMode::Disable),
            None => lower.parse().ok(),
        },
    }
}
