//! pg_restore, fed from the store.

use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use app_config::DatabaseAddress;
use tokio::sync::oneshot;

use super::archive::Identities;
use super::intake::{self, Packing};
use super::manifest::{Manifest, Part};
use super::progress::Counter;
use super::tools::{Ended, Tool};
use super::unlinked::Unlinked;
use super::{BackupError, Context, restore_rows};

/// The table of contents stands before the rows: so much of the dump is kept aside, for the steps that need no rows.
const CONTENTS: u64 = 32 * 1024 * 1024;

/// The three steps: tables and functions, rows, and then, side by side, indexes, keys, policies. Rows of ours come behind what
/// pg_dump itself has dumped: sequences, large objects, what extensions have.
pub(super) async fn load(
    context: &Context<'_>,
    pg_restore: &PgRestore<'_>,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<(), BackupError> {
    let name = &manifest.backup;
    let count = context
        .progress
        .step(format!("{name}: restoring"), manifest.size_bytes);
    let (contents_sender, contents) = oneshot::channel();
    let (pipe_sender, pipe) = oneshot::channel();
    let given_up = Arc::new(AtomicBool::new(false));
    let give_up = Arc::clone(&given_up);
    let fetching = intake::fetch(
        &context.store,
        manifest,
        manifest.part(Part::Dump),
        (identities, Packing::Zstd),
        Counter::clone(&count),
        move |stream| feed(stream, contents_sender, pipe, &given_up),
    );
    let restoring = async {
        // Where the other side fails, it says why.
        let Ok(contents) = contents.await else {
            return Ok(None);
        };
        let steps = async {
            pg_restore.section("pre-data", contents.path(), 1).await?;
            let (reader, writer) = io::pipe().map_err(|source| BackupError::Io {
                doing: "cannot make a pipe".to_owned(),
                source,
            })?;
            let _ = pipe_sender.send(writer);
            pg_restore.rows(reader).await
        };
        let done = steps.await;
        if done.is_err() {
            give_up.store(true, Ordering::Relaxed);
        }
        done.map(|()| Some(contents))
    };
    let (fetched, restored) = futures_util::join!(fetching, restoring);
    let contents = match (fetched, restored) {
        (Ok(()), Ok(Some(contents))) => contents,
        (Ok(()), Ok(None)) => return Err(BackupError::damaged(name, "its dump is empty")),
        // Bytes that are not what they were are the cause of whatever else fails.
        (
            Err(error @ (BackupError::Damaged { .. } | BackupError::Config(_) | BackupError::Store { .. })),
            _,
        ) => {
            return Err(error);
        }
        (_, Err(error)) | (Err(error), _) => return Err(error),
    };
    restore_rows::all(context, pg_restore.address, manifest, identities, &count).await?;
    context
        .progress
        .step(format!("{name}: building indexes and keys"), 0);
    let jobs = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    // Side by side, a policy could come before a key: whom it holds would then be told that the key is violated.
    let (policies, rest) = pg_restore.post_data(contents.path()).await?;
    pg_restore.listed(contents.path(), &rest, jobs).await?;
    pg_restore.listed(contents.path(), &policies, 1).await
}

/// For one domain: tables and functions, what `rows` does, and the keys.
pub(super) async fn load_around(
    context: &Context<'_>,
    pg_restore: &PgRestore<'_>,
    manifest: &Manifest,
    identities: &Identities,
    rows: impl Future<Output = Result<(), BackupError>>,
) -> Result<(), BackupError> {
    let name = &manifest.backup;
    context.progress.step(format!("{name}: restoring tables"), 0);
    let contents = intake::fetch(
        &context.store,
        manifest,
        manifest.part(Part::Dump),
        (identities, Packing::Zstd),
        Counter::default(),
        |stream| {
            let mut file = Unlinked::new()?;
            io::copy(&mut stream.take(CONTENTS), &mut file)?;
            file.flush()?;
            Ok(file)
        },
    )
    .await?;
    pg_restore.section("pre-data", contents.path(), 1).await?;
    rows.await?;
    let (_, rest) = pg_restore.post_data(contents.path()).await?;
    let keys: Vec<String> = rest
        .into_iter()
        .filter(|line| line.contains(" CONSTRAINT "))
        .collect();
    pg_restore.listed(contents.path(), &keys, 1).await
}

