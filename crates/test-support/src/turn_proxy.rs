//! A proxy before PostgreSQL that counts how often a client had to wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use app_config::DatabaseAddress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// Every answer of the server is held back for so long: what a client does not wait for is then not counted.
const DELAY: Duration = Duration::from_millis(30);

/// Counts turns: answers that were delivered after the client had sent something.
#[derive(Debug)]
pub struct TurnProxy {
    directory: PathBuf,
    port: u16,
    turns: Arc<AtomicUsize>,
}

impl TurnProxy {
    /// A proxy before the server at that address.
    pub async fn before(address: &DatabaseAddress) -> Self {
        let directory = std::env::temp_dir().join(format!(
            "plinth-proxy-{}",
            hex::encode(db_core::random_bytes::<6>())
        ));
        std::fs::create_dir(&directory).unwrap();
        let socket = |directory: &Path| directory.join(format!(".s.PGSQL.{}", address.port));
        let listener = UnixListener::bind(socket(&directory)).unwrap();
        let (server, turns) = (socket(Path::new(&address.host)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&turns);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&counted)));
            }
        });
        Self {
            directory,
            port: address.port,
            turns,
        }
    }

    /// The address of the proxy for the same login and database.
    pub fn address(&self, behind: &DatabaseAddress) -> DatabaseAddress {
        DatabaseAddress {
            host: self.directory.to_string_lossy().into_owned(),
            port: self.port,
            ..behind.clone()
        }
    }

    /// How many turns there were since the last call.
    pub fn take_turns(&self) -> usize {
        self.turns.swap(0, Ordering::SeqCst)
    }
}

impl Drop for TurnProxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn relay(client: UnixStream, server: UnixStream, turns: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asked = Arc::new(AtomicBool::new(false));
    let asking = Arc::clone(&asked);
    let upstream = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            asking.store(true, Ordering::SeqCst);
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let downstream = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(DELAY).await;
            if asked.swap(false, Ordering::SeqCst) {
                turns.fetch_add(1, Ordering::SeqCst);
            }
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { () = upstream => {}, () = downstream => {} }
}
