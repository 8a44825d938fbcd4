//! Limits on guessing passwords, for each client address and for each account, and on being denied, for each credential.
//! In this process's memory; each replica counts for itself.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use app_config::SecurityConfig;
use db_core::secrets::token::TokenHash;
use db_core::{ApiKeyId, Credential, UserId};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;

use crate::problem::Problem;

/// Counts presented passwords.
pub struct LoginLimits {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_account: DefaultKeyedRateLimiter<Account>,
    /// Looser than the one before: or whoever knows an e-mail address could keep its owner out from anywhere.
    by_email: DefaultKeyedRateLimiter<String>,
}

/// Whose password is tried.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Account {
    /// At sign-in, from one network. The domain is left out: it may be said in several ways, and each would have its own
    /// count.
    Email(String, Option<IpAddr>),
    /// Of somebody who has signed in.
    User(UserId),
}

/// Above so many keys, those that have long been quiet are forgotten.
const MANY_KEYS: usize = 10_000;

impl LoginLimits {
    /// Limits as configured, each a number of attempts a minute.
    pub fn new(security: &SecurityConfig) -> Self {
        Self {
            by_address: RateLimiter::keyed(a_minute(security.login_rate_per_address)),
            by_account: RateLimiter::keyed(a_minute(security.login_rate_per_account)),
            by_email: RateLimiter::keyed(a_minute(security.login_rate_per_account_total)),
        }
    }

    /// Counts an attempt to sign in.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_sign_in(&self, ip: Option<IpAddr>, email: &str) -> Result<(), Problem> {
        let email = email.to_lowercase();
        self.check(ip, &Account::Email(email.clone(), ip.map(wide_network)))?;
        check(&self.by_email, &email)
    }

    /// Counts an attempt to change a password, for which the old one is presented.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_password_change(&self, ip: Option<IpAddr>, user: UserId) -> Result<(), Problem> {
        self.check(ip, &Account::User(user))
    }

    fn check(&self, ip: Option<IpAddr>, account: &Account) -> Result<(), Problem> {
        if let Some(ip) = ip {
            check(&self.by_address, &network(ip))?;
        }
        check(&self.by_account, account)
    }
}

fn a_minute(count: u32) -> Quota {
    Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))
}

/// Where one who guesses at one account calls from: of IPv4 addresses a whole /24 is easily had.
fn wide_network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(_) => network(ip),
    }
}

/// One client has a whole /64 of IPv6 addresses to call from. Source: RFC 6177, section 2.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn check<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Problem> {
    count(limiter, key).map_err(|wait| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many attempts; wait a little",
        )
        .retry_after(wait.as_secs() + 1)
    })
}

/// Counts one; an error is how long to wait before the next.
fn count<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Duration> {
    if limiter.len() > MANY_KEYS {
        limiter.retain_recent();
    }
    limiter
        .check_key(key)
        .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
}

/// Counts denials, each of which writes a row: who collects too many is turned away for a while, before anything is asked
/// of the database.
pub(crate) struct DenialLimit {
    counts: DefaultKeyedRateLimiter<Denied>,
    /// Until when who is turned away.
    barred: Cache<Denied, Instant>,
}

/// Who was denied something. Not the user or the domain: nobody is to lock out others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Denied {
    Session(TokenHash),
    ApiKey(ApiKeyId),
}

impl From<&Credential> for Denied {
    fn from(credential: &Credential) -> Self {
        match credential {
            Credential::Session(hash) => Self::Session(*hash),
            Credential::ApiKey(key) => Self::ApiKey(key.id),
        }
    }
}

impl DenialLimit {
    /// The limit as configured, a number of denials a minute.
    pub(crate) fn new(security: &SecurityConfig) -> Self {
        Self {
            counts: RateLimiter::keyed(a_minute(security.denial_rate_per_credential)),
            barred: Cache::builder()
                .max_capacity(100_000)
                .time_to_live(Duration::from_secs(60))
                .build(),
        }
    }

    /// Turns a credential away that has collected too many denials.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub(crate) fn check(&self, credential: &Credential) -> Result<(), Problem> {
        let Some(until) = self.barred.get(&Denied::from(credential)) else {
            return Ok(());
        };
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        metrics::counter!("plinth_denial_refusals_total").increment(1);
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_denials",
            "too many requests of this session or key were denied; wait a little",
        )
        .retry_after(wait.as_secs() + 1))
    }

    /// Counts a denial, which has written its row.
    pub(crate) fn note(&self, credential: &Credential) {
        let denied = credential.into();
        if let Err(wait) = count(&self.counts, &denied) {
            self.barred.insert(denied, Instant::now() + wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{network, wide_network};

    #[test]
    fn a_client_is_one_ipv4_address_or_one_ipv6_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::1"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }

    #[test]
    fn who_guesses_at_one_account_has_a_whole_network() {
        let of = |text: &str| wide_network(text.parse().unwrap()).to_string();
        assert_eq!(of("203.0.113.9"), "203.0.113.0");
        assert_ne!(of("203.0.114.9"), of("203.0.113.9"));
        assert_eq!(of("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
    }
}
