//! `migrate generate`: from the desired schema to files that were proved, or to an error and no files.

use std::path::{Path, PathBuf};

use test_support::{Ran, TestDatabase};

use crate::support::{Ops, wait_until};

pub const NOTES: &str = "
    CREATE TABLE notes (
        domain_id uuid NOT NULL, id uuid NOT NULL, title text NOT NULL CHECK (char_length(title) BETWEEN 3 AND 20), state text,
        PRIMARY KEY (domain_id, id));
    COMMENT ON TABLE notes IS 'Notes.';
    COMMENT ON COLUMN notes.domain_id IS 'Domain.'; COMMENT ON COLUMN notes.id IS 'Id.';
    COMMENT ON COLUMN notes.title IS 'Title.'; COMMENT ON COLUMN notes.state IS 'State.';";

pub struct Folder {
    pub ops: Ops,
    database: TestDatabase,
    /// Of this test alone, so that its scratch databases can be told from those of others; not a superuser.
    login: String,
}

impl Folder {
    /// A migration that makes `notes`, and the schema that is wanted.
    pub async fn wanting(schema: &str) -> Self {
        let database = TestDatabase::empty().await;
        let login = format!("generates_{}", database.name());
        database
            .superuser()
            .await
            .batch_execute(&format!("CREATE ROLE {login} LOGIN CREATEDB"))
            .await
            .unwrap();
        let ops = Ops::new().with("DATABASE_URL", &database.url(&login));
        let folder = Self { ops, database, login };
        let first = folder.path("migrations").join("2026-01-01-000001_notes");
        std::fs::create_dir_all(&first).unwrap();
        std::fs::write(first.join("up.sql"), NOTES).unwrap();
        std::fs::write(first.join("down.sql"), "DROP TABLE notes;").unwrap();
        std::fs::create_dir_all(folder.path("schema")).unwrap();
        folder.want(schema);
        folder
    }

    fn want(&self, schema: &str) {
        std::fs::write(self.path("schema").join("10_notes.sql"), schema).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.ops.directory.path().join(name)
    }

    #[track_caller]
    fn generate(&self, code: i32, arguments: &[&str]) -> Ran {
        let mut all = vec!["migrate", "generate", "--name", "change_notes"];
        all.extend(arguments);
        self.ops.expect(code, &all)
    }

    /// A second migration, and what it makes is what is wanted.
    fn have(&self, sql: &str) {
        let second = self.path("migrations").join("2026-01-01-000002_more");
        std::fs::create_dir_all(&second).unwrap();
        std::fs::write(second.join("up.sql"), sql).unwrap();
        std::fs::write(second.join("down.sql"), "SELECT 1;").unwrap();
    }

    /// Directories of migrations after those that were written by hand, in order.
    fn generated(&self) -> Vec<PathBuf> {
        let mut all: Vec<_> = std::fs::read_dir(self.path("migrations"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                !path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("2026-01-01-00000")
            })
            .collect();
        all.sort();
        all
    }

    /// All that was generated, and takes it away again.
    fn taken(&self) -> String {
        let mut all = String::new();
        for directory in self.generated() {
            all.push_str(&read(&directory, "up.sql"));
            std::fs::remove_dir_all(directory).unwrap();
        }
        all
    }

    /// No database was left behind, and nothing was done to the configured one.
    pub async fn is_tidy(&self) {
        let client = self.database.superuser().await;
        let sql = format!(
            "SELECT to_regclass('notes') IS NULL AND NOT EXISTS (SELECT FROM pg_database WHERE datdba = '{}'::regrole)",
            self.login
        );
        assert!(client.query_one(&sql, &[]).await.unwrap().get::<_, bool>(0));
    }
}

fn read(directory: &Path, file: &str) -> String {
    std::fs::read_to_string(directory.join(file)).unwrap()
}

