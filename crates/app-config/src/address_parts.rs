//! Database addresses, put together from their parts.

use crate::address::{DatabaseAddress, Ssl};
use crate::database_url;
use crate::reader::Reader;
use crate::settings;

/// The configured address and the owner's direct one.
pub(crate) fn read(reader: &mut Reader<'_>) -> (Option<DatabaseAddress>, Option<DatabaseAddress>) {
    let ssl = Ssl {
        mode: reader.required("database.ssl").unwrap_or_default(),
        root_cert: reader.optional("database.ssl_root_cert"),
        cert: reader.optional("database.ssl_cert"),
        key: reader.optional("database.ssl_key"),
    };
    check_client_certificate(reader, &ssl);
    let address = main_address(reader, &ssl);
    let direct = direct_address(reader, &ssl, address.as_ref());
    (address, direct)
}

fn main_address(reader: &mut Reader<'_>, ssl: &Ssl) -> Option<DatabaseAddress> {
    // Refused values were noted before; without them the rest would only be noise.
    let port = reader.optional("database.port")?;
    let deliberate = ["database.host", "database.name", "database.user"]
        .iter()
        .any(|key| reader.is_deliberate(key));
    let host = reader.optional::<String>("database.host");
    let user = reader.optional::<String>("database.user");
    let (Some(host), Some(user)) = (host, user) else {
        incomplete(reader, deliberate);
        return None;
    };
    Some(DatabaseAddress {
        host,
        port,
        // libpq's rule: a database named like its user.
        database: reader.optional("database.name").unwrap_or_else(|| user.clone()),
        user,
        password: reader.secret("database.password"),
        ssl: ssl.clone(),
    })
}

/// Half an address is an error where it was meant; libpq's variables alone may stand there for other reasons.
fn incomplete(reader: &mut Reader<'_>, deliberate: bool) {
    let parts = [
        "database.host",
        "database.name",
        "database.user",
        "database.password",
    ];
    let Some(present) = parts.iter().find(|key| reader.given(key).is_some()) else {
        return;
    };
    let present = reader.named(present);
    let missing = if reader.given("database.host").is_none() {
        "database.host"
    } else {
        "database.user"
    };
    let names = settings::by_key(missing)
        .map(|spelled| spelled.setting.variables().join(", "))
        .unwrap_or_default();
    let what = if missing == "database.host" {
        "host"
    } else {
        "user"
    };
    if deliberate {
        reader.problem_between(&settings::ADDRESS_PARTS, format!(
            "{present} is set, but the database's {what} is not: give it in DATABASE_URL or as one of {names}"
        ));
    } else {
        reader.warning(format!(
            "{present} is set, but the database's {what} is not, so no database is configured; it would be given in \
             DATABASE_URL or as one of {names}"
        ));
    }
}

fn check_client_certificate(reader: &mut Reader<'_>, ssl: &Ssl) {
    let (present, missing) = match (&ssl.cert, &ssl.key) {
        (Some(_), None) => (
            "database.ssl_cert",
            "database.ssl_key (PLINTH_DATABASE_SSL_KEY, PGSSLKEY)",
        ),
        (None, Some(_)) => (
            "database.ssl_key",
            "database.ssl_cert (PLINTH_DATABASE_SSL_CERT, PGSSLCERT)",
        ),
        _ => return,
    };
    let present = reader.named(present);
    reader.problem_between(
        &["database.ssl_cert", "database.ssl_key"],
        format!("{present} is set without {missing}: a client certificate and its key come together"),
    );
}

/// The direct address; what its URL leaves out of name and TLS is as in the main one, so that a direct connection is
/// not less protected by accident.
fn direct_address(
    reader: &mut Reader<'_>,
    ssl: &Ssl,
    main: Option<&DatabaseAddress>,
) -> Option<DatabaseAddress> {
    let text: String = reader.optional("database.direct_url")?;
    let name = reader.named("database.direct_url");
    let url = match database_url::parse(&text) {
        Ok(url) => url,
        Err(reason) => {
            reader.problem(format!("{name} is not a database URL: {reason}"));
            return None;
        }
    };
    if !url.ignored.is_empty() {
        reader.warning(format!("{name}: ignored its {}", url.ignored.join(", ")));
    }
    let mut address = DatabaseAddress {
        host: String::new(),
        port: 5432,
        database: String::new(),
        user: String::new(),
        password: None,
        ssl: ssl.clone(),
    };
    for (key, value) in url.parts {
        let checked =
            settings::by_key(key).map_or(Ok(value.clone()), |part| part.setting.kind.canonical(&value));
        let value = match checked {
            Ok(value) => value,
            Err(expected) => {
                reader.problem(format!("{name}: its part {key} is wrong: {expected}"));
                return None;
            }
        };
        match key {
            "database.host" => address.host = value,
            "database.port" => address.port = value.parse().unwrap_or(address.port),
            "database.name" => address.database = value,
            "database.user" => address.user = value,
            "database.password" => address.password = Some(value.into()),
            "database.ssl" => address.ssl.mode = value.parse().unwrap_or(address.ssl.mode),
            "database.ssl_root_cert" => address.ssl.root_cert = Some(value.into()),
            "database.ssl_cert" => address.ssl.cert = Some(value.into()),
            "database.ssl_key" => address.ssl.key = Some(value.into()),
            _ => reader.warning(format!(
                "{name}: ignored its {key}; the setting holds for both addresses"
            )),
        }
    }
    if address.host.is_empty() || address.user.is_empty() {
        reader.problem(format!(
            "{name} must name a host and a user: postgresql://owner:password@host:5432/database"
        ));
        return None;
    }
    if address.database.is_empty() {
        address.database = main.map_or_else(|| address.user.clone(), |main| main.database.clone());
    }
    Some(address)
}
