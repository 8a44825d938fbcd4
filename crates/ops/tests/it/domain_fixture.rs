//! Two domains with rows in every table that a domain may have rows in, and all rows of one of them, and of everybody else.

use test_support::{ACME, GLOBEX, TestDatabase, World};
use uuid::Uuid;

use crate::backup::cards;
use crate::support::Ops;

/// A database with two domains that have rows in every table that a domain may have rows in.
pub struct Two {
    pub database: TestDatabase,
    pub world: World,
    pub ops: Ops,
    pub acme: Uuid,
    pub globex: Uuid,
}

impl Two {
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        // Makes the secrets that the installation has of its own, which are compared later.
        drop(database.db().await);
        let world = World::new(database.superuser().await);
        let ops = Ops::on(&database);
        let (acme, globex) = (world.domain(ACME).await, world.domain(GLOBEX).await);
        for slug in [ACME, GLOBEX] {
            everything(&world, slug).await;
        }
        Self {
            database,
            world,
            ops,
            acme,
            globex,
        }
    }

    /// Exports a domain into the program's directory; the file's name.
    pub fn export(&self, slug: &str, file: &str) -> String {
        self.ops.expect(0, &["domain", "export", slug, "--to", file]);
        self.ops.directory.path().join(file).to_str().unwrap().to_owned()
    }

    /// All rows of a domain, but for its sessions.
    pub async fn rows(&self, domain: Uuid) -> String {
        rows(&self.world, domain).await
    }

    /// All rows of all others: other domains, and what is nobody's. The platform's notes of what was done are left out.
    pub async fn others(&self, domain: Uuid) -> String {
        others(&self.world, domain).await
    }
}

/// A row in every table that a domain may have rows in.
pub async fn everything(world: &World, slug: &str) {
    let domain = world.domain(slug).await;
    let ids = world.fixture(slug).await;
    let (user, card) = (ids["user_id"], ids["card_id"]);
    world
        .assign_custom(slug, user, &["card:read", "card:update"])
        .await;
    world.session(slug, user).await;
    cards(world, slug, 20).await;
    world
        .client()
        .batch_execute(&format!(
            "INSERT INTO domain_hosts (domain_id, host) VALUES ('{domain}', '{slug}.example.test');
             UPDATE cards SET assignee_id = '{user}', created_by = '{user}', description = E'tabs\\t, lines\\n and \\\\ it' WHERE id = '{card}';
             INSERT INTO activity_stream (domain_id, id, user_id, action, target_type, target_id, before, after)
             VALUES ('{domain}', '{}', '{user}', 'card.update', 'card', '{card}', '{{\"title\": \"a \\\"b\\\"\"}}',
                     '{{\"id\": \"{card}\", \"elsewhere\": \"{}\"}}');
             INSERT INTO queue_job_batches (domain_id, id, name, open_until, total) VALUES ('{domain}', '{}', 'Of a domain', now(), 1);
             INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total) SELECT domain_id, id, 1 FROM queue_job_batches WHERE domain_id = '{domain}';
             INSERT INTO queue_jobs (domain_id, id, queue, kind, state, max_attempts, run_at, batch_id, payload)
             SELECT domain_id, '{}', 'default', 'mail', 'scheduled', 3, now() + interval '1 year', id, '{{\"card\": \"{card}\"}}'
               FROM queue_job_batches WHERE domain_id = '{domain}' AND name = 'Of a domain';
             INSERT INTO queue_schedules (domain_id, name, queue, kind, max_attempts, payload, cron, time_zone, missed, paused_at)
             VALUES ('{domain}', 'nightly', 'default', 'mail', 3, '{{}}', '0 3 * * *', 'UTC', 'skip', now());",
            id(), id(), id(), id(),
        ))
        .await
        .unwrap();
    // Whoever adds a table adds a row of it here; those that hold nothing of a domain are told by their CHECK.
    for line in world.fingerprint(domain).await.lines() {
        let (table, hash) = line.split_once(' ').unwrap();
        assert_eq!(
            hash.starts_with("0:"),
            of_the_platform_alone(world, table).await,
            "{line}"
        );
    }
}

async fn of_the_platform_alone(world: &World, table: &str) -> bool {
    world
        .client()
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'
                               AND pg_get_constraintdef(oid) = 'CHECK ((domain_id = platform_domain_id()))')",
            &[&table],
        )
        .await
        .unwrap()
        .get(0)
}

fn id() -> Uuid {
    db_core::Clock::System.uuid()
}

/// All rows of a domain, but for its sessions; its own row too.
pub async fn rows(world: &World, domain: Uuid) -> String {
    let fingerprint = world.fingerprint(domain).await;
    let mut lines: Vec<String> = fingerprint
        .lines()
        .filter(|line| !line.starts_with("sessions "))
        .map(ToOwned::to_owned)
        .collect();
    assert!(lines.len() > 15, "{lines:?}");
    let own = world
        .client()
        .query_opt("SELECT d::text FROM domains d WHERE id = $1", &[&domain])
        .await
        .unwrap();
    lines.push(own.map_or_else(|| "no domain".to_owned(), |row| row.get(0)));
    lines.join("\n")
}

/// All rows of all tables that are not the domain's. The platform's notes of what was done are left out.
pub async fn others(world: &World, domain: Uuid) -> String {
    let client = world.client();
    let tables = client
        .query(
            "SELECT c.oid::regclass::text, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id')
               FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let mut lines = Vec::new();
    for row in tables {
        let (table, by_domain): (String, bool) = (row.get(0), row.get(1));
        let which = match (table.as_str(), by_domain) {
            ("domains", _) => "id <> $1",
            ("activity_stream", _) => {
                "domain_id <> $1 AND NOT (domain_id = platform_domain_id() AND action ~ '^domain.(restore|copy|erase)$')"
            }
            (_, true) => "domain_id <> $1",
            (_, false) => "$1::uuid IS NOT NULL",
        };
        let sql = format!(
            "SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t WHERE {which}"
        );
        let row = client.query_one(&sql, &[&domain]).await.unwrap();
        lines.push(format!("{table} {}", row.get::<_, String>(0)));
    }
    assert!(lines.len() > 25, "{lines:?}");
    lines.join("\n")
}