/// Lets the other side have the beginning of the dump as a file, and when it has a pipe for it, all of the dump. Reads to the
/// end, whatever becomes of the pipe: only then every byte was held against the checksums.
fn feed(
    stream: &mut dyn Read,
    contents: oneshot::Sender<Unlinked>,
    pipe: oneshot::Receiver<io::PipeWriter>,
    given_up: &AtomicBool,
) -> io::Result<()> {
    let mut file = Unlinked::new()?;
    io::copy(&mut stream.take(CONTENTS), &mut file)?;
    file.flush()?;
    let mut again = file.reopen()?;
    again.seek(SeekFrom::Start(0))?;
    let _ = contents.send(file);
    let Ok(mut pipe) = pipe.blocking_recv() else {
        return Err(io::Error::other("the restore has failed"));
    };
    let mut whole = again.chain(stream);
    let mut buffer = vec![0; 256 * 1024];
    let mut open = true;
    loop {
        let read = whole.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        if given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("the restore has failed"));
        }
        if open && let Err(error) = pipe.write_all(buffer.get(..read).unwrap_or_default()) {
            // pg_restore is through with the last row, or failed; which, its exit status says.
            if error.kind() != io::ErrorKind::BrokenPipe {
                return Err(error);
            }
            open = false;
        }
    }
}

fn temporary(source: io::Error) -> BackupError {
    BackupError::Io {
        doing: "a temporary file".to_owned(),
        source,
    }
}

/// pg_restore for one database.
pub(super) struct PgRestore<'a> {
    pub tool: Tool,
    pub address: &'a DatabaseAddress,
    pub server_major: u32,
}

impl PgRestore<'_> {
    /// From 17 on it sets `transaction_timeout`, which older servers do not know.
    fn forgives(&self) -> bool {
        self.tool.major >= 17 && self.server_major < 17
    }

    fn command(&self, section: &str) -> tokio::process::Command {
        let mut command = self.tool.command(self.address, "plinth-ops pg_restore");
        command
            .env("PGOPTIONS", "-c synchronous_commit=off -c maintenance_work_mem=256MB -c statement_timeout=0 -c row_security=on")
            // Whoever restores owns it all; what belongs to others is given to them later.
            .args(["--no-owner", "--dbname", &self.address.database, "--section", section]);
        if !self.forgives() {
            command.arg("--exit-on-error");
        }
        command
    }

    async fn section(&self, section: &str, contents: &Path, jobs: usize) -> Result<(), BackupError> {
        let mut command = self.command(section);
        command.arg("--jobs").arg(jobs.to_string()).arg(contents);
        self.judge(self.tool.start(command)?.end().await?)
    }

    /// The last section of the table of contents, line by line: what row level security needs, and everything else.
    async fn post_data(&self, contents: &Path) -> Result<(Vec<String>, Vec<String>), BackupError> {
        let list = Unlinked::new().map_err(temporary)?;
        let mut command = self.tool.command(self.address, "plinth-ops pg_restore");
        command
            .args(["--list", "--section", "post-data", "--file"])
            .arg(list.path())
            .arg(contents);
        self.tool.start(command)?.end().await?.check()?;
        let text = std::fs::read_to_string(list.path()).map_err(temporary)?;
        // "3402; 3256 16500 POLICY public cards tenant plinth"
        let is_policy = |line: &String| {
            line.split(' ')
                .nth(3)
                .is_some_and(|kind| kind == "POLICY" || kind == "ROW")
        };
        Ok(text.lines().map(ToOwned::to_owned).partition(is_policy))
    }

    /// Restores the listed objects alone.
    async fn listed(&self, contents: &Path, list: &[String], jobs: usize) -> Result<(), BackupError> {
        let mut file = Unlinked::new().map_err(temporary)?;
        file.write_all(list.join("\n").as_bytes()).map_err(temporary)?;
        file.flush().map_err(temporary)?;
        let mut command = self.command("post-data");
        command
            .arg("--use-list")
            .arg(file.path())
            .arg("--jobs")
            .arg(jobs.to_string())
            .arg(contents);
        self.judge(self.tool.start(command)?.end().await?)
    }

    async fn rows(&self, dump: io::PipeReader) -> Result<(), BackupError> {
        let mut command = self.command("data");
        command.stdin(Stdio::from(dump));
        self.judge(self.tool.start(command)?.end().await?)
    }

    /// One complaint is none: that an older server does not know the setting. Everything else is. Those of parallel workers are printed
    /// without being counted.
    fn judge(&self, ended: Ended) -> Result<(), BackupError> {
        if ended.success() || !self.forgives() {
            return ended.check();
        }
        let errors = ended.complaint.lines().filter(|line| line.contains("error:"));
        let known =
            |line: &str| line.contains("unrecognized configuration parameter \"transaction_timeout\"");
        let counts = ended.complaint.lines().filter_map(|line| {
            line.split_once("errors ignored on restore: ")?
                .1
                .trim()
                .parse::<usize>()
                .ok()
        });
        let (errors, counted): (Vec<&str>, usize) = (errors.collect(), counts.sum());
        if !errors.is_empty() && errors.iter().all(|line| known(line)) && counted <= errors.len() {
            return Ok(());
        }
        ended.check()
    }
}
