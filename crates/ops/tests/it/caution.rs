//! What takes back more than one migration asks before; and a way back that was mended since is named.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use nix::pty::openpty;
use test_support::{Ran, TestDatabase};
use tokio_postgres::Client;

use crate::folders::Folder;
use crate::support::Ops;

const FIRST: &str = "2026-01-01-000001_first";
const SECOND: &str = "2026-01-01-000002_second";

struct Place {
    database: TestDatabase,
    client: Client,
    ops: Ops,
    folder: Folder,
}

impl Place {
    /// With two migrations applied.
    async fn new() -> Self {
        let database = TestDatabase::empty().await;
        let (ops, client) = (Ops::on(&database), database.superuser().await);
        let folder = Folder::new()
            .with(FIRST, "CREATE TABLE t ();", "DROP TABLE t;")
            .with(SECOND, "CREATE TABLE u ();", "DROP TABLE u;");
        folder.expect(&ops, 0, &["run"]);
        Self {
            database,
            client,
            ops,
            folder,
        }
    }

    async fn tables(&self) -> i64 {
        let sql = "SELECT count(to_regclass('t')) + count(to_regclass('u'))";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Runs it on a terminal, and types a line when it asks. Its exit code, and all that the terminal showed.
    fn on_a_terminal(&self, arguments: &[&str], typed: &str) -> (Option<i32>, String) {
        let terminal = openpty(None, None).unwrap();
        let mut command = self.ops.command(&self.folder.arguments(arguments));
        command
            .stdin(Stdio::from(terminal.slave.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(Stdio::from(terminal.slave));
        let mut child = command.spawn().unwrap();
        // The command holds the other end too, for further runs.
        drop(command);
        let mut terminal = File::from(terminal.master);
        let (mut shown, mut asked) = (String::new(), false);
        let mut some = [0; 1024];
        // Linux says EIO when the last one at the other end is gone.
        while let Ok(count @ 1..) = terminal.read(&mut some) {
            shown.push_str(&String::from_utf8_lossy(&some[..count]));
            if !asked && shown.contains("to go on: ") {
                asked = true;
                writeln!(terminal, "{typed}").unwrap();
            }
        }
        (child.wait().unwrap().code(), shown)
    }
}

#[tokio::test]
async fn without_a_terminal_it_needs_a_yes() {
    let place = Place::new().await;
    for arguments in [&["revert", "--all"][..], &["revert", "2"], &["redo", "2"]] {
        let ran = place.folder.expect(&place.ops, 64, arguments);
        for wanted in [
            "2 migrations of the database ",
            place.database.name(),
            "20260101000002_second back to 20260101000001_first",
            "--yes",
        ] {
            assert!(ran.stderr.contains(wanted), "{wanted:?} in {}", ran.stderr);
        }
        assert_eq!(place.tables().await, 2);
    }
    place
        .folder
        .expect(&place.ops, 0, &["revert", "--all", "--dry-run"]);
    place.folder.expect(&place.ops, 0, &["redo", "2", "--yes"]);
    assert_eq!(place.tables().await, 2);
    // One is one: it is what was asked for.
    place.folder.expect(&place.ops, 0, &["revert"]);
    assert_eq!(place.tables().await, 1);
    place.folder.expect(&place.ops, 0, &["revert", "--all", "--yes"]);
    assert_eq!(place.tables().await, 0);
    // Nothing is lost where nothing is applied.
    place.folder.expect(&place.ops, 0, &["revert", "--all"]);
}

#[tokio::test]
async fn on_a_terminal_it_asks_for_the_databases_name() {
    let place = Place::new().await;
    let (code, shown) = place.on_a_terminal(&["revert", "--all"], "yes");
    assert_eq!(code, Some(64), "{shown}");
    assert!(shown.contains("that is not its name"), "{shown}");
    assert_eq!(place.tables().await, 2);
    let (code, shown) = place.on_a_terminal(&["revert", "--all"], place.database.name());
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(place.tables().await, 0);
}

#[tokio::test]
async fn a_way_back_that_was_mended_is_named() {
    let place = Place::new().await;
    let (folder, ops) = (&place.folder, &place.ops);
    folder.write(SECOND, "down.sql", "DROP TABLE IF EXISTS u;");
    // It is no edit: nothing of what was applied is another.
    let shown = folder.expect(ops, 0, &["show", "--json"]).json();
    assert_eq!(shown["migrations"][0].get("down_changed"), None);
    assert_eq!(shown["migrations"][1]["down_changed"], true);
    let said = |ran: Ran| ran.stdout.contains("by another down.sql than was there");
    assert!(said(folder.expect(ops, 0, &["revert"])));
    folder.expect(ops, 0, &["run"]);
    // It was there when it was applied again.
    assert!(!said(folder.expect(ops, 0, &["redo"])));
    folder.write(SECOND, "down.sql", "DROP TABLE u;");
    let done = folder.expect(ops, 0, &["redo", "--json"]).json();
    assert_eq!(done["reverted"][0]["down_changed"], true);
    assert_eq!(done["applied"][0].get("down_changed"), None);
    // What was applied before the ledger knew tells nothing.
    let forget = "ALTER TABLE plinth_migrations DROP COLUMN down_checksum";
    place.client.batch_execute(forget).await.unwrap();
    folder.write(SECOND, "down.sql", "DROP TABLE IF EXISTS u;");
    assert!(!said(folder.expect(ops, 0, &["revert"])));
}
