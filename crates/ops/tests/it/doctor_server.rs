//! A PostgreSQL of a test's own on a free loopback port, with the `pg_hba.conf`, the settings and the certificate that the test wants.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_postgres::Binaries;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};
use tempfile::TempDir;

/// Gone when dropped.
pub struct Server {
    directory: TempDir,
    pub port: u16,
    process: Child,
}

impl Server {
    /// The superuser is `postgres`, and comes in by the socket without a password.
    pub fn start(hba: &str, settings: &[&str], certificate: Option<(&str, &str)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server's user must get through to what is below; the data directory itself is private.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        hand_over(&data);
        let made = as_server_user("initdb")
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
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        write(
            &data.join("pg_hba.conf"),
            &format!("local all all trust\n{hba}\n"),
        );
        if let Some((chain, key)) = certificate {
            write(&data.join("server.crt"), chain);
            write(&data.join("server.key"), key);
        }
        let mut configuration = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nshared_buffers = 8MB\nssl = {}\n",
            directory.path().display(),
            if certificate.is_some() { "on" } else { "off" }
        );
        configuration += &settings.join("\n");
        write(&data.join("postgresql.auto.conf"), &configuration);
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        hand_over(directory.path());
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let process = as_server_user("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            directory,
            port,
            process,
        };
        server.wait(&data);
        server
    }

    fn wait(&mut self, data: &Path) {
        let started = Instant::now();
        while !fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|pid| pid.contains("ready")) {
            assert!(
                self.process.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(30),
                "{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// `DATABASE_URL` of a login over TCP; `rest` is what follows the address: `/database?sslmode=…`.
    pub fn tcp(&self, login: &str, rest: &str) -> String {
        format!("postgresql://{login}@127.0.0.1:{}{rest}", self.port)
    }

    /// As the superuser.
    pub async fn client(&self, database: &str) -> tokio_postgres::Client {
        let text = format!(
            "host={} port={} user=postgres dbname={database}",
            self.directory.path().display(),
            self.port
        );
        let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown: the children go too.
        let _ = kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            Signal::SIGQUIT,
        );
        let _ = self.process.wait();
    }
}

/// PostgreSQL refuses root; then it runs as the user its package made.
fn server_user() -> Option<User> {
    Uid::effective()
        .is_root()
        .then(|| User::from_name("postgres").unwrap().unwrap())
}

fn as_server_user(program: &str) -> Command {
    let mut command = Binaries::find(None).unwrap().command(program);
    if let Some(user) = server_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn hand_over(path: &Path) {
    if let Some(user) = server_user() {
        assert_eq!(fs::metadata("/proc/self").unwrap().uid(), 0);
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    hand_over(path);
}
