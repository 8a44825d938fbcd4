//! The server as it is shipped: its own process, its default settings.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::database::{Database, KEY};

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts it on the copy, behind `url`, and waits until it is ready. `settings` are variables over the defaults.
    pub(crate) fn start(
        program: &Path,
        database: &Database,
        url: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let program = program
            .canonicalize()
            .with_context(|| format!("no program {}", program.display()))?;
        let (address, metrics) = (free_address()?, free_address()?);
        let log = database.state_dir().join("server.log");
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let child = Command::new(&program)
            // Nothing of the caller's: no PLINTH_ or DATABASE_ variable, no plinth.toml, no .env.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(database.state_dir())
            .env("DATABASE_URL", url)
            .env("DATABASE_DIRECT_URL", database.url())
            .env("POSTGRES_ENCRYPTION_KEY", KEY)
            .env("PLINTH_SERVER_BIND", address.to_string())
            .env("PLINTH_SERVER_METRICS_BIND", metrics.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = Self { child, address, log };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                anyhow::bail!("the server ended ({status}):\n{log}");
            }
            if is_ready(self.address).unwrap_or(false) {
                return Ok(());
            }
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(30),
                "the server is not ready after 30 s; its log is {}",
                self.log.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Stops it as a service manager would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(30),
                "the server does not stop"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop`; after an error nobody asks how it went.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}
