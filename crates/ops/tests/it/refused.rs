//! Directories of migrations that could not be run safely, each refused with a reason before anything is run.

use crate::folders::Folder;
use crate::support::Ops;

fn refused(folder: &Folder, wanted: &str) {
    let ran = folder.expect(
        &Ops::new().with("DATABASE_URL", "postgresql://plinth@127.0.0.1:1/plinth"),
        64,
        &["run"],
    );
    assert!(ran.stderr.contains(wanted), "wanted {wanted:?} in {}", ran.stderr);
}

#[test]
fn a_directory_that_is_not_there() {
    let ops = Ops::new();
    let ran = ops.expect(64, &["migrate", "show", "--migrations", "/nowhere/at/all"]);
    assert!(ran.stderr.contains("/nowhere/at/all"), "{}", ran.stderr);
}

#[test]
fn names_and_files() {
    refused(
        &Folder::new().with("one", "SELECT 1", "SELECT 1"),
        "is named <version>_<name>",
    );
    refused(
        &Folder::new().with("2026-01-01-000000_one", "SELECT 1", "").with(
            "20260101000000_two",
            "SELECT 1",
            "",
        ),
        "the same version",
    );
    let folder = Folder::new();
    folder.write("20260101000000_one", "up.sql", "SELECT 1");
    refused(&folder, "down.sql");
}

#[test]
fn metadata() {
    for (text, wanted) in [
        ("run_in_transactions = false\n", "unknown key run_in_transactions"),
        ("run_in_transaction = \"no\"\n", "is true or false"),
        ("run_in_transaction = \n", "metadata.toml"),
    ] {
        let folder = Folder::new().with("20260101000000_one", "SELECT 1", "SELECT 1");
        folder.write("20260101000000_one", "metadata.toml", text);
        refused(&folder, wanted);
    }
}

#[test]
fn statements_of_a_transaction() {
    for (sql, wanted) in [
        ("COMMIT", "COMMIT may not be in a migration"),
        (
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "run_in_transaction = false",
        ),
        (
            "DROP INDEX CONCURRENTLY IF EXISTS i",
            "run_in_transaction = false",
        ),
        ("VACUUM t", "VACUUM cannot run in a transaction"),
        ("SELECT 'a", "line 2: a string is opened"),
    ] {
        let sql = format!("SELECT 1;\n{sql};");
        refused(
            &Folder::new().with("20260101000000_one", &sql, "SELECT 1"),
            wanted,
        );
        refused(
            &Folder::new().with("20260101000000_one", "SELECT 1", &sql),
            "down.sql, line 2",
        );
    }
}

#[test]
fn statements_without_one() {
    for sql in [
        "BEGIN",
        "START TRANSACTION",
        "commit",
        "END",
        "ROLLBACK",
        "SAVEPOINT a",
        "PREPARE TRANSACTION 'a'",
    ] {
        refused(
            &Folder::new().with_stepwise("20260101000000_one", sql, ""),
            "may not be in a file with run_in_transaction = false",
        );
    }
    for (up, wanted) in [
        ("SET LOCAL lock_timeout = 0", "no effect without a transaction"),
        ("SET ROLE plinth_system", "the runner's own journal"),
        ("SET search_path = ''", "the runner's own journal"),
        ("RESET ALL", "the runner's own journal"),
        ("CREATE INDEX CONCURRENTLY ON t (a)", "needs a name"),
        ("DROP INDEX CONCURRENTLY i", "needs IF EXISTS"),
        ("REINDEX INDEX CONCURRENTLY i", "cannot be resumed"),
        (
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
            "cannot be resumed",
        ),
        ("CREATE DATABASE a", "nothing for a migration"),
    ] {
        refused(&Folder::new().with_stepwise("20260101000000_one", up, ""), wanted);
    }
    for (down, wanted) in [
        ("DROP TABLE t", "IF EXISTS"),
        ("CREATE TABLE t (a int)", "IF NOT EXISTS"),
        ("ALTER TABLE t DROP COLUMN a", "DROP needs IF EXISTS"),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD b int",
            "ADD needs IF NOT EXISTS",
        ),
        ("ALTER TABLE t RENAME a TO b", "RENAME"),
        ("INSERT INTO t VALUES (1)", "ON CONFLICT"),
    ] {
        refused(
            &Folder::new().with_stepwise("20260101000000_one", "SELECT 1", down),
            wanted,
        );
    }
}
