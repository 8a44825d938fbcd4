//! How often a request waits for the database, by what a slower database costs it.
//!
//! A proxy between server and PostgreSQL holds every answer back for a while. One connection and one request at a time:
//! a request that waits three times takes three whiles longer. What is sent and not waited for costs nothing, as it should.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::database::Database;
use crate::http::Connection;
use crate::server::Server;
use crate::workload::{Credentials, Kind, Request};

/// How long answers are held back.
const DELAY: Duration = Duration::from_millis(40);
/// Requests before any is counted: statements are prepared, the key is verified, the last use is written.
const WARM_UP: u32 = 8;

/// Waits of each kind of request.
pub(crate) struct Waits(Vec<(Request, Kind, f64)>);

impl Waits {
    /// Those of one kind.
    pub(crate) fn of(&self, request: Request, kind: Kind) -> f64 {
        self.0
            .iter()
            .find(|wait| wait.0 == request && wait.1 == kind)
            .map_or(f64::NAN, |wait| wait.2)
    }
}

/// Counts them all, on a server of its own with one worker and one connection.
pub(crate) fn count(
    program: &Path,
    database: &Database,
    credentials: &Credentials,
    requests: &[Request],
    sample: u32,
) -> anyhow::Result<Waits> {
    let directory = Directory::create(database.state_dir())?;
    let socket = database.socket();
    let name = socket.file_name().context("a socket without a name")?;
    let delay_ms = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    {
        let _guard = runtime.enter();
        let listener = UnixListener::bind(directory.0.join(name)).context("opening the proxy's socket")?;
        let (socket, delay_ms) = (socket.clone(), Arc::clone(&delay_ms));
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = UnixStream::connect(&socket).await {
                    tokio::spawn(relay(client, server, Arc::clone(&delay_ms)));
                }
            }
        });
    }
    let settings = [("PLINTH_DATABASE_POOL_SIZE", "1"), ("PLINTH_SERVER_WORKERS", "1")];
    let server = Server::start(program, database, &database.url_by(&directory.0), &settings)?;
    let mut waits = Vec::new();
    for &request in requests {
        for kind in Kind::ALL {
            let prepared = credentials.requests(request, kind, server.address());
            let variants = prepared.first().context("no targets")?;
            let found = runtime.block_on(async {
                let mut connection = Connection::open(server.address()).await?;
                delay_ms.store(0, Ordering::Relaxed);
                median(&mut connection, variants, WARM_UP).await?;
                let quick = median(&mut connection, variants, sample).await?;
                delay_ms.store(u64::try_from(DELAY.as_millis())?, Ordering::Relaxed);
                let slow = median(&mut connection, variants, sample).await?;
                delay_ms.store(0, Ordering::Relaxed);
                anyhow::Ok(slow.saturating_sub(quick).as_secs_f64() / DELAY.as_secs_f64())
            })?;
            waits.push((request, kind, found));
        }
    }
    server.stop()?;
    Ok(Waits(waits))
}

async fn median(connection: &mut Connection, variants: &[Vec<u8>], count: u32) -> anyhow::Result<Duration> {
    let mut latencies = Vec::new();
    for request in variants.iter().cycle().take(usize::try_from(count)?) {
        let started = Instant::now();
        connection.exchange(request).await?;
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    latencies
        .get(latencies.len() / 2)
        .copied()
        .context("nothing was measured")
}

/// The proxy's directory, which goes with it.
struct Directory(PathBuf);

impl Directory {
    /// A short path: a socket's must fit into 108 bytes.
    fn create(state_dir: &Path) -> anyhow::Result<Self> {
        let directory = state_dir.join("proxy");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir(&directory).with_context(|| format!("making {}", directory.display()))?;
        Ok(Self(directory))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left is cleared away by the next run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn relay(client: UnixStream, server: UnixStream, delay_ms: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (later, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let asks = async move { tokio::io::copy(&mut from_client, &mut to_server).await };
    let hold = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            let at = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::Relaxed));
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            if later.send((at, bytes)).is_err() {
                break;
            }
        }
    };
    let answers = async move {
        while let Some((at, bytes)) = due.recv().await {
            if at > Instant::now() {
                tokio::time::sleep_until(at.into()).await;
            }
            if to_client.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { _ = asks => {}, () = async { tokio::join!(hold, answers); } => {} }
}
