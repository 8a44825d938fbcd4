//! `postgresql://user:password@host:port/database?sslmode=…` taken apart.
//!
//! Of our own, because general URL parsers refuse `postgresql://user@/db?host=/socket` (Google's form) and a socket
//! directory as host. Form: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>.

use percent_encoding::percent_decode_str;

/// What a URL gives.
pub(crate) struct UrlParts {
    /// Keys of the settings table with their values, as written.
    pub(crate) parts: Vec<(&'static str, String)>,
    /// Parameters that were left aside.
    pub(crate) ignored: Vec<String>,
}

/// Parameters of other libraries that change nothing here; a managed service's URL often carries some.
const IGNORED: &[&str] = &[
    "application_name",
    "channel_binding",
    "connection_limit",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "sslnegotiation",
    "statement_cache_size",
    "target_session_attrs",
    "uselibpqcompat",
];

const ENCODE: &str = "in a user or password, / is written %2F, ? %3F, @ %40, : %3A and % %25";

/// Takes the URL apart. What it leaves out is left out: no default is filled in.
///
/// # Errors
/// Says what is wrong without repeating the text, which holds a password.
pub(crate) fn parse(text: &str) -> Result<UrlParts, String> {
    let text = text.trim();
    let rest = ["postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or("it does not start with postgresql:// or postgres://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if [query, database].iter().any(|part| part.contains('@')) || database.contains('/') {
        // Nothing of it is repeated: it is likely the end of a password.
        return Err(format!("it has an @ or / behind the host; {ENCODE}"));
    }
    // From the right: an @ in the password is a common slip, and it is unambiguous there.
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = host_and_port(host)?;

    let mut found = UrlParts {
        parts: Vec::new(),
        ignored: Vec::new(),
    };
    let own = [
        ("database.user", user, "user"),
        ("database.password", password, "password"),
        ("database.host", host, "host"),
        ("database.port", port, "port"),
        ("database.name", database, "database name"),
    ];
    for (key, value, what) in own {
        found.add(key, decode(value, what)?)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        found.parameter(pair)?;
    }
    Ok(found)
}

impl UrlParts {
    fn add(&mut self, key: &'static str, value: String) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        match self.parts.iter().find(|(other, _)| *other == key) {
            Some((_, other)) if *other != value => Err(format!("it gives {key} twice, differently")),
            Some(_) => Ok(()),
            None => {
                self.parts.push((key, value));
                Ok(())
            }
        }
    }

    fn parameter(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value, name)?;
        let key = match name {
            "sslmode" | "ssl" => "database.ssl",
            "sslrootcert" => "database.ssl_root_cert",
            "sslcert" => "database.ssl_cert",
            "sslkey" => "database.ssl_key",
            "host" => "database.host",
            "port" => "database.port",
            "user" => "database.user",
            "password" => "database.password",
            "dbname" => "database.name",
            "connect_timeout" => return self.add("database.connect_timeout", seconds(&value)),
            _ if IGNORED.contains(&name) => {
                self.ignored.push(name.to_owned());
                return Ok(());
            }
            _ => {
                // A slip in the password can make any text look like a parameter: only a plain word is repeated.
                let plain = name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                let name = if plain { format!(" {name}") } else { String::new() };
                return Err(format!(
                    "its parameter{name} is not known; known are sslmode, sslrootcert, sslcert, sslkey, host, port, \
                     user, password, dbname and connect_timeout; {ENCODE}"
                ));
            }
        };
        self.add(key, value)
    }
}

/// libpq counts time in whole seconds, and 0 means no limit, which is not to be had here.
pub(crate) fn seconds(text: &str) -> String {
    match text.trim() {
        "" | "0" => String::new(),
        number if number.chars().all(|c| c.is_ascii_digit()) => format!("{number}s"),
        other => other.to_owned(),
    }
}

fn host_and_port(text: &str) -> Result<(&str, &str), String> {
    if text.contains(',') {
        return Err("it names more than one host; give one, such as a pooler's or a proxy's".into());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or("the [ before its host is not closed")?;
            (host, port.strip_prefix(':').unwrap_or(port))
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("its port is not a number; {ENCODE}"));
    }
    Ok((host, port))
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_error| format!("its {what} is not UTF-8 once %-codes are decoded"))?;
    if decoded.contains('\0') {
        return Err(format!("its {what} contains a NUL character"));
    }
    Ok(decoded.into_owned())
}