#[tokio::test]
async fn an_index_is_a_migration_of_its_own_and_all_pass_what_every_migration_has_to() {
    let wanted = format!(
        "{} CREATE INDEX notes_state_idx ON notes (domain_id, state);",
        NOTES.replace("state text,", "state text, color text,")
    );
    let folder = Folder::wanting(&format!("{wanted} COMMENT ON COLUMN notes.color IS 'Colour.';")).await;
    let ran = folder.generate(0, &["--schema-rs", "schema.rs"]);
    assert!(ran.stdout.contains("5 rows in 1 table"), "{}", ran.stdout);
    let generated = folder.generated();
    assert!(generated.len() > 1, "{generated:?}");
    let names: Vec<_> = generated
        .iter()
        .map(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .split_once('_')
                .unwrap()
        })
        .collect();
    for (at, (version, name)) in names.iter().enumerate() {
        assert_eq!(*name, format!("change_notes_{}", at + 1));
        assert!(version.len() == 17 && *version > "2026-01-01-000001", "{version}");
    }
    let apart = generated
        .iter()
        .find(|path| read(path, "up.sql").contains("CREATE INDEX CONCURRENTLY"))
        .unwrap();
    assert_eq!(read(apart, "metadata.toml"), "run_in_transaction = false\n");
    assert!(read(apart, "down.sql").contains("DROP INDEX CONCURRENTLY"));
    let tables = std::fs::read_to_string(folder.path("schema.rs")).unwrap();
    assert!(
        tables.contains("/// Colour.\n        color -> Nullable<Text>,"),
        "{tables}"
    );

    let verified = folder.ops.expect(0, &["migrate", "verify", "--all"]);
    assert!(!verified.stdout.contains("bad"), "{}", verified.stdout);
    // Nothing is left to do, and nothing is written for it.
    let ran = folder.ops.expect(0, &["migrate", "generate", "--name", "again"]);
    assert!(ran.stdout.contains("nothing to generate"), "{}", ran.stdout);
    assert_eq!(folder.generated().len(), generated.len());
    folder.is_tidy().await;
}

