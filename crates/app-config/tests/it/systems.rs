//! The environments of the systems that Plinth replaces, and libpq's.

use app_config::SslMode;
use secrecy::ExposeSecret;

use crate::support::{Place, address, config, problems, whole};

const KAIMU: &str = "DBHOST=localhost
DBNAME=kaimu
DBUSERNAME=kaimu
DBPASSWORD=007
DBPORT=5432
DBSSL=disable";

#[test]
fn kaimu() {
    assert_eq!(whole(&address(KAIMU)), "kaimu:007@localhost:5432/kaimu disable");
}

#[test]
fn kaimu_s_four_ssl_modes() {
    for (text, mode) in [
        ("disable", SslMode::Disable),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ] {
        let lines = KAIMU.replace("DBSSL=disable", &format!("DBSSL={text}"));
        assert_eq!(address(&lines).ssl.mode, mode, "{text}");
    }
}

#[test]
fn alkemio() {
    let lines = "DATABASE_TYPE=postgres
DATABASE_HOST=localhost
DATABASE_PORT=5432
DATABASE_USERNAME=synapse
DATABASE_PASSWORD=synapse
DATABASE_NAME=alkemio";
    assert_eq!(
        whole(&address(lines)),
        "synapse:synapse@localhost:5432/alkemio prefer"
    );
}

#[test]
fn another_kind_of_database_is_refused() {
    let found = problems("DATABASE_TYPE=mysql");
    assert!(
        found.contains(r#"DATABASE_TYPE="mysql""#) && found.contains("PostgreSQL only"),
        "{found}"
    );
    config("DATABASE_TYPE=postgresql");
}

/// As its manual has it, with the comment behind the last value: as a `.env` file.
#[test]
fn deploystack() {
    let place = Place::new().file(
        ".env",
        "POSTGRES_HOST=localhost
POSTGRES_PORT=5432
POSTGRES_DATABASE=deploystack
POSTGRES_USER=your_user
POSTGRES_PASSWORD=your_password
POSTGRES_SSL=false  # Set to 'true' for SSL connections
",
    );
    let address = place.load().config.database.address.unwrap();
    assert_eq!(
        whole(&address),
        "your_user:your_password@localhost:5432/deploystack disable"
    );
}

#[test]
fn takaro() {
    let loaded = config(
        "POSTGRES_USER=takaro
POSTGRES_PASSWORD=takaro-dev
POSTGRES_DB=takaro
POSTGRES_HOST=127.0.0.1
POSTGRES_PORT=5432
POSTGRES_ENCRYPTION_KEY=a key of at least thirty-two bytes
JWT_SECRET=not ours",
    );
    assert_eq!(
        whole(loaded.database.address.as_ref().unwrap()),
        "takaro:takaro-dev@127.0.0.1:5432/takaro prefer"
    );
    let key = loaded.security.encryption_key.unwrap();
    assert_eq!(key.expose_secret(), "a key of at least thirty-two bytes");
}

#[test]
fn infra0() {
    let loaded = config(
        "DATABASE_URL=postgresql://user:password@localhost:5432/infra0
DATABASE_SSL=true
DATABASE_POOL_SIZE=20",
    );
    assert_eq!(
        whole(loaded.database.address.as_ref().unwrap()),
        "user:password@localhost:5432/infra0 require"
    );
    assert_eq!(loaded.database.pool_size, 20);
}

#[test]
fn libpq() {
    let loaded = config(
        "PGHOST=/run/postgresql
PGPORT=5433
PGDATABASE=plinth
PGUSER=app
PGPASSWORD=007
PGSSLMODE=verify-full
PGSSLROOTCERT=ca.pem
PGSSLCERT=client.pem
PGSSLKEY=client.key
PGCONNECT_TIMEOUT=7",
    );
    let address = loaded.database.address.unwrap();
    assert_eq!(whole(&address), "app:007@/run/postgresql:5433/plinth verify-full");
    assert_eq!(address.ssl.root_cert.unwrap().to_str(), Some("ca.pem"));
    assert_eq!(address.ssl.cert.unwrap().to_str(), Some("client.pem"));
    assert_eq!(address.ssl.key.unwrap().to_str(), Some("client.key"));
    assert_eq!(loaded.database.connect_timeout.as_secs(), 7);
}

/// libpq's variables may stand in a shell for other reasons: they fill gaps, and contradict nothing.
#[test]
fn libpq_s_variables_only_fill_gaps() {
    let place = Place::new()
        .env("PGHOST=elsewhere\nPGPORT=5433\nPGUSER=me\nDATABASE_URL=postgresql://app@db.example.com/plinth")
        .file("plinth.toml", "[database]\nconnect_timeout = \"9s\"\n");
    let loaded = place.load();
    assert_eq!(
        whole(&loaded.config.database.address.unwrap()),
        "app:(none)@db.example.com:5433/plinth prefer"
    );
    assert_eq!(loaded.config.database.connect_timeout.as_secs(), 9);
}

/// Alone and incomplete they configure nothing, and stop nothing.
#[test]
fn half_of_libpq_s_variables_are_only_a_warning() {
    let loaded = Place::new().env("PGUSER=me\nPGPASSWORD=007").load();
    assert!(loaded.config.database.address.is_none());
    assert!(
        loaded.warnings.iter().any(|warning| warning.contains("PGUSER")),
        "{:?}",
        loaded.warnings
    );
}
