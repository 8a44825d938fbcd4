//! What fails is never reported as a success, and never leaves anything that could be taken for a backup.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use test_support::{Ran, TestDatabase, World, client_program};

use crate::backup::{Place, cards, reseal};
use crate::support::Ops;

/// The backups that the store shows.
fn names(ops: &Ops) -> Vec<String> {
    let listed = ops.expect(0, &["backup", "list", "--json"]).json();
    let listed = listed["backups"].as_array().unwrap();
    listed
        .iter()
        .map(|one| one["backup"].as_str().unwrap().to_owned())
        .collect()
}

/// A program that stands in for pg_dump.
fn stand_in(directory: &Path, script: &str) {
    let path = directory.join("pg_dump");
    fs::write(
        &path,
        format!(
            "#!/bin/bash\nreal={}\n{script}\n",
            client_program("pg_dump").display()
        ),
    )
    .unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_7() {
    let store = tempfile::tempdir().unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", "postgresql://plinth@127.0.0.1:1/plinth")
        .with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    ops.expect(7, &["backup", "create"]);
    assert!(names(&ops).is_empty());
}

#[test]
fn no_place_and_no_backup() {
    let ran = Ops::new().expect(78, &["backup", "list"]);
    assert!(ran.stderr.contains("PLINTH_BACKUP_URL"), "{}", ran.stderr);
    let ops = Ops::new();
    let ran = ops.expect(78, &["backup", "list", "--at", "ftp://example.com/x"]);
    assert!(ran.stderr.contains("s3://"), "{}", ran.stderr);
    let store = tempfile::tempdir().unwrap();
    let at = store.path().to_str().unwrap();
    ops.expect(0, &["backup", "list", "--at", at]);
    ops.expect(10, &["backup", "show", "--at", at]);
    ops.expect(10, &["backup", "show", "20261120T030000Z-5f0a1c", "--at", at]);
    ops.expect(64, &["backup", "show", "yesterday", "--at", at]);
}

#[tokio::test]
async fn a_store_that_is_away_is_11() {
    let database = TestDatabase::new().await;
    let ops = Ops::on(&database)
        .with("PLINTH_BACKUP_URL", "s3://bucket/prefix")
        .with("PLINTH_BACKUP_S3_ENDPOINT", "http://127.0.0.1:1")
        .with("PLINTH_BACKUP_S3_ACCESS_KEY_ID", "someone")
        .with("PLINTH_BACKUP_S3_SECRET_ACCESS_KEY", "very-secret-words");
    let ran = ops.expect(11, &["backup", "create"]);
    assert!(ran.stderr.contains("s3://bucket/prefix"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("very-secret-words"));
}

#[tokio::test]
async fn a_pg_dump_that_is_old_missing_or_fails() {
    let place = Place::new().await;
    let tools = tempfile::tempdir().unwrap();
    let Place { database, ops, store } = place;
    let ops = ops.with("PLINTH_POSTGRES_BIN", tools.path().to_str().unwrap());
    let ran = ops.expect(13, &["backup", "create"]);
    assert!(
        ran.stderr.contains("there is no pg_dump") && ran.stderr.contains("postgresql-client-"),
        "{}",
        ran.stderr
    );
    stand_in(tools.path(), "echo 'pg_dump (PostgreSQL) 13.9'");
    let ran = ops.expect(13, &["backup", "create"]);
    assert!(
        ran.stderr.contains("13.9") && ran.stderr.contains("postgresql-client-"),
        "{}",
        ran.stderr
    );

    let version = "[ \"$1\" = --version ] && exec $real --version\n";
    for (script, said) in [
        // Killed in the middle of its work, by the system say.
        ("$real \"$@\" | head -c 20000\nkill -9 $$", "signal: 9"),
        // All of it is there, and something was wrong.
        (
            "$real \"$@\"\necho 'pg_dump: error: out of memory' >&2\nexit 1",
            "out of memory",
        ),
        (
            "echo 'pg_dump: error: no such snapshot' >&2\nexit 1",
            "no such snapshot",
        ),
    ] {
        stand_in(tools.path(), &format!("{version}{script}"));
        let ran = ops.expect(1, &["backup", "create", "--no-drill"]);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(names(&ops).is_empty(), "{said}");
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0, "{said}");
    }
    // It says nothing, and leaves half of it out: that is found when it is restored.
    stand_in(
        tools.path(),
        &format!("{version}$real \"$@\" | head -c 30000\nexit 0"),
    );
    std::os::unix::fs::symlink(client_program("pg_restore"), tools.path().join("pg_restore")).unwrap();
    let ran = ops.run(&["backup", "create"]);
    assert!(matches!(ran.code, Some(1 | 9)), "{}", ran.stderr);
    assert!(ran.stderr.contains("not proved"), "{}", ran.stderr);
    let client = database.superuser().await;
    let states = client
        .query("SELECT kind || ' ' || state FROM backup_runs ORDER BY id", &[])
        .await
        .unwrap();
    let states: Vec<String> = states.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        states,
        [
            "backup failed",
            "backup failed",
            "backup failed",
            "backup succeeded",
            "drill failed"
        ]
    );
}

