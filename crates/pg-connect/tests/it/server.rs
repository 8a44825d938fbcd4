//! A PostgreSQL of our own on a free loopback port, gone when dropped.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use app_config::{DatabaseAddress, Ssl, SslMode};
use local_postgres::Binaries;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};
use pg_connect::{ConnectOptions, Connector};
use tempfile::TempDir;

use crate::certificates::Leaf;

pub struct Server {
    pub directory: TempDir,
    pub port: u16,
    process: Child,
}

impl Server {
    /// A server without TLS, whose `pg_hba.conf` is `hba`. The superuser is `postgres`, without a password.
    pub fn start(hba: &str) -> Self {
        Self::launch(hba, None, &[])
    }

    /// A server with `ssl=on` and `leaf` as its certificate.
    pub fn start_with_tls(hba: &str, leaf: &Leaf, settings: &[&str]) -> Self {
        Self::launch(hba, Some(leaf), settings)
    }

    fn launch(hba: &str, leaf: Option<&Leaf>, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server user must get through to what is below; the data directory itself is private.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        hand_over(&data);
        let initialised = as_server_user("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--no-sync",
                "--encoding=UTF8",
                "--no-locale",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            initialised.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&initialised.stderr)
        );

        let sockets = directory.path().join("sockets");
        fs::create_dir(&sockets).unwrap();
        hand_over(&sockets);
        write(
            &data.join("pg_hba.conf"),
            &format!("local all postgres trust\n{hba}"),
        );
        if let Some(leaf) = leaf {
            install(&data, leaf);
        }
        let mut configuration = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n",
            sockets.display()
        );
        configuration += "fsync = off\nshared_buffers = 8MB\nmax_connections = 8\nautovacuum = off\n";
        configuration += "ssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n";
        configuration += if leaf.is_some() {
            "ssl = on\n"
        } else {
            "ssl = off\n"
        };
        for setting in settings {
            configuration += setting;
            configuration += "\n";
        }
        write(&data.join("postgresql.auto.conf"), &configuration);

        let (process, port) = start_process(&data, &sockets);
        Self {
            directory,
            port,
            process,
        }
    }

    /// Serves `leaf` to every connection from now on.
    pub fn use_certificate(&mut self, leaf: &Leaf) {
        install(&self.directory.path().join("data"), leaf);
        self.restart();
    }

    /// Asks every client for a certificate by `authority`.
    pub fn demand_client_certificates(&mut self, authority: &str) {
        let data = self.directory.path().join("data");
        write(&data.join("clients.crt"), authority);
        let settings = data.join("postgresql.auto.conf");
        let before = fs::read_to_string(&settings).unwrap();
        write(&settings, &(before + "ssl_ca_file = 'clients.crt'\n"));
        self.restart();
    }

    fn restart(&mut self) {
        self.stop();
        let (process, port) = start_process(&self.directory.path().join("data"), &self.sockets());
        self.process = process;
        self.port = port;
    }

    /// The directory of its Unix socket.
    pub fn sockets(&self) -> PathBuf {
        self.directory.path().join("sockets")
    }

    /// Writes a file the tests' own process reads.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Its address as the superuser.
    pub fn address(&self, host: &str, ssl: Ssl) -> DatabaseAddress {
        DatabaseAddress {
            host: host.to_owned(),
            port: self.port,
            database: "postgres".to_owned(),
            user: "postgres".to_owned(),
            password: None,
            ssl,
        }
    }

    /// Runs statements as the superuser, over the Unix socket.
    pub async fn run(&self, statements: &str) {
        let address = self.address(self.sockets().to_str().unwrap(), Ssl::default());
        let opened = Connector::new(&address, ConnectOptions::default())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let driver = tokio::spawn(opened.driver);
        opened.client.batch_execute(statements).await.unwrap();
        drop(opened.client);
        driver.await.unwrap().unwrap();
    }

    fn stop(&mut self) {
        // SIGQUIT is PostgreSQL's immediate shutdown: the children go too.
        let _already_gone = kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            Signal::SIGQUIT,
        );
        let _status = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `ssl` with this mode and root file.
pub fn ssl(mode: SslMode, root_cert: Option<&Path>) -> Ssl {
    Ssl {
        mode,
        root_cert: root_cert.map(Path::to_owned),
        cert: None,
        key: None,
    }
}

/// One of PostgreSQL's programs, of the tree that all tests run on, with an environment of its own.
pub fn program(name: &str) -> Command {
    Binaries::find(None)
        .expect("PostgreSQL must be installed")
        .command(name)
}

fn start_process(data: &Path, sockets: &Path) -> (Child, u16) {
    // Between choosing a port and listening on it somebody else may take it.
    for _attempt in 0..5 {
        let port = free_port();
        let log = data.join("log");
        let mut process = as_server_user("postgres")
            .arg("-D")
            .arg(data)
            .args(["-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .expect("PostgreSQL must be installed");
        if is_ready(&mut process, data, &sockets.join(format!(".s.PGSQL.{port}"))) {
            return (process, port);
        }
        let _already_gone = process.kill();
        process.wait().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert!(
            said.contains("could not bind"),
            "PostgreSQL did not start: {said}"
        );
    }
    panic!("PostgreSQL found no free port");
}

/// Waits until the server accepts connections; `false` when it ended or took too long.
fn is_ready(process: &mut Child, data: &Path, socket: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
        let ready = fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|pid| pid.contains("ready"));
        if ready && socket.exists() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A port nobody listens on right now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// PostgreSQL refuses to run as root; then it runs as the user its package made.
fn server_user() -> Option<User> {
    Uid::effective().is_root().then(|| {
        User::from_name("postgres")
            .unwrap()
            .expect("as root the tests need the user `postgres` to run the server")
    })
}

fn as_server_user(program: &str) -> Command {
    let mut command = self::program(program);
    if let Some(user) = server_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn hand_over(path: &Path) {
    if let Some(user) = server_user() {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    hand_over(path);
}

fn install(data: &Path, leaf: &Leaf) {
    write(&data.join("server.crt"), &leaf.chain);
    write(&data.join("server.key"), &leaf.key);
}
