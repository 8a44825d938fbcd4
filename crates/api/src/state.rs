//! What the process knows: its configuration, and its database once that is set up and checked.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use app_config::Config;
use db_core::jobs::QueueMetrics;
use db_core::models::backup_run::BackupMetrics;
use db_core::secrets::token::TokenHash;
use db_core::setup::{self, KeyError, KeySource, SetupError, SetupOutcome, SetupRequest};
use db_core::{Clock, Db, DomainId, OpenError, Owner, Pool};
use db_migrate::{MigrateError, Migrator};
use moka::sync::Cache;
use pg_connect::ConnectError;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use crate::drift::{DriftWatch, SchemaState};
use crate::fair_share::Shares;
use crate::jobs::JobThread;
use crate::limits::{DenialLimit, LoginLimits};
use crate::problem::Problem;

/// How long after a failed look at the database the next one is taken; also how often a server that waits looks by itself.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// How long a request waits for a look at the database.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long the domain of a session that is not used is remembered. It never changes.
const MEMORY: Duration = Duration::from_secs(3600);

/// Shared by all workers of the process.
pub struct AppState {
    /// The effective configuration.
    pub config: Config,
    /// The process's clock.
    pub clock: Clock,
    /// Limits on sign-in.
    pub limits: LoginLimits,
    /// Limit on being denied.
    pub(crate) denials: DenialLimit,
    /// Domains of sessions, as far as this process has seen them.
    sessions: Cache<TokenHash, DomainId>,
    owner: Owner,
    keys: KeySource,
    setup_token: SecretString,
    workers: usize,
    db: OnceLock<Db>,
    drift: DriftWatch,
    jobs: JobThread,
    queue_metrics: QueueMetrics,
    backup_metrics: BackupMetrics,
    /// One look at the database at a time, and what the last one saw.
    looking: Mutex<Option<Look>>,
}

/// A look at the database by a process that does not serve yet.
struct Look {
    begun: Instant,
    seen: Seen,
    /// What was in the way, in words; said in the log when it changes.
    obstacle: String,
}

/// What a look at the database saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Ready,
    AwaitingSetup,
    /// It does not answer.
    Away,
    /// It answers, but something is wrong that a person must mend.
    Unfit,
}

/// Where the installation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests are served.
    Ready,
    /// Nobody has set it up yet.
    AwaitingSetup,
}

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database is away. It may come back.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database or its keys are not fit to be served.
    #[error(transparent)]
    Open(OpenError),
    /// The schema is not the one this binary works with.
    #[error("{0}")]
    Migrate(MigrateError),
    /// There is no key, or none that can be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Setting up at start failed.
    #[error("setup failed: {0}")]
    Setup(SetupError),
}

impl StartError {
    /// Whether waiting may help: the database is away, and nothing is wrong with it that a person must mend.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_transient(),
            Self::Open(error) => error.is_transient(),
            Self::Migrate(error) => error.is_transient(),
            Self::Setup(error) => error.is_transient(),
            Self::Key(_) => false,
        }
    }
}

impl From<SetupError> for StartError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Connect(error) => Self::Connect(error),
            error => Self::Setup(error),
        }
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(error) => Self::Connect(error),
            error => Self::Open(error),
        }
    }
}

impl From<MigrateError> for StartError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Connect(error) => Self::Connect(error),
            error => Self::Migrate(error),
        }
    }
}

impl AppState {
    /// The state of a process whose database has not been looked at yet.
    pub fn new(config: Config, owner: Owner, clock: Clock) -> Self {
        let workers = match config.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let setup_token = config
            .setup
            .token
            .clone()
            .unwrap_or_else(|| SecretString::from(hex::encode(db_core::random_bytes::<16>())));
        Self {
            limits: LoginLimits::new(&config.security),
            denials: DenialLimit::new(&config.security),
            sessions: Cache::builder()
                .max_capacity(100_000)
                .time_to_idle(MEMORY)
                .build(),
            keys: KeySource::from_config(&config),
            setup_token,
            workers,
            owner,
            drift: DriftWatch::new(clock.clone()),
            jobs: JobThread::default(),
            queue_metrics: QueueMetrics::default(),
            backup_metrics: BackupMetrics::default(),
            clock,
            db: OnceLock::new(),
            looking: Mutex::new(None),
            config,
        }
    }