#[tokio::test]
async fn a_loss_is_refused_unless_it_is_allowed_and_then_marked() {
    let folder = Folder::wanting(
        &NOTES
            .replace(", state text", "")
            .replace("COMMENT ON COLUMN notes.state IS 'State.';", ""),
    )
    .await;
    let ran = folder.generate(1, &[]);
    assert!(ran.stderr.contains("column public.notes.state"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--allow-destructive"), "{}", ran.stderr);
    assert!(folder.generated().is_empty());
    let ran = folder.generate(0, &["--allow-destructive", "--json"]);
    let value = ran.json();
    let loses = value["migrations"][0]["loses"][0].as_str().unwrap();
    assert!(loses.contains("public.notes.state"), "{loses}");
    let generated = folder.generated();
    let up = read(&generated[0], "up.sql");
    assert!(up.contains(&format!("-- Loses {loses}.")), "{up}");
    // Verify knows that it was allowed.
    folder.ops.expect(0, &["migrate", "verify", "--all"]);
}

#[tokio::test]
async fn a_rename_is_one_when_it_is_said() {
    let folder = Folder::wanting(&NOTES.replace("state", "status")).await;
    folder.generate(1, &[]);
    folder.generate(0, &["--rename", "column:public.notes.state=status"]);
    let generated = folder.generated();
    assert_eq!(generated.len(), 1);
    let up = read(&generated[0], "up.sql");
    assert!(up.contains("RENAME COLUMN state TO status"), "{up}");
    assert!(!generated[0].join("metadata.toml").exists());
    folder.ops.expect(0, &["migrate", "verify", "--all"]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_written() {
    let folder = Folder::wanting(NOTES).await;
    for (arguments, said) in [
        (
            &["--name", "notes"][..],
            "there is a migration of that name already",
        ),
        (&["--name", "Odd"], "is no name"),
        (&["--name", "x", "--json"], "is no name"),
        (&["--name", "more", "--rename", "nonsense"], "is not a rename"),
        (
            &["--name", "more", "--rename", "column:public.notes.nothing=some"],
            "there is nothing of that name",
        ),
    ] {
        let all = [&["migrate", "generate"], arguments].concat();
        let ran = folder.ops.expect(64, &all);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    folder.want("CREATE TABLE notes (id nonsense);");
    let ran = folder.generate(1, &[]);
    assert!(
        ran.stderr
            .contains("10_notes.sql, line 1: type \"nonsense\" does not exist"),
        "{}",
        ran.stderr
    );
    // A NOT NULL that the rows there cannot have.
    folder.want(&NOTES.replace("state text,", "state text, color text NOT NULL,"));
    let ran = folder.generate(1, &[]);
    assert!(ran.stderr.contains("DEFAULT"), "{}", ran.stderr);
    assert!(folder.generated().is_empty());
    folder.is_tidy().await;
}

const FUSSY: &str =
    "CREATE FUNCTION fussy(t text) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN t = 'as nobody guesses';";

#[tokio::test]
async fn what_does_not_pass_the_proof_is_removed_again() {
    // The database before has no such function, so that no row can be made for it.
    let wanted = NOTES.replace("state text,", "state text CHECK (fussy(state)),");
    let folder = Folder::wanting(&format!("{FUSSY}{wanted}")).await;
    let ran = folder.generate(1, &[]);
    for said in ["is violated by some row", "were made up for this proof", "--keep"] {
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert!(folder.generated().is_empty());
    folder.generate(1, &["--keep"]);
    let up = folder.taken();
    assert!(up.contains("NOT proved"), "{up}");
    assert!(!up.contains("and proved"), "{up}");
}

#[tokio::test]
async fn without_a_schema_rs_that_was_asked_for_nothing_is_written() {
    let folder = Folder::wanting(&NOTES.replace("state text,", "state text, color text,")).await;
    let ran = folder.generate(1, &["--schema-rs", "schema.rs"]);
    assert!(
        ran.stderr.contains("comment on its column color"),
        "{}",
        ran.stderr
    );
    assert!(folder.generated().is_empty());
    assert!(!folder.path("schema.rs").exists());
    folder.generate(0, &[]);
    let up = folder.taken();
    assert!(
        up.starts_with("-- Generated from schema/ by make migrate-generate, and proved there and back."),
        "{up}"
    );
}

const MORE: &str = "
    CREATE DOMAIN word AS text CHECK (VALUE <> '');
    CREATE TYPE size AS ENUM ('small', 'large');
    CREATE TABLE shelves (id integer PRIMARY KEY);
    CREATE TABLE boxes (
        id integer PRIMARY KEY, label text, word word, size size, place text CHECK (place <> 'nowhere'), number integer DEFAULT 1,
        price numeric(12, 4), kind text, long integer GENERATED ALWAYS AS (id * 2) STORED, version integer NOT NULL DEFAULT 1);
    CREATE TABLE logs (id integer NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
    CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
";

/// What rows of the old schema would not be, had they not been made for the new one; and what looks like harm and is none.
#[tokio::test]
async fn the_rows_of_the_proof_fit_what_is_wanted() {
    let folder = Folder::wanting(NOTES).await;
    folder.have(MORE);
    let both = format!("{NOTES}{MORE}");
    for (old, new) in [
        ("label text,", "label text NOT NULL,"),
        ("number integer DEFAULT 1", "number integer NOT NULL DEFAULT 1"),
        ("place <> 'nowhere'", "place IN ('left', 'right')"),
        ("VALUE <> ''", "VALUE <> '' AND char_length(VALUE) < 5"),
        ("label text,", "label text UNIQUE,"),
        (
            "number integer DEFAULT 1,",
            "number integer DEFAULT 1 REFERENCES shelves (id),",
        ),
        ("kind text,", "kind text CHECK (char_length(kind) = id + 1),"),
        ("numeric(12, 4)", "numeric(14, 6)"),
        ("version integer", "version bigint"),
    ] {
        let wanted = both.replace(old, new);
        assert_ne!(wanted, both, "{old}");
        folder.want(&wanted);
        let ran = folder.generate(0, &[]);
        assert!(!ran.stdout.contains("LOSES"), "{new}: {}", ran.stdout);
        // It says by itself what it does on purpose.
        let generated = folder.generated();
        let mut lint = vec!["migrate", "lint", "--no-database"];
        lint.extend(generated.iter().map(|path| path.to_str().unwrap()));
        // A domain with a CHECK is what the schema asks for, and for people to defend.
        if !old.starts_with("VALUE") {
            folder.ops.expect(0, &lint);
        }
        assert!(!folder.taken().is_empty());
    }
    for (old, new) in [
        ("(id * 2)", "(id * 3)"),
        ("label text,", "label uuid,"),
        ("'small', 'large'", "'large'"),
        (
            "logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
            "logs_2026 (id integer NOT NULL, day date NOT NULL)",
        ),
    ] {
        let wanted = both.replace(old, new);
        assert_ne!(wanted, both, "{old}");
        folder.want(&wanted);
        folder.generate(0, &["--allow-destructive"]);
        assert!(!folder.taken().is_empty());
    }
    folder.is_tidy().await;
}

#[tokio::test]
async fn an_interrupt_leaves_nothing_behind() {
    let folder = Folder::wanting(&NOTES.replace("state text,", "state text, color text,")).await;
    let client = folder.database.superuser().await;
    // Long enough to be in the middle of it.
    folder.want(&format!(
        "{NOTES} CREATE INDEX notes_state_idx ON notes (domain_id, state); SELECT pg_sleep(60);"
    ));
    let child = folder
        .ops
        .spawn(&["migrate", "generate", "--name", "change_notes"]);
    let sleeping = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{}' AND query LIKE '%pg_sleep%')",
        folder.login
    );
    wait_until(&client, &sleeping).await;
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(folder.generated().is_empty());
    folder.is_tidy().await;
}

/// Copies a directory of directories of files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Plinth's own schema, and an owner whom FORCE holds: the rows of tenants are filled all the same.
#[tokio::test]
async fn a_backfill_of_tenants_rows() {
    let folder = Folder::wanting(NOTES).await;
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for name in ["schema", "migrations"] {
        std::fs::remove_dir_all(folder.path(name)).unwrap();
        copy(&root.join(name), &folder.path(name));
    }
    let client = folder.database.superuser().await;
    client
        .batch_execute(&format!("GRANT plinth_system TO {}", folder.login))
        .await
        .unwrap();
    let tags = std::fs::read_to_string(folder.path("schema").join("40_work.sql")).unwrap();
    let wanted = tags.replace(
        "    color text NOT NULL CHECK",
        "    public_id uuid NOT NULL DEFAULT gen_random_uuid(),\n    color text NOT NULL CHECK",
    );
    assert_ne!(tags, wanted);
    // And a column that could be NULL in a table where much hangs together.
    let cards = wanted.replace("    due_at timestamptz,", "    due_at timestamptz NOT NULL,");
    assert_ne!(cards, wanted);
    let wanted = cards;
    let comment = "COMMENT ON COLUMN tags.public_id IS 'Id shown to people.';";
    std::fs::write(
        folder.path("schema").join("40_work.sql"),
        format!("{wanted}{comment}\n"),
    )
    .unwrap();
    let ran = folder.generate(0, &["--json"]);
    let generated = ran.json();
    let backfill = generated["migrations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["transactional"] == false)
        .unwrap();
    let directory = folder
        .ops
        .directory
        .path()
        .join(backfill["directory"].as_str().unwrap());
    let up = read(&directory, "up.sql");
    assert!(
        up.contains(
            "    LOOP\n        SET LOCAL lock_timeout = '10s';\n        SET LOCAL ROLE plinth_system;\n        \
             SET LOCAL row_security = on;\n        UPDATE ONLY public.tags SET public_id = DEFAULT"
        ),
        "{up}"
    );
    folder.is_tidy().await;
}
