//! Told to stop: work is broken off where it can clean up after itself.

use command_line::ProgramError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::BackupError;

/// Whether the process was asked to end.
#[derive(Clone, Debug)]
pub struct Stop(Told);

#[derive(Clone, Debug)]
enum Told {
    BySignal(watch::Receiver<bool>),
    ByToken(CancellationToken),
}

impl From<CancellationToken> for Stop {
    /// Of a job, whose worker says when.
    fn from(token: CancellationToken) -> Self {
        Self(Told::ByToken(token))
    }
}

impl Stop {
    /// Listens for SIGINT and SIGTERM, on the current runtime.
    ///
    /// # Errors
    /// The system gives no signals.
    pub fn listen() -> Result<Self, BackupError> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ProgramError::Runtime)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ProgramError::Runtime)?;
        let (told, stop) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let _ = told.send(true);
            // Whoever asks twice does not want to wait for the cleaning.
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
        Ok(Self(Told::BySignal(stop)))
    }

    /// The work's result, or [`ProgramError::Interrupted`] as soon as the process is told to stop: the work is dropped then, and
    /// the caller cleans up.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T, BackupError>>) -> Result<T, BackupError> {
        let told = async {
            match self.0.clone() {
                Told::BySignal(mut signal) => drop(signal.wait_for(|told| *told).await),
                Told::ByToken(token) => token.cancelled().await,
            }
        };
        tokio::select! {
            result = work => result,
            () = told => Err(ProgramError::Interrupted.into()),
        }
    }
}
