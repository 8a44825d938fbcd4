//! `migrate verify`: the repository's migrations pass, and bad ones are caught and named.

use std::path::Path;

use test_support::TestDatabase;

use crate::support::Ops;

/// A table with everything that may be forgotten, rows that may be lost, and a foreign key to find rows for.
const NOTES: &str = "
    CREATE TABLE owners (id uuid PRIMARY KEY, email text NOT NULL UNIQUE CHECK (email = lower(email) AND email ~ '^[a-z]+@[a-z]+$'));
    CREATE TABLE notes (
        domain_id uuid NOT NULL, id uuid NOT NULL, owner_id uuid NOT NULL REFERENCES owners (id),
        title text NOT NULL CHECK (char_length(title) BETWEEN 3 AND 20), state text NOT NULL CHECK (state IN ('open', 'closed')),
        hash bytea NOT NULL CHECK (octet_length(hash) = 32), number integer NOT NULL CHECK (number > 100),
        parent_id uuid, done_at timestamptz,
        PRIMARY KEY (domain_id, id), CHECK ((state = 'open') = (done_at IS NULL)),
        FOREIGN KEY (domain_id, parent_id) REFERENCES notes (domain_id, id));
    CREATE INDEX notes_title_idx ON notes (domain_id, title);
    ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
    ALTER TABLE notes FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON notes USING (domain_id::text = current_setting('a.domain', true));";

struct Folder {
    ops: Ops,
    database: TestDatabase,
}

impl Folder {
    /// The migration `notes`, and one after it.
    async fn with(up: &str, down: &str) -> Self {
        Self::behind(NOTES, "DROP TABLE notes; DROP TABLE owners;", up, down).await
    }

    /// Another first migration, and one after it.
    async fn behind(first: &str, undo: &str, up: &str, down: &str) -> Self {
        let database = TestDatabase::empty().await;
        let ops = Ops::on(&database);
        let folder = Self { ops, database };
        folder.write("2026-01-01-000001_notes", first, undo);
        folder.write("2026-01-02-000001_change", up, down);
        folder
    }

    fn write(&self, name: &str, up: &str, down: &str) {
        let directory = self.ops.directory.path().join("migrations").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("up.sql"), up).unwrap();
        std::fs::write(directory.join("down.sql"), down).unwrap();
    }

    /// The problems of the second migration; the first one has none.
    fn problems(&self) -> Vec<String> {
        let ran = self.ops.run(&["migrate", "verify", "--all", "--json"]);
        let value = ran.json();
        assert_eq!(value[0]["problems"], serde_json::json!([]), "{}", ran.stdout);
        let problems: Vec<String> = value[1]["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ran.code, Some(i32::from(!problems.is_empty())), "{}", ran.stderr);
        problems
    }
}

#[tokio::test]
async fn every_migration_of_the_repository_passes_with_rows_in_every_table() {
    let database = TestDatabase::empty().await;
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let arguments = ["migrate", "verify", "--all", "--json", "--migrations", migrations];
    let verified = Ops::on(&database).expect(0, &arguments).json();
    let verified = verified.as_array().unwrap();
    assert_eq!(
        verified.len(),
        Path::new(migrations)
            .read_dir()
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    );
    for one in verified {
        assert_eq!(one["seeded"]["empty"], serde_json::json!([]), "{one}");
    }
    // Before the last one there was something to harm.
    assert!(verified.last().unwrap()["seeded"]["rows"].as_u64().unwrap() > 80);
}

