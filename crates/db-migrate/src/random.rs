//! What is left to chance: pauses and names. Nothing secret.

use std::time::Duration;

/// A pause of up to `limit`, so that those who wait for the same do not all come back at once.
pub(super) fn jitter(limit: Duration) -> Duration {
    limit.mul_f64(draw::<f64>())
}

/// Sixteen characters that no other process uses at the same time.
pub(super) fn suffix() -> String {
    format!("{:016x}", draw::<u64>())
}

#[expect(clippy::disallowed_methods, reason = "the one place that draws")]
fn draw<T>() -> T
where
    rand::distr::StandardUniform: rand::distr::Distribution<T>,
{
    rand::random()
}
