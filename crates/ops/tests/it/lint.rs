//! `migrate lint`: which migrations are looked at, and what comes out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use test_support::TestDatabase;

use crate::support::{Ops, wait_until};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// A directory with copies of our migrations, and more behind them.
pub struct Project(TempDir);

impl Project {
    pub fn new() -> Self {
        let project = Self::empty();
        for entry in fs::read_dir(repository()).unwrap() {
            let from = entry.unwrap().path();
            for file in fs::read_dir(&from).unwrap() {
                let file = file.unwrap().path();
                let text = fs::read_to_string(&file).unwrap();
                project.write(
                    from.file_name().unwrap().to_str().unwrap(),
                    file.file_name().unwrap().to_str().unwrap(),
                    &text,
                );
            }
        }
        project
    }

    pub fn write(&self, migration: &str, file: &str, text: &str) {
        let directory = self.0.path().join("migrations").join(migration);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(file), text).unwrap();
    }

    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A migration behind ours. `down.sql` undoes nothing: nobody runs it.
    pub fn add(&self, name: &str, up: &str) {
        let directory = Self::directory(name);
        self.write(&directory, "up.sql", up);
        self.write(&directory, "down.sql", "SELECT 1;\n");
    }

    /// The number that a name begins with makes its version.
    fn directory(name: &str) -> String {
        let number: u32 = name.split_once('_').unwrap().0.parse().unwrap();
        format!("2099-01-01-{number:06}_{name}")
    }

    pub fn path(&self, path: &str) -> String {
        self.0.path().join(path).to_str().unwrap().to_owned()
    }

    /// Findings in what was added, as JSON.
    pub fn lint_added(&self, ops: &Ops, code: i32) -> Value {
        let mut added: Vec<_> = fs::read_dir(self.0.path().join("migrations"))
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .filter(|path| path.contains("/2099-"))
            .collect();
        added.sort();
        let added: Vec<_> = added.iter().map(String::as_str).collect();
        self.lint(ops, code, &added)
    }

    /// Findings as JSON.
    pub fn lint(&self, ops: &Ops, code: i32, arguments: &[&str]) -> Value {
        let migrations = self.path("migrations");
        let mut all = vec!["migrate", "lint", "--migrations", &migrations, "--format", "json"];
        all.extend(arguments);
        ops.expect(code, &all).json()
    }
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).unwrap().as_str().unwrap()
}

/// Rule and line of each finding in files whose path has this in it.
fn found(report: &Value, file: &str) -> Vec<(String, u64)> {
    report
        .get("findings")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| text(finding, "file").contains(file) && finding.get("allowed").is_none())
        .map(|finding| {
            let line = finding.pointer("/start/line").unwrap().as_u64().unwrap();
            (text(finding, "rule").to_owned(), line)
        })
        .collect()
}

#[tokio::test]
async fn every_migration_of_the_repository_is_clean() {
    let database = TestDatabase::empty().await;
    let migrations = repository();
    let ran = Ops::on(&database).run(&[
        "migrate",
        "lint",
        "--all",
        "--migrations",
        migrations.to_str().unwrap(),
        "--format",
        "json",
    ]);
    let report = ran.json();
    assert_eq!(ran.code, Some(0), "{report:#}");
    assert_eq!(report.get("count").unwrap(), 0);
    // All of them, and with a catalogue: else it is clean because nobody looked.
    assert_eq!(report.get("catalogue_skipped").unwrap(), &Value::Null);
    let directories = fs::read_dir(&migrations).unwrap().count();
    let files = report.get("files").unwrap().as_array().unwrap();
    assert!(files.len() >= 12 && files.len() == 2 * directories, "{files:?}");
    let client = database.superuser().await;
    wait_until(
        &client,
        "SELECT count(*) = 0 FROM pg_database WHERE datname LIKE 'plinth\\_lint\\_%'",
    )
    .await;
}

