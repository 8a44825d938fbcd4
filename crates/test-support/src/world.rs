//! What the template holds, and quick ways to more of it: accounts, sessions, and things to work on.

use db_core::rbac::SystemRole;
use db_core::secrets::token::{TokenHash, new_session_token};
use db_core::{Clock, PLATFORM_DOMAIN};
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;
use uuid::Uuid;

/// Slug of the first domain.
pub const ACME: &str = "acme";
/// Slug of the second domain.
pub const GLOBEX: &str = "globex";
/// Password of every account that the template has.
pub const PASSWORD: &str = "correct horse battery";
/// `POSTGRES_ENCRYPTION_KEY` of the template.
pub const KEY: &str = "test-key-0123456789abcdef0123456789abcdef";

/// Builders that write as the superuser, past the API.
pub struct World {
    client: Client,
}

impl World {
    /// Builders for the database that the client is connected to.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client, for a query of the test's own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Id of a domain, by its slug.
    pub async fn domain(&self, slug: &str) -> Uuid {
        self.client
            .query_one("SELECT id FROM domains WHERE slug = $1", &[&slug])
            .await
            .unwrap()
            .get(0)
    }

    /// Id of a domain's first account.
    pub async fn first_user(&self, slug: &str) -> Uuid {
        self.client
            .query_one(
                "SELECT u.id FROM users u JOIN domains d ON d.id = u.domain_id WHERE d.slug = $1 ORDER BY u.id LIMIT 1",
                &[&slug],
            )
            .await
            .unwrap()
            .get(0)
    }

    /// A new account without a password and without roles.
    pub async fn user(&self, slug: &str, email: &str) -> Uuid {
        let id = Clock::System.uuid();
        let domain = self.domain(slug).await;
        self.client
            .execute(
                "INSERT INTO users (domain_id, id, email, name) VALUES ($1, $2, $3, $3)",
                &[&domain, &id, &email],
            )
            .await
            .unwrap();
        id
    }

    /// Gives a system role, for the domain or for one organization or project of it. Returns the assignment.
    pub async fn assign(
        &self,
        slug: &str,
        user: Uuid,
        role: SystemRole,
        organization: Option<Uuid>,
        project: Option<Uuid>,
    ) -> Uuid {
        let id = Clock::System.uuid();
        let domain = self.domain(slug).await;
        self.client
            .execute(
                "INSERT INTO user_roles (domain_id, id, user_id, role_domain_id, role_id, organization_id, project_id)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &domain,
                    &id,
                    &user,
                    &PLATFORM_DOMAIN.uuid(),
                    &role.id().uuid(),
                    &organization,
                    &project,
                ],
            )
            .await
            .unwrap();
        id
    }

    /// A session of an account, without the 60 ms of a sign-in. Returns the token.
    pub async fn session(&self, slug: &str, user: Uuid) -> String {
        let token = new_session_token().expose_secret().to_owned();
        let domain = self.domain(slug).await;
        self.client
            .execute(
                "INSERT INTO sessions (domain_id, id, user_id, token_hash, idle_seconds, expires_at)
                 VALUES ($1, $2, $3, $4, 86400, now() + interval '1 day')",
                &[
                    &domain,
                    &Clock::System.uuid(),
                    &user,
                    &TokenHash::of(&token).as_bytes().as_slice(),
                ],
            )
            .await
            .unwrap();
        token
    }

    /// A column on a new board of a new project. Returns the ids of board and column.
    pub async fn column(&self, slug: &str) -> (Uuid, Uuid) {
        let id = || Clock::System.uuid();
        let domain = self.domain(slug).await;
        let (organization, project, board, column) = (id(), id(), id(), id());
        let key: String = project
            .simple()
            .to_string()
            .to_uppercase()
            .chars()
            .rev()
            .take(8)
            .collect();
        self.client
            .batch_execute(&format!(
                "INSERT INTO organizations (domain_id, id, slug, name) VALUES ('{domain}', '{organization}', '{organization}', 'Ops');
                 INSERT INTO projects (domain_id, id, organization_id, key, name)
                     VALUES ('{domain}', '{project}', '{organization}', 'P{key}', 'Ops');
                 INSERT INTO boards (domain_id, id, project_id, name) VALUES ('{domain}', '{board}', '{project}', 'Main');
                 INSERT INTO board_columns (domain_id, id, project_id, board_id, name, rank)
                     VALUES ('{domain}', '{column}', '{project}', '{board}', 'To do', 'a0');"
            ))
            .await
            .unwrap();
        (board, column)
    }
}
