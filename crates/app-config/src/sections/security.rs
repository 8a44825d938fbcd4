//! Section `security`: keys, password hashing, sessions and the limits on sign-in.

use std::time::Duration;

use secrecy::SecretString;

use crate::reader::Reader;

/// Keys, hashing and sessions.
#[derive(Clone, Debug)]
pub struct SecurityConfig {
    /// The keyring that encrypts secrets at rest: `POSTGRES_ENCRYPTION_KEY`. Without it, setup makes one in
    /// [`PathsConfig::persistent_dir`](crate::PathsConfig::persistent_dir). Its form is checked where it is used.
    pub encryption_key: Option<SecretString>,
    /// Mixed into every password before it is hashed: `PLINTH_PASSWORD_PEPPER`, optional.
    pub password_pepper: Option<SecretString>,
    /// Cost of bcrypt for passwords, 10 to 16: `PLINTH_SECURITY_BCRYPT_COST`, default 10.
    pub bcrypt_cost: u8,
    /// Password hashes computed at once in the database, by the whole process:
    /// `PLINTH_SECURITY_PASSWORD_HASH_CONCURRENCY`, default 2.
    pub password_hash_concurrency: usize,
    /// A session that was not used for this long ends: `PLINTH_SECURITY_SESSION_IDLE`, default 24 h.
    pub session_idle: Duration,
    /// A session ends this long after sign-in, used or not: `PLINTH_SECURITY_SESSION_LIFETIME`, default 30 d.
    pub session_lifetime: Duration,
    /// Attempts to sign in from one client address in a minute: `PLINTH_SECURITY_LOGIN_RATE_PER_ADDRESS`, default 30.
    pub login_rate_per_address: u32,
    /// Attempts to sign in to one account from one network in a minute: `PLINTH_SECURITY_LOGIN_RATE_PER_ACCOUNT`,
    /// default 10.
    pub login_rate_per_account: u32,
    /// Attempts to sign in to one account from anywhere in a minute:
    /// `PLINTH_SECURITY_LOGIN_RATE_PER_ACCOUNT_TOTAL`, default 100.
    pub login_rate_per_account_total: u32,
    /// Denials in a minute after which a session or API key has to wait:
    /// `PLINTH_SECURITY_DENIAL_RATE_PER_CREDENTIAL`, default 60.
    pub denial_rate_per_credential: u32,
}

impl SecurityConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let section = Self {
            encryption_key: reader.secret("security.encryption_key"),
            password_pepper: reader.secret("security.password_pepper"),
            bcrypt_cost: reader.required("security.bcrypt_cost")?,
            password_hash_concurrency: reader.required("security.password_hash_concurrency")?,
            session_idle: reader.duration("security.session_idle")?,
            session_lifetime: reader.duration("security.session_lifetime")?,
            login_rate_per_address: reader.required("security.login_rate_per_address")?,
            login_rate_per_account: reader.required("security.login_rate_per_account")?,
            login_rate_per_account_total: reader.required("security.login_rate_per_account_total")?,
            denial_rate_per_credential: reader.required("security.denial_rate_per_credential")?,
        };
        if section.session_idle > section.session_lifetime {
            let (idle, lifetime) = (
                reader.named("security.session_idle"),
                reader.named("security.session_lifetime"),
            );
            reader.problem_between(
                &["security.session_idle", "security.session_lifetime"],
                format!("{idle} is longer than {lifetime}: an idle session would outlive its own end"),
            );
        }
        Some(section)
    }
}