const GOOD: &str = "
CREATE TABLE notes (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    id uuid NOT NULL,
    card_id uuid NOT NULL,
    text text NOT NULL CHECK (char_length(text) BETWEEN 1 AND 200),
    PRIMARY KEY (domain_id, id),
    FOREIGN KEY (domain_id, card_id) REFERENCES cards (domain_id, id)
);
COMMENT ON TABLE notes IS 'A note on a card.';
COMMENT ON COLUMN notes.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN notes.id IS 'UUIDv7.';
COMMENT ON COLUMN notes.card_id IS 'Card that the note is on.';
COMMENT ON COLUMN notes.text IS 'What it says.';
CREATE INDEX notes_card_idx ON notes (domain_id, card_id, id);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notes TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON notes TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT (domain_id, id, card_id, text), INSERT (domain_id, id, card_id, text) ON notes TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO plinth_system;
ALTER TABLE cards ADD COLUMN size integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN cards.size IS 'How much work it is.';
ALTER TABLE cards ADD CONSTRAINT cards_size CHECK (size >= 0) NOT VALID;
";

#[tokio::test]
async fn a_good_migration_is_clean() {
    let database = TestDatabase::empty().await;
    let project = Project::new();
    project.add("1_notes", GOOD);
    project.add("2_size", "CREATE INDEX CONCURRENTLY cards_size_idx ON cards (domain_id, size);\nALTER TABLE cards VALIDATE CONSTRAINT cards_size;\n");
    project.write(
        "2099-01-01-000002_2_size",
        "metadata.toml",
        "run_in_transaction = false\n",
    );
    let report = project.lint_added(&Ops::on(&database), 0);
    assert_eq!(found(&report, ""), []);
}

