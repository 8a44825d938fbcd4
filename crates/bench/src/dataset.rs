//! The data: the same rows with the same ids at every load.
//!
//! Each domain has an Admin and nine more users, some sessions that have ended and an API key, one organization, two
//! projects of ten boards, and on each board five columns with fifty cards in all. Rows are counted from 0 through all
//! domains, and an id is computed from kind and number.

use uuid::Uuid;

/// Projects of a domain.
pub(crate) const PROJECTS: u32 = 2;
/// Boards of a domain.
pub(crate) const BOARDS: u32 = 20;
/// Columns of a board.
pub(crate) const COLUMNS: u32 = 5;
/// Cards of a board.
pub(crate) const CARDS: u32 = 50;

/// Users of a domain. The first, whose number is the domain's, is its Admin.
const USERS: u32 = 10;
/// Sessions of a domain that have ended, beside those that a run makes.
const SESSIONS: u32 = 10;

/// Goes up when the data below change, so that a loaded cluster is not taken for them.
pub(crate) const EDITION: u32 = 3;

/// Milliseconds at which the ids begin.
const EPOCH: u128 = 1_700_000_000_000;

/// What an id is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    Domain = 1,
    User = 2,
    Project = 4,
    Board = 5,
    Column = 6,
    Card = 7,
}

/// Id of the row of that number: a UUIDv7 with its millisecond, kind and number.
pub(crate) fn id(table: Table, number: u32) -> Uuid {
    let number = u128::from(number);
    Uuid::from_u128(((EPOCH + number) << 80) | (7 << 76) | ((table as u128) << 64) | (0x8000 << 48) | number)
}

/// Loads `domains` domains as the superuser. Foreign keys are not checked row by row: the rows refer to one another by
/// the same arithmetic, and `check` asks for a few of them.
pub(crate) fn load_sql(domains: u32, platform: Uuid, admin: Uuid) -> String {
    let (projects, boards) = (domains * PROJECTS, domains * BOARDS);
    let (columns, cards) = (boards * COLUMNS, boards * CARDS);
    let (users, sessions) = (domains * USERS, domains * SESSIONS);
    let (per_project, project_boards) = (BOARDS / PROJECTS * CARDS, BOARDS / PROJECTS);
    format!(
        "SET session_replication_role = replica;
CREATE FUNCTION pg_temp.bench_id(kind integer, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN
    (lpad(to_hex({EPOCH} + n), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8000' || lpad(to_hex(n), 12, '0'))::uuid;
INSERT INTO domains (id, slug, name)
    SELECT pg_temp.bench_id(1, n), 'bench-' || n, 'Bench ' || n FROM generate_series(0, {domains} - 1) n;
INSERT INTO users (domain_id, id, email, name)
    SELECT pg_temp.bench_id(1, n % {domains}), pg_temp.bench_id(2, n), 'user-' || n / {domains} || '@bench-' || n % {domains} || '.test',
           'User ' || n / {domains}
      FROM generate_series(0, {users} - 1) n;
INSERT INTO user_roles (domain_id, id, user_id, role_domain_id, role_id)
    SELECT pg_temp.bench_id(1, n), pg_temp.bench_id(8, n), pg_temp.bench_id(2, n), '{platform}', '{admin}'
      FROM generate_series(0, {domains} - 1) n;
INSERT INTO sessions (domain_id, id, user_id, token_hash, created_at, last_used_at, idle_seconds, expires_at)
    SELECT pg_temp.bench_id(1, n / {SESSIONS}), pg_temp.bench_id(9, n), pg_temp.bench_id(2, n / {SESSIONS}), sha256(n::text::bytea),
           '2026-01-01', '2026-01-01', 86400, '2026-01-31'
      FROM generate_series(0, {sessions} - 1) n;
INSERT INTO api_keys (domain_id, id, user_id, name, secret_hash, last_four)
    SELECT pg_temp.bench_id(1, n), pg_temp.bench_id(10, n), pg_temp.bench_id(2, n), 'of old', '$2a$06$no hash at all', '0000'
      FROM generate_series(0, {domains} - 1) n;
INSERT INTO organizations (domain_id, id, slug, name)
    SELECT pg_temp.bench_id(1, n), pg_temp.bench_id(3, n), 'main', 'Main' FROM generate_series(0, {domains} - 1) n;
INSERT INTO projects (domain_id, id, organization_id, key, name, last_number)
    SELECT pg_temp.bench_id(1, n / {PROJECTS}), pg_temp.bench_id(4, n), pg_temp.bench_id(3, n / {PROJECTS}),
           'OPS' || n % {PROJECTS}, 'Project ' || n, {per_project}
      FROM generate_series(0, {projects} - 1) n;
INSERT INTO boards (domain_id, id, project_id, name)
    SELECT pg_temp.bench_id(1, n / {BOARDS}), pg_temp.bench_id(5, n), pg_temp.bench_id(4, n / {project_boards}), 'Board ' || n
      FROM generate_series(0, {boards} - 1) n;
INSERT INTO board_columns (domain_id, id, project_id, board_id, name, rank)
    SELECT pg_temp.bench_id(1, n / {COLUMNS} / {BOARDS}), pg_temp.bench_id(6, n),
           pg_temp.bench_id(4, n / {COLUMNS} / {project_boards}), pg_temp.bench_id(5, n / {COLUMNS}),
           'Column ' || n % {COLUMNS}, 'a' || n % {COLUMNS}
      FROM generate_series(0, {columns} - 1) n;
INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title, description, assignee_id, created_by)
    SELECT pg_temp.bench_id(1, n / {CARDS} / {BOARDS}), pg_temp.bench_id(7, n),
           pg_temp.bench_id(4, n / {CARDS} / {project_boards}), pg_temp.bench_id(5, n / {CARDS}),
           pg_temp.bench_id(6, n / {CARDS} * {COLUMNS} + n % {COLUMNS}), n % {per_project} + 1,
           'a' || n % {CARDS} / {COLUMNS}, 'Card ' || n || ': find out why it is slow',
           'It was seen again on ' || md5(n::text) || ', twice in one week. Compare with what was measured before, '
               || 'write down what is different, and ask who changed it.',
           CASE WHEN n % 3 = 0 THEN pg_temp.bench_id(2, n / {CARDS} / {BOARDS}) END,
           pg_temp.bench_id(2, n / {CARDS} / {BOARDS})
      FROM generate_series(0, {cards} - 1) n;
SET session_replication_role = DEFAULT;"
    )
}

/// Rows that refer to one another, and those whose reference leads nowhere: both counts in one row.
pub(crate) const CHECK_SQL: &str = "SELECT count(*), count(*) FILTER (WHERE c.id IS NULL OR u.id IS NULL)
    FROM (SELECT * FROM cards WHERE number % 10 = 1) k
    LEFT JOIN board_columns c ON (c.domain_id, c.id, c.board_id, c.project_id) = (k.domain_id, k.column_id, k.board_id, k.project_id)
    LEFT JOIN users u ON (u.domain_id, u.id) = (k.domain_id, k.created_by)";