    /// How many workers serve requests.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The domain of a session, when this process has seen it.
    pub(crate) fn domain_of(&self, session: TokenHash) -> Option<DomainId> {
        self.sessions.get(&session)
    }

    /// Remembers the domain of a session. Whether the session still counts is asked of the database at each request.
    pub(crate) fn note_session(&self, session: TokenHash, domain: DomainId) {
        self.sessions.insert(session, domain);
    }

    /// The one-time token that `POST /api/db/setup` asks for.
    pub fn setup_token(&self) -> &SecretString {
        &self.setup_token
    }

    /// The database, once it may be served.
    pub fn db(&self) -> Option<&Db> {
        self.db.get()
    }

    /// Looks at the database, and gets ready to serve it when it is set up: migrations, keys, logins.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn bring_up(&self) -> Result<Phase, StartError> {
        if self.db.get().is_some() {
            return Ok(Phase::Ready);
        }
        if !setup::is_initialized(&self.owner).await? {
            return Ok(Phase::AwaitingSetup);
        }
        let migrator = Migrator::new(self.owner.connector(), Duration::from_secs(60));
        if self.config.database.migrate_on_start {
            migrator.run().await?;
        } else {
            migrator.status().await?.require_current()?;
        }
        let keyring = self.keys.load()?;
        let (database, security) = (&self.config.database, &self.config.security);
        let db = Db::open(&self.owner, database, security, &keyring, self.clock.clone()).await?;
        self.drift.look(&self.owner).await;
        // Another task may have been faster; its database is as good as ours.
        let db = self.db.get_or_init(|| db);
        self.jobs.start(&self.owner, db, &self.config.jobs);
        Ok(Phase::Ready)
    }

    /// Begins no more jobs, and lets running ones end. Returns at once.
    pub fn begin_stop_of_jobs(&self) {
        self.jobs.begin_stop();
    }

    /// Returns when no job of this process runs any more, and its connections for them are closed. Blocks.
    pub fn stop_jobs(&self) {
        self.jobs.stop();
    }

    /// Brings the gauges of queues and backups up to date, for whoever is about to read them.
    pub async fn measure_queues(&self) {
        if self.db.get().is_some() {
            self.queue_metrics.refresh(&self.owner).await;
            self.backup_metrics.refresh(&self.owner).await;
        }
    }

    /// Whether the schema is what the migrations made, as of the last few minutes. Nobody waits for a newer look.
    pub(crate) fn schema(self: &Arc<Self>) -> SchemaState {
        let (schema, due) = self.drift.seen();
        if due {
            let state = Arc::clone(self);
            actix_web::rt::spawn(async move { state.drift.look(&state.owner).await });
        }
        schema
    }

    /// Sets the installation up, says in the log what is said only once, then gets ready to serve.
    ///
    /// # Errors
    /// See [`StartError`]; `SetupError::AlreadySetUp` when another was faster.
    pub async fn set_up(self: &Arc<Self>, request: SetupRequest) -> Result<(), StartError> {
        let state = Arc::clone(self);
        // A task of its own: were it dropped with a client that hangs up, a password could be stored and never said.
        let task = actix_web::rt::spawn(async move {
            let outcome = setup::set_up(&state.owner, &state.config, &state.clock, &request).await?;
            state.announce(&request, &outcome);
            state.bring_up().await.map(|_| ())
        });
        task.await
            .unwrap_or_else(|error| Err(SetupError::Internal(error.to_string()).into()))
    }

    fn announce(&self, request: &SetupRequest, outcome: &SetupOutcome) {
        if let Some(password) = &outcome.generated_password {
            tracing::warn!(
                email = request.operator_email,
                password = password.expose_secret(),
                "the platform operator's password, shown only here: keep it, and change it"
            );
        }
        if outcome.key_file_written {
            tracing::warn!(
                file = %self.keys.path().display(),
                "a new encryption key was written: keep it safe, apart from the database and its backups; \
                 without it everything encrypted is lost"
            );
        }
    }

    /// The database for a request. When it is not ready, looks whether it has become so: another replica may have set
    /// the installation up, or the database may be back.
    async fn require_db(self: &Arc<Self>) -> Result<&Db, Problem> {
        let seen = match self.db.get() {
            Some(_) => Seen::Ready,
            None => self.look().await,
        };
        match (seen, self.db.get()) {
            (Seen::Ready, Some(db)) => Ok(db),
            (Seen::AwaitingSetup, _) => Err(Problem::unavailable(
                "not_set_up",
                "Plinth is not set up yet: POST /api/db/setup, or run `plinth-ops setup`",
            )),
            (Seen::Unfit, _) => Err(Problem::unavailable(
                "not_ready",
                "the server is not ready; its log says why",
            )),
            (Seen::Ready | Seen::Away, _) => Err(Problem::unavailable(
                "database_unavailable",
                "the database is not available",
            )),
        }
    }

    /// Looks at the database, now, for at most [`PATIENCE`].
    async fn look(self: &Arc<Self>) -> Seen {
        let (state, arrived) = (Arc::clone(self), Instant::now());
        // A task of its own: a client that hangs up does not break off a migration.
        let task = actix_web::rt::spawn(async move { state.look_once(arrived).await });
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) | Err(_) => Seen::Away,
        }
    }

    /// Strangers may ask as often as they like: however many, they share one look at a time, and after a failed one the
    /// database is left alone for a moment.
    pub(crate) async fn look_once(&self, arrived: Instant) -> Seen {
        let mut last = self.looking.lock().await;
        if self.db.get().is_some() {
            return Seen::Ready;
        }
        if let Some(look) = &*last {
            let failed = matches!(look.seen, Seen::Away | Seen::Unfit);
            if look.begun >= arrived || (failed && look.begun.elapsed() < PAUSE) {
                return look.seen;
            }
        }
        let begun = Instant::now();
        let (seen, obstacle) = match self.bring_up().await {
            Ok(Phase::Ready) => (Seen::Ready, String::new()),
            Ok(Phase::AwaitingSetup) => (Seen::AwaitingSetup, String::new()),
            Err(error) if error.is_transient() => (Seen::Away, error.to_string()),
            Err(error) => (Seen::Unfit, error.to_string()),
        };
        let before = last.as_ref().map_or("", |look| &look.obstacle);
        if seen == Seen::Ready {
            tracing::info!("the database is ready; requests are served");
        } else if obstacle != before && !obstacle.is_empty() {
            tracing::error!(error = obstacle, "the database is not ready");
        }
        *last = Some(Look {
            begun,
            seen,
            obstacle,
        });
        seen
    }

    /// Whether a database answers, and whether it is set up: computed at the call.
    pub async fn status(self: &Arc<Self>, pool: Option<&Pool>) -> (bool, bool) {
        if let Some(pool) = pool {
            return match pool.is_initialized().await {
                Ok(initialized) => (true, initialized),
                Err(_) => (false, false),
            };
        }
        match self.look().await {
            Seen::Ready => (true, true),
            Seen::AwaitingSetup | Seen::Unfit => (true, false),
            Seen::Away => (false, false),
        }
    }
}