#[tokio::test]
async fn a_good_one_passes_and_says_which_locks_it_takes() {
    let folder = Folder::with(
        "-- verify: changes owners because all addresses move
         ALTER TABLE notes ADD COLUMN color text;
         UPDATE owners SET email = email || 'x';",
        "-- verify: changes owners because all addresses move back
         UPDATE owners SET email = left(email, -1); ALTER TABLE notes DROP COLUMN color;",
    )
    .await;
    let ran = folder
        .ops
        .expect(0, &["migrate", "verify", "2026-01-02-000001", "--rows", "7"]);
    assert!(
        ran.stdout
            .starts_with("good 20260102000001_change: up, down, up with 14 rows in 2 tables"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("up.sql:2 ACCESS EXCLUSIVE on public.notes\n"),
        "{}",
        ran.stdout
    );
    assert!(folder.problems().is_empty());
    // Nothing of it is left on the server, and nothing was done to the database itself.
    let client = folder.database.superuser().await;
    let sql = "SELECT to_regclass('notes') IS NULL";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn a_down_that_forgets_an_index() {
    let folder = Folder::with(
        "CREATE INDEX notes_number_idx ON notes (domain_id, number);",
        "SELECT 1;",
    )
    .await;
    let problems = folder.problems();
    assert!(
        problems[0].starts_with("down.sql does not take back")
            && problems[0].contains("- index public.notes_number_idx on public.notes"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("up.sql, the second time:"),
        "{problems:?}"
    );
    let ran = folder.ops.expect(1, &["migrate", "verify", "--all"]);
    assert!(ran.stderr.contains("1 migration did not pass"), "{}", ran.stderr);
    assert!(ran.stdout.contains("bad 20260102000001_change"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_down_that_forgets_a_policy() {
    let folder = Folder::with(
        "DROP POLICY tenant ON notes;
         CREATE POLICY tenant ON notes USING (domain_id = nullif(current_setting('a.domain', true), '')::uuid);",
        "DROP POLICY tenant ON notes;",
    )
    .await;
    let problems = folder.problems();
    assert!(
        problems[0].contains("+ policy tenant on public.notes"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_up_that_loses_rows() {
    let folder = Folder::with("DELETE FROM notes WHERE state = 'closed';", "SELECT 1;").await;
    let problems = folder.problems();
    assert!(
        problems[0].starts_with("after up.sql: table public.notes had 5 rows, and has"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_up_that_loses_a_column_that_down_makes_anew() {
    let folder = Folder::with(
        "ALTER TABLE notes DROP COLUMN done_at CASCADE;",
        "ALTER TABLE notes ADD COLUMN done_at timestamptz;
         ALTER TABLE notes ADD CHECK ((state = 'open') = (done_at IS NULL)) NOT VALID;",
    )
    .await;
    let problems = folder.problems();
    assert!(
        problems.contains(&"after down.sql: table public.notes: the values of done_at are others".to_owned()),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_up_that_mixes_values() {
    let folder = Folder::with(
        "UPDATE notes n SET title = (SELECT m.title FROM notes m WHERE m.id > n.id OR m.id <> ALL (SELECT id FROM notes WHERE id > n.id)
                                      ORDER BY m.id > n.id DESC, m.id LIMIT 1);",
        "SELECT 1;",
    )
    .await;
    assert_eq!(
        folder.problems()[0],
        "after up.sql: table public.notes: values have moved from one row to another"
    );
}

#[tokio::test]
async fn one_that_rows_refuse() {
    let folder = Folder::with(
        "ALTER TABLE notes ADD COLUMN color text NOT NULL;",
        "ALTER TABLE notes DROP COLUMN color;",
    )
    .await;
    let problems = folder.problems();
    assert!(
        problems[0].starts_with("up.sql:") && problems[0].contains("contains null values"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_owner_whom_policies_hold() {
    let folder = Folder::with(
        "DELETE FROM owners o WHERE NOT EXISTS (SELECT FROM notes n WHERE n.owner_id = o.id);",
        "SELECT 1;",
    )
    .await;
    let client = folder.database.superuser().await;
    let name = format!("plain_{}", folder.database.name());
    client
        .batch_execute(&format!("CREATE ROLE {name} LOGIN CREATEDB"))
        .await
        .unwrap();
    let ops = Ops::new().with("DATABASE_URL", &folder.database.url(&name));
    let migrations = folder.ops.directory.path().join("migrations");
    let arguments = [
        "migrate",
        "verify",
        "--all",
        "--json",
        "--migrations",
        migrations.to_str().unwrap(),
    ];
    let ran = ops.run(&arguments);
    client
        .batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}"))
        .await
        .unwrap();
    // Its rows were made and read, although FORCE hides them from it. (The migration itself fails: row_security is off.)
    let value = ran.json();
    assert_eq!(
        value[1]["seeded"]["empty"],
        serde_json::json!([]),
        "{}",
        ran.stderr
    );
    assert_eq!(value[1]["seeded"]["rows"], 10);
    assert!(
        value[1]["problems"][0]
            .as_str()
            .unwrap()
            .contains("row-level security"),
        "{value}"
    );
}

#[tokio::test]
async fn a_table_that_stays_empty_is_named() {
    let folder = Folder::with(
        "CREATE TABLE odd (id integer CHECK (id * id = 1234321 AND id > 5) NOT NULL);",
        "DROP TABLE odd;",
    )
    .await;
    folder.write("2026-01-03-000001_more", "SELECT 1;", "SELECT 1;");
    let ran = folder.ops.expect(0, &["migrate", "verify", "20260103000001"]);
    assert!(
        ran.stdout.contains("no rows in public.odd: no values were found"),
        "{}",
        ran.stdout
    );
    let ran = folder.ops.expect(64, &["migrate", "verify", "2027"]);
    assert!(
        ran.stderr.contains("there is no migration of that version"),
        "{}",
        ran.stderr
    );
}

/// A table without checks, with a column of each type that is easily cut.
const LOOSE: &str = "
    CREATE TABLE loose (
        id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, kind text NOT NULL CHECK (kind IN ('a', 'b')), name text NOT NULL,
        short varchar(20) NOT NULL, n numeric NOT NULL, d double precision NOT NULL, at timestamptz NOT NULL,
        day date NOT NULL, j jsonb NOT NULL);
    CREATE SEQUENCE numbers;
    SELECT setval('numbers', 42);";

const BACK: &str = "SELECT 1;";

/// What harms rows on the way there, with the column that shows it.
const HARMFUL: &[(&str, &str)] = &[
    ("UPDATE loose SET name = left(name, 12);", "name"),
    ("UPDATE loose SET name = lower(name);", "name"),
    ("UPDATE loose SET name = trim(name);", "name"),
    (
        "UPDATE loose SET name = convert_from(convert_to(name, 'UTF8'), 'LATIN1');",
        "name",
    ),
    ("UPDATE loose SET n = round(n);", "n"),
    ("UPDATE loose SET at = date_trunc('second', at);", "at"),
    (
        "ALTER TABLE loose ALTER COLUMN at TYPE timestamptz(0);",
        "of at are",
    ),
    ("ALTER TABLE loose ALTER COLUMN d TYPE real;", "of d are"),
    ("UPDATE loose SET j = j - 'token_of_2020';", "j"),
    (
        "DO $$ BEGIN UPDATE loose SET j = j - 'token_of_2021'; END $$;",
        "j",
    ),
    ("DELETE FROM loose WHERE at < '2025-01-01';", "had 5 rows"),
    ("DELETE FROM loose WHERE day < '1990-01-01';", "had 5 rows"),
    (
        "SELECT setval('numbers', 1);",
        "sequence public.numbers was at 42, and is at 1",
    ),
    (
        "SELECT setval('loose_id_seq', 1);",
        "sequence public.loose_id_seq",
    ),
];

#[tokio::test]
async fn values_at_the_edges_show_what_is_cut_or_rounded() {
    for (up, shown) in HARMFUL {
        let folder = Folder::behind(LOOSE, "DROP TABLE loose; DROP SEQUENCE numbers;", up, BACK).await;
        let problems = folder.problems();
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with("after up.sql") && problem.contains(shown)),
            "{up}: {problems:?}"
        );
    }
}

#[tokio::test]
async fn a_way_back_that_loses_what_came_after() {
    let wider = "ALTER TABLE loose DROP CONSTRAINT loose_kind_check, ADD CHECK (kind IN ('a', 'b', 'c'));";
    let narrower = "ALTER TABLE loose DROP CONSTRAINT loose_kind_check, ADD CHECK (kind IN ('a', 'b'));";
    let longer = "ALTER TABLE loose ALTER COLUMN short TYPE text;";
    let undo = "DROP TABLE loose; DROP SEQUENCE numbers;";
    for (up, down) in [
        (
            wider,
            format!("DELETE FROM loose WHERE kind NOT IN ('a', 'b'); {narrower}"),
        ),
        (
            longer,
            "ALTER TABLE loose ALTER COLUMN short TYPE varchar(20) USING left(short, 20);".to_owned(),
        ),
    ] {
        let folder = Folder::behind(LOOSE, undo, up, &down).await;
        let problems = folder.problems();
        assert!(
            problems.len() == 1
                && problems[0]
                    .starts_with("down.sql loses what was written after up.sql: table public.loose"),
            "{down}: {problems:?}"
        );
        // The reason must stand in down.sql.
        let excuse = "-- verify: changes loose because the old schema has no room for it";
        let folder = Folder::behind(LOOSE, undo, up, &format!("{excuse}\n{down}")).await;
        assert!(folder.problems().is_empty(), "{:?}", folder.problems());
    }
    // One that refuses loses nothing: it is said, and is no fault.
    let folder = Folder::behind(LOOSE, undo, wider, narrower).await;
    let ran = folder.ops.expect(0, &["migrate", "verify", "--all"]);
    assert!(
        ran.stdout
            .contains("note: down.sql is refused when there are rows that only the new schema allows"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn an_excuse_that_excuses_nothing() {
    for excuse in [
        "-- verify: changes nots because the name is mistyped",
        "-- verify: changes other.notes because it is another schema",
        "-- verify: changes owners because nothing changes in it",
    ] {
        let up = format!("{excuse}\nALTER TABLE notes ADD COLUMN color text;");
        let folder = Folder::with(&up, "ALTER TABLE notes DROP COLUMN color;").await;
        let problems = folder.problems();
        assert!(
            problems.len() == 1 && problems[0].starts_with("up.sql: `-- verify: changes "),
            "{problems:?}"
        );
    }
    // No reason, no excuse.
    let folder = Folder::with(
        "-- verify: changes notes because because\nDELETE FROM notes WHERE state = 'closed';",
        BACK,
    )
    .await;
    assert!(folder.problems()[0].starts_with("after up.sql"));
}