#[tokio::test]
async fn a_later_migration_may_mend_and_a_comment_may_allow() {
    let database = TestDatabase::empty().await;
    let project = Project::new();
    project.add("1_column", "ALTER TABLE cards ADD COLUMN size integer;\n");
    project.add(
        "2_comment",
        "COMMENT ON COLUMN cards.size IS 'How much work it is.';\n",
    );
    project.add(
        "3_allowed",
        "-- lint: allow(missing-comment) because it is a test\nALTER TABLE cards ADD COLUMN colour text;\n",
    );
    let report = project.lint_added(&Ops::on(&database), 0);
    let allowed: Vec<_> = report
        .pointer("/findings")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|finding| finding.get("allowed"))
        .collect();
    assert_eq!(allowed, ["it is a test"]);
    // The same when this one alone is looked at: the others are applied all the same.
    let third = project.path("migrations/2099-01-01-000003_3_allowed");
    let report = project.lint(&Ops::on(&database), 0, &[&third]);
    assert_eq!(report.get("files").unwrap().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_migration_that_postgresql_refuses_is_named_with_the_place() {
    let database = TestDatabase::empty().await;
    let project = Project::new();
    project.add(
        "1_wrong",
        "SELECT 1;\n-- ä\nCREATE TABLE a (x text,\n  y txet);\n",
    );
    project.add("2_behind", "ALTER TABLE cards DISABLE ROW LEVEL SECURITY;\n");
    let report = project.lint_added(&Ops::on(&database), 1);
    assert_eq!(found(&report, ""), [("does-not-apply".to_owned(), 4)]);
    let column = report.pointer("/findings/0/start/column").unwrap();
    assert_eq!(column, 5, "{report:#}");
    assert!(text(&report, "catalogue_skipped").contains("1_wrong does not apply"));
    // Outside of a transaction it is the one statement.
    let project = Project::new();
    project.add("1_wrong", "VACUUM cards;\n\nSELECT nonsense;\n");
    project.write(
        "2099-01-01-000001_1_wrong",
        "metadata.toml",
        "run_in_transaction = false\n",
    );
    let report = project.lint_added(&Ops::on(&database), 1);
    assert_eq!(found(&report, ""), [("does-not-apply".to_owned(), 3)]);
}

#[test]
fn without_a_database_it_says_so() {
    let project = Project::empty();
    project.add("1_bad", "DROP TABLE cards;\n");
    let ops = Ops::new().with("PLINTH_DATABASE_LOCAL", "never");
    let migrations = project.path("migrations");
    let ran = ops.expect(
        1,
        &[
            "migrate",
            "lint",
            "--all",
            "--no-database",
            "--migrations",
            &migrations,
        ],
    );
    let place = format!("{migrations}/2099-01-01-000001_1_bad/up.sql:1:1: error: ");
    assert!(ran.stdout.starts_with(&place), "{}", ran.stdout);
    assert!(ran.stdout.contains("[ban-drop-table]\n  why: "), "{}", ran.stdout);
    assert!(
        ran.stdout
            .ends_with("the rules of the catalogue were not asked: --no-database\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("1 finding in the migrations"),
        "{}",
        ran.stderr
    );
    // It is the one thing that needs a database.
    ops.expect(7, &["migrate", "lint", "--all", "--migrations", &migrations]);
}

#[test]
fn sarif_goes_to_a_file() {
    let project = Project::empty();
    project.add("1_bad", "DROP TABLE cards;\n");
    let file = project.path("lint.sarif");
    let path = project.path("migrations/2099-01-01-000001_1_bad/up.sql");
    let arguments = [
        "migrate",
        "lint",
        "--no-database",
        "--format",
        "sarif",
        "--output",
        &file,
        &path,
    ];
    let ran = Ops::new().expect(1, &arguments);
    assert_eq!(ran.stdout, "");
    let log: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(log.get("version").unwrap(), "2.1.0");
    assert_eq!(log.pointer("/runs/0/results/0/ruleId").unwrap(), "ban-drop-table");
    // The rules of the catalogue are described too.
    let rules = log
        .pointer("/runs/0/tool/driver/rules")
        .unwrap()
        .as_array()
        .unwrap();
    assert!(
        rules
            .iter()
            .any(|rule| rule.get("id").unwrap() == "rls-not-forced")
    );
}

#[test]
fn what_the_runner_refuses_is_said() {
    let project = Project::empty();
    project.add("1_one", "SELECT 1;\n");
    project.write("2099-01-01-000001_two", "up.sql", "SELECT 2;\n");
    project.write("2099-01-01-000001_two", "down.sql", "SELECT 2;\n");
    let ops = Ops::new();
    let report = project.lint(&ops, 1, &["--no-database", "--all"]);
    assert_eq!(found(&report, ""), [("refused-by-runner".to_owned(), 1)]);
    let message = text(&report.get("findings").unwrap()[0], "message");
    assert!(
        message.contains("another migration has the same version"),
        "{message}"
    );
    // Named by its path, it is said of one of the two at least.
    let migrations = project.path("migrations");
    let report = project.lint(&ops, 1, &["--no-database", &migrations]);
    assert_eq!(found(&report, "").len(), 1);

    let project = Project::empty();
    project.add("1_one", "SELECT 1;\n\nSAVEPOINT x;\n");
    let one = project.path("migrations/2099-01-01-000001_1_one");
    let report = project.lint(&ops, 1, &["--no-database", &one]);
    assert!(
        found(&report, "").contains(&("refused-by-runner".to_owned(), 3)),
        "{report:#}"
    );
}

fn git(directory: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@localhost",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn by_default_the_new_migrations_are_looked_at() {
    let project = Project::empty();
    project.add("0_ours", "SELECT 1;\n");
    let directory = project.0.path();
    let ops = Ops::new();
    let lint = |code, more: &[&str]| {
        let mut arguments = vec!["--no-database"];
        arguments.extend(more);
        project.lint(&ops, code, &arguments)
    };
    let files = |report: &Value| report.get("files").unwrap().as_array().unwrap().len();

    let migrations = project.path("migrations");
    ops.expect(
        64,
        &["migrate", "lint", "--no-database", "--migrations", &migrations],
    );
    git(directory, &["init", "--quiet"]);
    let all = files(&lint(0, &[]));
    git(directory, &["add", "."]);
    git(directory, &["commit", "--quiet", "--message", "ours"]);
    assert_eq!(files(&lint(0, &[])), 0);
    project.add("1_bad", "DROP TABLE cards;\n");
    let report = lint(1, &[]);
    assert_eq!((files(&report), found(&report, "1_bad").len()), (2, 1));
    git(directory, &["add", "."]);
    git(directory, &["commit", "--quiet", "--message", "new"]);
    assert_eq!(files(&lint(0, &[])), 0);
    assert_eq!(files(&lint(1, &["--base", "HEAD~1"])), 2);
    assert_eq!(files(&lint(1, &["--all"])), all + 2);
    ops.expect(
        64,
        &[
            "migrate",
            "lint",
            "--no-database",
            "--migrations",
            &migrations,
            "--base",
            "nowhere",
        ],
    );
}

#[test]
fn what_is_no_migration_is_refused() {
    let ops = Ops::new();
    ops.expect(64, &["migrate", "lint", "--no-database", "no-such-file.sql"]);
    ops.expect(64, &["migrate", "lint", "--no-database", "."]);
    ops.expect(64, &["migrate", "lint", "--all", "some.sql"]);
}