/// What one worker has: the shared state, and a pool of its own on its own runtime.
pub struct Worker {
    state: Arc<AppState>,
    pool: OnceCell<Pool>,
    shares: Shares,
}

impl Worker {
    /// A worker's share.
    pub fn new(state: Arc<AppState>) -> Self {
        Self {
            shares: Shares::new(&state.config.database, state.workers),
            state,
            pool: OnceCell::new(),
        }
    }

    /// Whether the schema is what the migrations made.
    pub(crate) fn schema(&self) -> SchemaState {
        self.state.schema()
    }

    /// The shares of this worker's pool.
    pub(crate) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// What all workers share.
    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// This worker's pool.
    ///
    /// # Errors
    /// 503 while the installation is not set up, or its database is away.
    pub async fn pool(&self) -> Result<Pool, Problem> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let pool = self.state.require_db().await?.pool(self.state.workers);
        Ok(self.pool.get_or_init(|| pool).clone())
    }

    /// This worker's pool, if requests are being served.
    pub fn ready_pool(&self) -> Option<Pool> {
        let db = self.state.db()?;
        Some(self.pool.get_or_init(|| db.pool(self.state.workers)).clone())
    }
}

/// Whether the token is the setup token, in a time that does not tell how much of it is right.
pub fn is_setup_token(state: &AppState, presented: &str) -> bool {
    use subtle::ConstantTimeEq as _;
    state
        .setup_token
        .expose_secret()
        .as_bytes()
        .ct_eq(presented.as_bytes())
        .into()
}
