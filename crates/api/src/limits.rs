//! Limits on sign-in: for each client address, and for each account. In this process's memory; each replica counts for
//! itself.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use app_config::SecurityConfig;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use actix_web::http::StatusCode;

use crate::problem::Problem;

/// Counts attempts to sign in.
pub struct LoginLimits {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_account: DefaultKeyedRateLimiter<(String, String)>,
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

    /// Counts an attempt.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check(&self, ip: Option<IpAddr>, domain: &str, email: &str) -> Result<(), Problem> {
        if let Some(ip) = ip {
            check(&self.by_address, &ip)?;
        }
        check(&self.by_account, &(domain.to_owned(), email.to_lowercase()))
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
            "too many attempts to sign in; wait a little",
        )
        .retry_after(wait.as_secs() + 1)
    })
}
