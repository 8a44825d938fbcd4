//! The load generator: one thread, requests made beforehand, answers read as far as their length says.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::requests::Plan;
use crate::usage::Sample;

/// What a measurement came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Requests in a second.
    pub(crate) rate: f64,
    /// Half of the requests took no longer.
    pub(crate) p50: Duration,
    /// 99 of 100 requests took no longer.
    pub(crate) p99: Duration,
    /// Microseconds of CPU for a request.
    pub(crate) server_us: f64,
    pub(crate) postgres_us: f64,
    pub(crate) generator_us: f64,
    /// Memory of the server under this load.
    pub(crate) server_kib: u64,
}

/// What the connections share.
struct Shared {
    requests: Vec<Vec<Vec<u8>>>,
    /// Whose turn it is among a target's requests.
    turns: Vec<Cell<usize>>,
    latencies: RefCell<Vec<Duration>>,
    counting: Cell<bool>,
    stop: Cell<bool>,
}

/// Sends one request after the other on each connection: a random target's next one.
pub(crate) fn measure(
    address: SocketAddr,
    connections: usize,
    plan: Plan,
    requests: &[Vec<Vec<u8>>],
    usage: impl Fn() -> anyhow::Result<Sample>,
) -> anyhow::Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shared = Rc::new(Shared {
        requests: requests.to_vec(),
        turns: requests.iter().map(|_| Cell::new(0)).collect(),
        latencies: RefCell::new(Vec::with_capacity(500_000)),
        counting: Cell::new(false),
        stop: Cell::new(false),
    });
    let local = LocalSet::new();
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            let shared = Rc::clone(&shared);
            local.spawn_local(async move { keep_busy(address, number, &shared).await })
        })
        .collect();
    local.block_on(&runtime, async {
        tokio::time::sleep(plan.warm_up).await;
        let before = usage()?;
        let started = Instant::now();
        shared.counting.set(true);
        tokio::time::sleep(plan.measure).await;
        shared.counting.set(false);
        let elapsed = started.elapsed();
        let after = usage()?;
        shared.stop.set(true);
        for task in tasks {
            task.await??;
        }
        let mut latencies = shared.latencies.take();
        latencies.sort_unstable();
        let count = f64::from(u32::try_from(latencies.len())?);
        anyhow::ensure!(count > 0.0, "no request was answered");
        let each = |ticks| Sample::micros(ticks) / count;
        Ok(Load {
            rate: count / elapsed.as_secs_f64(),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            server_us: each(after.server - before.server),
            postgres_us: each(after.postgres - before.postgres),
            generator_us: each(after.generator - before.generator),
            server_kib: after.server_kib,
        })
    })
}

async fn keep_busy(address: SocketAddr, number: usize, shared: &Shared) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut random = Random::new(number);
    while !shared.stop.get() {
        let target = random.below(shared.requests.len());
        let (Some(variants), Some(turn)) = (shared.requests.get(target), shared.turns.get(target)) else {
            anyhow::bail!("there are no requests to send");
        };
        turn.set(turn.get() + 1);
        let request = variants
            .get(turn.get() % variants.len().max(1))
            .context("a target without requests")?;
        let started = Instant::now();
        connection.exchange(request).await?;
        if shared.counting.get() {
            shared.latencies.borrow_mut().push(started.elapsed());
        }
    }
    Ok(())
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(1 << 16),
        })
    }

    /// Sends a request and reads the whole answer, which must be a success.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut wanted = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            anyhow::ensure!(read > 0, "the server closed the connection");
            if wanted.is_none() {
                wanted = head(&self.buffer)?;
            }
            if wanted.is_some_and(|wanted| self.buffer.len() >= wanted) {
                break;
            }
        }
        // "HTTP/1.1 2"
        anyhow::ensure!(
            self.buffer.get(9) == Some(&b'2'),
            "the server refused: {}",
            String::from_utf8_lossy(&self.buffer)
        );
        Ok(())
    }
}

/// Length of the whole answer, once its head is there.
fn head(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(
        end + 4 + length.context("an answer without content-length")?,
    ))
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// The same numbers at every run. Source: Vigna, "xorshift64*".
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed as u64 + 1))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or_default() % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
        assert_eq!(head(text).unwrap(), Some(text.len() + 3));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(51));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(100));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn every_target_comes_up() {
        let mut random = Random::new(3);
        let mut seen = [false; 100];
        (0..2_000).for_each(|_| seen[random.below(100)] = true);
        assert!(seen.iter().all(|seen| *seen));
    }
}
