//! A real server on a port of its own, before a database of its own.

use std::sync::mpsc;

use actix_web::dev::ServerHandle;
use api::state::AppState;
use app_config::Config;
use db_core::Clock;
use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use std::sync::Arc;
use test_support::{ACME, Actor, GLOBEX, TestDatabase, World};

/// A server, its database, and ways to speak to both.
pub struct TestApp {
    // First: it is dropped first, and must be gone before its database is.
    _server: Server,
    pub db: TestDatabase,
    pub world: World,
    pub base: String,
}

/// A server alone, for tests that need two, or a database of another kind.
pub struct Server {
    pub base: String,
    pub state: Arc<AppState>,
    handle: ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Things to work on in one domain.
pub struct Board {
    pub organization: String,
    pub project: String,
    pub board: String,
    pub column: String,
}

impl TestApp {
    /// A server that is set up with the domains acme and globex.
    pub async fn start() -> Self {
        Self::start_with(TestDatabase::new().await, |_| {}).await
    }

    /// The same before a database of the test's choice, with a changed configuration.
    pub async fn start_with(db: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = db.config();
        config.security.login_rate_per_address = 10_000;
        config.security.login_rate_per_account = 10_000;
        config.security.login_rate_per_account_total = 10_000;
        config.security.denial_rate_per_credential = 10_000;
        // Tests of what happens at once use all of their few connections.
        config.database.domain_share = 1.0;
        change(&mut config);
        let server = Server::start(config);
        let world = World::new(db.superuser().await);
        Self {
            base: server.base.clone(),
            _server: server,
            db,
            world,
        }
    }

    /// Somebody without a credential.
    pub fn anonymous(&self) -> Actor {
        Actor::anonymous(&self.base)
    }

    /// The Admin of acme.
    pub async fn admin(&self) -> Actor {
        self.first_user(ACME).await
    }

    /// The Admin of globex, the other domain.
    pub async fn other_admin(&self) -> Actor {
        self.first_user(GLOBEX).await
    }

    /// The platform operator.
    pub async fn operator(&self) -> Actor {
        self.first_user("platform").await
    }

    async fn first_user(&self, slug: &str) -> Actor {
        let user = self.world.first_user(slug).await;
        self.anonymous()
            .with_session(&self.world.session(slug, user).await)
    }

    /// Somebody of acme with a role for the whole domain; without one when it is `None`.
    pub async fn with_role(&self, role: Option<SystemRole>) -> Actor {
        let email = format!("{}@acme.test", Clock::System.uuid().simple());
        let user = self.world.user(ACME, &email).await;
        if let Some(role) = role {
            self.world.assign(ACME, user, role, None, None).await;
        }
        self.anonymous()
            .with_session(&self.world.session(ACME, user).await)
    }

    /// Somebody of acme with a role of the domain's own.
    pub async fn with_custom_role(&self, permissions: &[&str]) -> Actor {
        let (user, actor) = self.somebody().await;
        self.world.assign_custom(ACME, user, permissions).await;
        actor
    }

    /// Somebody of acme whose role has just ended.
    pub async fn with_expired_role(&self, role: SystemRole) -> Actor {
        let (user, actor) = self.somebody().await;
        let assignment = self.world.assign(ACME, user, role, None, None).await;
        let end = "UPDATE user_roles SET expires_at = now() - interval '1 second' WHERE id = $1";
        self.world.client().execute(end, &[&assignment]).await.unwrap();
        actor
    }

    /// A program with a key of an Admin of acme, limited to some permissions.
    pub async fn with_api_key(&self, permissions: &[&str]) -> Actor {
        let (user, _) = self.somebody().await;
        self.world.assign(ACME, user, SystemRole::Admin, None, None).await;
        self.anonymous()
            .with_bearer(&self.world.api_key(ACME, user, Some(permissions)).await)
    }

    async fn somebody(&self) -> (uuid::Uuid, Actor) {
        let email = format!("{}@acme.test", Clock::System.uuid().simple());
        let user = self.world.user(ACME, &email).await;
        (
            user,
            self.anonymous()
                .with_session(&self.world.session(ACME, user).await),
        )
    }

    /// An organization, a project, a board and a column, made by `actor` through the API.
    pub async fn board(&self, actor: &Actor) -> Board {
        let unique = Clock::System.uuid().simple().to_string();
        let tail: String = unique.chars().rev().take(7).collect();
        let organization = make(
            actor,
            "/api/v1/organizations",
            json!({"slug": format!("o-{tail}"), "name": "Ops"}),
        )
        .await;
        let project = make(
            actor,
            &format!("/api/v1/organizations/{organization}/projects"),
            json!({"key": format!("P{}", tail.to_uppercase()), "name": "Operations"}),
        )
        .await;
        let board = make(
            actor,
            &format!("/api/v1/projects/{project}/boards"),
            json!({"name": "Main"}),
        )
        .await;
        let column = make(
            actor,
            &format!("/api/v1/boards/{board}/columns"),
            json!({"name": "To do"}),
        )
        .await;
        Board {
            organization,
            project,
            board,
            column,
        }
    }

    /// A card in a column. Returns its id.
    pub async fn card(&self, actor: &Actor, column: &str, title: &str) -> String {
        make(
            actor,
            &format!("/api/v1/columns/{column}/cards"),
            json!({"title": title}),
        )
        .await
    }
}

/// Makes a thing and returns its id.
pub async fn make(actor: &Actor, path: &str, body: Value) -> String {
    actor.post(path, &body).await.expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

impl Server {
    /// Returns when it listens: on a port that the system chose, with two workers.
    pub fn start(config: Config) -> Self {
        Self::start_by(config, Clock::System)
    }

    /// The same with a clock that the test sets.
    pub fn start_by(mut config: Config, clock: Clock) -> Self {
        log_to_stderr();
        config.server.bind = "127.0.0.1:0".parse().unwrap();
        config.server.workers = 2;
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let state = api::start::app_state(config, clock).await.unwrap();
                let listening = api::server::api(state.clone()).unwrap();
                let base = format!("http://{}", listening.address);
                sender.send((base, state, listening.server.handle())).unwrap();
                listening.server.await.unwrap();
            });
        });
        let (base, state, handle) = receiver.recv().expect("the server did not start");
        Self {
            base,
            state,
            handle,
            thread: Some(thread),
        }
    }
}

/// The metrics of all servers of this process: of one, where a test has its process to itself, as with nextest.
pub fn metrics() -> String {
    log_to_stderr().as_ref().unwrap().metrics().render()
}

/// What the server has to say, once for each process: shown when a test fails.
fn log_to_stderr() -> &'static Option<telemetry::Guard> {
    static LOG: std::sync::OnceLock<Option<telemetry::Guard>> = std::sync::OnceLock::new();
    LOG.get_or_init(|| {
        let config = app_config::TelemetryConfig {
            log_filter: "warn".to_owned(),
            log_format: app_config::LogFormat::Text,
            otlp_endpoint: None,
            sample_ratio: 0.0,
        };
        telemetry::init("tests", &config).ok()
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        // The future only carries the wish; the server's own thread carries it out.
        let stop = self.handle.stop(false);
        std::thread::spawn(move || actix_web::rt::System::new().block_on(stop))
            .join()
            .ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