/// A write beyond the limit fails as it does on a full disk.
#[tokio::test]
async fn a_disk_that_is_full() {
    let place = Place::new().await;
    cards(&World::new(place.database.superuser().await), "acme", 20_000).await;
    let limited = |arguments: &str| {
        let command = place.ops.command(&[]);
        let program = command.get_program().to_owned();
        let mut shell = std::process::Command::new("/bin/bash");
        shell.arg("-c").arg(format!(
            "trap '' XFSZ; ulimit -f 200; exec {} {arguments}",
            program.to_str().unwrap()
        ));
        shell.env_clear().current_dir(&place.ops.directory);
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap());
        }
        Ran::from(shell.output().unwrap())
    };
    let ran = limited("backup create --no-drill");
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    assert!(ran.stderr.contains("File too large"), "{}", ran.stderr);
    assert!(names(&place.ops).is_empty());
    assert_eq!(
        fs::read_dir(place.store.path()).unwrap().count(),
        0,
        "nothing is left"
    );
    place.back_up();
}

#[tokio::test]
async fn a_lost_key_is_found_before_and_by_the_drill() {
    let place = Place::new().await;
    let name = place.back_up();
    let Place { database, ops, store } = place;
    let other = Ops::new()
        .with("DATABASE_URL", &database.url("plinth"))
        .with("PLINTH_BACKUP_URL", store.path().to_str().unwrap())
        .with(
            "POSTGRES_ENCRYPTION_KEY",
            "another-key-0123456789abcdef0123456789",
        );
    let ran = other.expect(1, &["backup", "drill"]);
    assert!(
        ran.stderr.contains("not in POSTGRES_ENCRYPTION_KEY"),
        "{}",
        ran.stderr
    );
    let ran = other.expect(1, &["restore", &name, "--force"]);
    assert!(
        ran.stderr.contains("not in POSTGRES_ENCRYPTION_KEY"),
        "{}",
        ran.stderr
    );
    // Rows that name a key and were written with another.
    let client = database.superuser().await;
    client
        .batch_execute("UPDATE installation_secrets SET ciphertext = pgp_sym_encrypt('x', 'another')")
        .await
        .unwrap();
    ops.expect(0, &["backup", "create", "--no-drill"]);
    let ran = ops.expect(9, &["backup", "drill"]);
    assert!(ran.stderr.contains("password_pepper"), "{}", ran.stderr);
}

#[tokio::test]
async fn one_backup_at_a_time_and_none_during_a_migration() {
    let place = Place::new().await;
    let client = place.database.superuser().await;
    client
        .batch_execute(&format!("SELECT pg_advisory_lock({})", 0x506c_696e_7468_426b_i64))
        .await
        .unwrap();
    let ran = place.ops.expect(12, &["backup", "create"]);
    assert!(ran.stderr.contains("another backup"), "{}", ran.stderr);
    client
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    // The clock of an earlier backup was ahead, or ours is behind.
    let name = place.back_up();
    let ahead = "20991120T030000Z-5f0a1c";
    fs::rename(place.store.path().join(&name), place.store.path().join(ahead)).unwrap();
    let ran = place.ops.expect(1, &["backup", "create"]);
    assert!(ran.stderr.contains(ahead), "{}", ran.stderr);
    reseal(&place.manifest(ahead), |manifest| {
        manifest["backup"] = ahead.into()
    });
    place.ops.expect(0, &["backup", "verify", ahead]);
}

#[tokio::test]
async fn a_login_that_may_not_make_databases_is_told_what_to_do() {
    let place = Place::new().await;
    place.back_up();
    let client = place.database.superuser().await;
    let login = format!("{}_poor", place.database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {login} LOGIN BYPASSRLS IN ROLE plinth_system; GRANT pg_read_all_data TO {login}"
        ))
        .await
        .unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &place.database.url(&login))
        .with("POSTGRES_ENCRYPTION_KEY", test_support::KEY)
        .with("PLINTH_BACKUP_URL", place.store.path().to_str().unwrap());
    for arguments in [&["restore", "latest", "--force"][..], &["backup", "drill"]] {
        let ran = ops.expect(1, arguments);
        assert!(
            ran.stderr.contains(&format!("ALTER ROLE {login} CREATEDB")),
            "{}",
            ran.stderr
        );
    }
    // It reads everything, though, and makes a backup that somebody else can prove.
    ops.expect(0, &["backup", "create", "--no-drill"]);
    place.ops.expect(0, &["backup", "drill"]);
    client
        .batch_execute(&format!("DROP OWNED BY {login}; DROP ROLE {login}"))
        .await
        .unwrap();
}
