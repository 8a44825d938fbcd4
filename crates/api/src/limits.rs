//! Limits on guessing passwords: for each client address, and for each account. In this process's memory; each replica
//! counts for itself.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use actix_web::http::StatusCode;
use app_config::SecurityConfig;
use db_core::UserId;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::Problem;

/// Counts presented passwords.
pub struct LoginLimits {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_account: DefaultKeyedRateLimiter<Account>,
}

/// Whose password is tried.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Account {
    /// At sign-in. The domain is left out: it may be said in several ways, and each would have its own count.
    Email(String),
    /// Of somebody who has signed in.
    User(UserId),
}

/// Above so many keys, those that have long been quiet are forgotten.
const MANY_KEYS: usize = 10_000;

impl LoginLimits {
    /// Limits as configured, each a number of attempts a minute.
    pub fn new(security: &SecurityConfig) -> Self {
        let limiter = |a_minute: u32| Quota::per_minute(NonZeroU32::new(a_minute).unwrap_or(NonZeroU32::MIN));
        Self {
            by_address: RateLimiter::keyed(limiter(security.login_rate_per_address)),
            by_account: RateLimiter::keyed(limiter(security.login_rate_per_account)),
        }
    }

    /// Counts an attempt to sign in.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_sign_in(&self, ip: Option<IpAddr>, email: &str) -> Result<(), Problem> {
        self.check(ip, &Account::Email(email.to_lowercase()))
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

/// One client has a whole /64 of IPv6 addresses to call from. Source: RFC 6177, section 2.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn check<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Problem> {
    if limiter.len() > MANY_KEYS {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(DefaultClock::default().now());
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many attempts; wait a little",
        )
        .retry_after(wait.as_secs() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn a_client_is_one_ipv4_address_or_one_ipv6_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::1"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }
}
