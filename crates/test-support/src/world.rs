//! What the template holds, and quick ways to more of it: accounts, sessions, and things to work on.

use std::collections::BTreeMap;

use db_core::rbac::SystemRole;
use db_core::secrets::token::{ApiKeyToken, TokenHash, new_session_token};
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

    /// Gives a new role of the domain's own, with these permissions, for the whole domain.
    pub async fn assign_custom(&self, slug: &str, user: Uuid, permissions: &[&str]) -> Uuid {
        let (domain, role) = (self.domain(slug).await, Clock::System.uuid());
        self.client
            .execute(
                "INSERT INTO roles (domain_id, id, name, name_key) VALUES ($1, $2::uuid, 'Custom ' || $2::uuid, 'custom ' || $2::uuid)",
                &[&domain, &role],
            )
            .await
            .unwrap();
        self.client
            .execute(
                "INSERT INTO role_permissions (domain_id, role_id, permission) SELECT $1, $2, unnest($3::text[])",
                &[&domain, &role, &permissions],
            )
            .await
            .unwrap();
        self.client
            .execute(
                "INSERT INTO user_roles (domain_id, id, user_id, role_domain_id, role_id) VALUES ($1, $2, $3, $1, $4)",
                &[&domain, &Clock::System.uuid(), &user, &role],
            )
            .await
            .unwrap();
        role
    }

    /// An API key of an account, perhaps limited to some permissions. Returns the whole key.
    pub async fn api_key(&self, slug: &str, user: Uuid, permissions: Option<&[&str]>) -> String {
        let domain = self.domain(slug).await;
        let token = ApiKeyToken::generate(Clock::System.id());
        self.client
            .execute(
                "INSERT INTO api_keys (domain_id, id, user_id, name, secret_hash, last_four, permissions)
                 VALUES ($1, $2, $3, 'Key', crypt($4, gen_salt('bf', 4)), $5, $6)",
                &[
                    &domain,
                    &token.id.uuid(),
                    &user,
                    &token.proof(),
                    &token.last_four(),
                    &permissions,
                ],
            )
            .await
            .unwrap();
        token.reveal().expose_secret().to_owned()
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

    /// One of everything in a domain, by the names that paths and bodies use.
    pub async fn fixture(&self, slug: &str) -> BTreeMap<&'static str, Uuid> {
        const NAMES: &[&str] = &[
            "organization_id",
            "project_id",
            "board_id",
            "column_id",
            "card_id",
            "tag_id",
            "user_id",
            "session_id",
            "api_key_id",
            "role_id",
            "assignment_id",
            "other_card_id",
            "other_column_id",
            "empty_organization_id",
            "empty_project_id",
            "empty_board_id",
            "empty_column_id",
            "organization_assignment_id",
            "project_assignment_id",
            "other_user_id",
            "spare_domain_id",
            "job_id",
            "dead_job_id",
            "batch_id",
        ];
        let mut ids: BTreeMap<&'static str, Uuid> =
            NAMES.iter().map(|name| (*name, Clock::System.uuid())).collect();
        let domain = self.domain(slug).await;
        ids.insert("domain_id", domain);
        let unique: String = ids["project_id"]
            .simple()
            .to_string()
            .to_uppercase()
            .chars()
            .rev()
            .take(7)
            .collect();
        let low = unique.to_lowercase();
        let template = "
            INSERT INTO domains (id, slug, name) VALUES ({spare_domain_id}, 'spare-{low}', 'Spare');
            INSERT INTO users (domain_id, id, email, name) VALUES
                ({domain_id}, {user_id}, '{low}@{slug}.test', 'Victim'),
                ({domain_id}, {other_user_id}, 'other-{low}@{slug}.test', 'Other');
            INSERT INTO sessions (domain_id, id, user_id, token_hash, idle_seconds, expires_at)
                VALUES ({domain_id}, {session_id}, {user_id}, digest({session_id}::text, 'sha256'), 600, now() + interval '1 day');
            INSERT INTO api_keys (domain_id, id, user_id, name, secret_hash, last_four)
                VALUES ({domain_id}, {api_key_id}, {user_id}, 'Key', '$2a$04$0000000000000000000000', 'abcd');
            INSERT INTO organizations (domain_id, id, slug, name) VALUES
                ({domain_id}, {organization_id}, 'o-{low}', 'Ops'), ({domain_id}, {empty_organization_id}, 'e-{low}', 'Empty');
            INSERT INTO organization_members (domain_id, organization_id, user_id)
                VALUES ({domain_id}, {organization_id}, {user_id});
            INSERT INTO projects (domain_id, id, organization_id, key, name, last_number) VALUES
                ({domain_id}, {project_id}, {organization_id}, 'P{unique}', 'Ops', 2),
                ({domain_id}, {empty_project_id}, {organization_id}, 'E{unique}', 'Empty', 0);
            INSERT INTO boards (domain_id, id, project_id, name) VALUES
                ({domain_id}, {board_id}, {project_id}, 'Main'), ({domain_id}, {empty_board_id}, {project_id}, 'Empty');
            INSERT INTO board_columns (domain_id, id, project_id, board_id, name, rank) VALUES
                ({domain_id}, {column_id}, {project_id}, {board_id}, 'To do', 'a0'),
                ({domain_id}, {other_column_id}, {project_id}, {board_id}, 'Doing', 'a1'),
                ({domain_id}, {empty_column_id}, {project_id}, {board_id}, 'Empty', 'a2');
            INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title) VALUES
                ({domain_id}, {card_id}, {project_id}, {board_id}, {column_id}, 1, 'a0', 'One'),
                ({domain_id}, {other_card_id}, {project_id}, {board_id}, {column_id}, 2, 'a1', 'Two');
            INSERT INTO tags (domain_id, id, project_id, name, name_key, color)
                VALUES ({domain_id}, {tag_id}, {project_id}, 'Red', 'red', '#ff0000');
            INSERT INTO card_tags (domain_id, project_id, card_id, tag_id)
                VALUES ({domain_id}, {project_id}, {other_card_id}, {tag_id});
            INSERT INTO queue_job_batches (domain_id, id, name, total, open_until)
                VALUES ({domain_id}, {batch_id}, 'Batch', 1, now() + interval '1 day');
            INSERT INTO queue_jobs (domain_id, id, queue, kind, state, run_at, attempt, max_attempts, started_at, finished_at, batch_id, payload, errors)
                VALUES ({domain_id}, {job_id}, 'fixture', 'fixture', 'scheduled', now() + interval '1 day', 0, 1, NULL, NULL, {batch_id}, '{}', '[]'),
                       ({domain_id}, {dead_job_id}, 'fixture', 'fixture', 'dead', now(), 1, 1, now(), now(), NULL, '{}', '[{}]');
            INSERT INTO queue_schedules (domain_id, name, queue, kind, max_attempts, payload, cron, time_zone, missed)
                VALUES ({domain_id}, 'fixture', 'fixture', 'fixture', 1, '{}', '0 0 1 1 *', 'UTC', 'skip')
                ON CONFLICT DO NOTHING;
            INSERT INTO roles (domain_id, id, name, name_key) VALUES ({domain_id}, {role_id}, 'R{low}', 'r{low}');
            INSERT INTO user_roles (domain_id, id, user_id, role_domain_id, role_id, organization_id, project_id) VALUES
                ({domain_id}, {assignment_id}, {user_id}, platform_domain_id(), {viewer}, NULL, NULL),
                ({domain_id}, {organization_assignment_id}, {user_id}, platform_domain_id(), {viewer}, {organization_id}, NULL),
                ({domain_id}, {project_assignment_id}, {user_id}, platform_domain_id(), {viewer}, NULL, {project_id});";
        let mut sql = template
            .replace("{low}", &low)
            .replace("{unique}", &unique)
            .replace("{slug}", slug);
        sql = sql.replace("{viewer}", &format!("'{}'::uuid", SystemRole::Viewer.id()));
        for (name, id) in &ids {
            sql = sql.replace(&format!("{{{name}}}"), &format!("'{id}'::uuid"));
        }
        self.client.batch_execute(&sql).await.unwrap();
        ids
    }

    /// Names of the tenant tables, as the catalogue has them.
    pub async fn tenant_tables(&self) -> Vec<String> {
        let rows = self
            .client
            .query(
                "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'domain_id'
                  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
                &[],
            )
            .await
            .unwrap();
        let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        // A walk over nothing would be green too.
        assert!(tables.len() >= 16, "{tables:?}");
        tables
    }

    /// A hash over every row of a domain, in every tenant table: equal when nothing was changed.
    pub async fn fingerprint(&self, domain: Uuid) -> String {
        let mut parts = Vec::new();
        for table in self.tenant_tables().await {
            // Refused attempts on a domain's front door are noted in it; they are no change of what it holds.
            let row = self
                .client
                .query_one(
                    &format!(
                        "SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '')
                           FROM {table} t WHERE domain_id = $1"
                    ),
                    &[&domain],
                )
                .await
                .unwrap();
            parts.push(format!("{table} {}", row.get::<_, String>(0)));
        }
        parts.join("\n")
    }
}
