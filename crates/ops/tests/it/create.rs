//! `make migrate-create`, at once with others; and what becomes of a template that nobody fills in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use test_support::{Ran, TestDatabase};

use crate::generate::{Folder, NOTES};
use crate::support::Ops;

/// A copy of what the script needs of the repository.
fn project() -> TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let project = tempfile::tempdir().unwrap();
    for file in ["scripts/migrate-create", "docs/TENANCY.md"] {
        let copy = project.path().join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(root.join(file), copy).unwrap();
    }
    project
}

/// Runs it for each name at the same time.
fn create(project: &TempDir, names: &[&str]) -> Vec<Output> {
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            Command::new(project.path().join("scripts/migrate-create"))
                .arg(name)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    running
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect()
}

/// Names of everything in the directory, hidden or not.
fn made(project: &TempDir) -> Vec<String> {
    fs::read_dir(project.path().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn at_once_no_two_get_one_version() {
    let project = project();
    let names = ["add_one", "add_two", "add_three", "add_four"];
    for output in create(&project, &names) {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let made = made(&project);
    let versions: BTreeSet<&str> = made
        .iter()
        .map(|title| title.split_once('_').unwrap().0)
        .collect();
    assert_eq!((made.len(), versions.len()), (4, 4), "{made:?}");
    let migrations = project.path().join("migrations");
    let read = db_migrate::Migration::read_directory(&migrations).unwrap();
    assert!(read.iter().all(|one| one.up.contains("CREATE TABLE notes")));
}

#[test]
fn at_once_with_one_name_one_is_made_and_the_others_are_told() {
    let project = project();
    let outputs = create(&project, &["add_color"; 4]);
    let (good, refused): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!((good.len(), refused.len()), (1, 3));
    for output in refused {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("is being made by another") || said.contains("already"),
            "{said}"
        );
    }
    assert_eq!(made(&project).len(), 1, "{:?}", made(&project));
}

/// Both have read the directory before either is through; behind a migration of a time to come, both would take the same version.
#[tokio::test]
async fn of_two_that_generate_at_once_one_is_told() {
    let schema = "CREATE TABLE later (); COMMENT ON TABLE later IS 'Later.';";
    let folder = Folder::wanting(&format!(
        "{NOTES} {schema} CREATE INDEX notes_state_idx ON notes (domain_id, state); SELECT pg_sleep(3);"
    ))
    .await;
    let future = folder.path("migrations").join("2099-01-01-000001_later");
    fs::create_dir(&future).unwrap();
    fs::write(future.join("up.sql"), schema).unwrap();
    fs::write(future.join("down.sql"), "DROP TABLE later;").unwrap();
    let running =
        ["change_one", "change_other"].map(|name| folder.ops.spawn(&["migrate", "generate", "--name", name]));
    let ran = running.map(|child| Ran::from(child.wait_with_output().unwrap()));
    let (good, told): (Vec<&Ran>, Vec<&Ran>) = ran.iter().partition(|ran| ran.code == Some(0));
    assert_eq!((good.len(), told.len()), (1, 1), "{ran:?}");
    assert!(told[0].stderr.contains("run it again"), "{}", told[0].stderr);
    let made: Vec<_> = fs::read_dir(folder.path("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(made.len(), 3, "{made:?}");
    db_migrate::Migration::read_directory(&folder.path("migrations")).unwrap();
    folder.is_tidy().await;
}

#[tokio::test]
async fn an_empty_template_is_a_finding_and_a_warning() {
    let project = project();
    create(&project, &["add_color"]);
    let title = made(&project).remove(0);
    let migrations = project.path().join("migrations");
    let directory = migrations.join(&title);
    let ran = Ops::new().expect(
        1,
        &["migrate", "lint", "--no-database", directory.to_str().unwrap()],
    );
    assert!(
        ran.stdout.contains("empty-migration") && ran.stdout.contains("up.sql:1"),
        "{}",
        ran.stdout
    );
    let database = TestDatabase::empty().await;
    let migrations = migrations.to_str().unwrap();
    let ran = Ops::on(&database).expect(0, &["migrate", "run", "--migrations", migrations]);
    assert!(ran.stderr.contains("up.sql has no statement"), "{}", ran.stderr);
}
