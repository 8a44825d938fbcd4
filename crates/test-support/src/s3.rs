//! An S3-compatible store.

use std::net::SocketAddr;
use std::path::PathBuf;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A server on a loopback port, which demands signatures; the objects of its one bucket, [`Self::BUCKET`], are files of a directory.
/// It runs on the runtime that started it.
#[derive(Debug)]
pub struct S3 {
    directory: TempDir,
    /// Where it listens, without TLS.
    pub address: SocketAddr,
}

impl S3 {
    /// Name of the bucket.
    pub const BUCKET: &'static str = "backups";
    /// Who may come in.
    pub const ACCESS_KEY: &'static str = "plinth-tests";
    /// And with which secret, for signatures.
    pub const SECRET_KEY: &'static str = "not-for-any-log-or-console";

    /// Starts one.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(Self::BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(Self::ACCESS_KEY, Self::SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { directory, address }
    }

    /// The files of all objects, by name.
    pub fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![self.directory.path().join(Self::BUCKET)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}
