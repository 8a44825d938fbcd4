use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use local_postgres::{Binaries, Error, LocalPostgres};

use crate::support::{disposable, state_dir};

fn fake_program(bin: &Path, name: &str, script: &str) {
    let path = bin.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

fn reason(bin: &Path) -> String {
    let error = Binaries::find(Some(bin)).unwrap_err();
    assert!(matches!(error, Error::NoBinaries { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn the_newest_installed_postgresql_is_found() {
    let found = Binaries::find(None).unwrap();
    assert!(found.version().major >= 14);
    assert!(found.program("initdb").is_some());
    assert!(found.program("no-such-program").is_none());
    // The same tree, when named.
    assert_eq!(
        Binaries::find(Some(found.dir())).unwrap().version(),
        found.version()
    );
}

#[test]
fn missing_binaries_say_what_was_looked_for_and_how_to_install() {
    let dir = state_dir();
    let mut options = disposable(&dir.path().join("state"));
    options.binaries = Some(dir.path().to_owned());
    let text = LocalPostgres::start(options).unwrap_err().to_string();
    for part in [
        &*dir.path().display().to_string(),
        "no program `postgres`",
        "pgcrypto",
        "scripts/ensure-postgres",
        "apt-get install postgresql",
        "PLINTH_POSTGRES_BIN",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn a_tree_that_is_too_old_or_without_contrib_is_passed_over() {
    let dir = state_dir();
    fake_program(dir.path(), "initdb", "exit 0");
    fake_program(dir.path(), "postgres", "echo 'postgres (PostgreSQL) 13.20'");
    assert!(reason(dir.path()).contains("PostgreSQL 13.20 is older than 14"));

    fake_program(dir.path(), "postgres", "echo 'postgres (PostgreSQL) 17.5'");
    assert!(reason(dir.path()).contains("17.5 without the extension pgcrypto"));

    let share = dir.path().join("share");
    fs::create_dir_all(share.join("extension")).unwrap();
    fs::write(share.join("extension/pgcrypto.control"), "").unwrap();
    fake_program(dir.path(), "pg_config", &format!("echo {}", share.display()));
    assert!(reason(dir.path()).contains("without the extension uuid-ossp"));

    fs::write(share.join("extension/uuid-ossp.control"), "").unwrap();
    assert_eq!(
        Binaries::find(Some(dir.path())).unwrap().version().to_string(),
        "17.5"
    );
}

#[test]
fn a_program_that_cannot_run_is_passed_over_with_its_own_words() {
    let dir = state_dir();
    fake_program(dir.path(), "initdb", "exit 0");
    fake_program(
        dir.path(),
        "postgres",
        "echo 'libpq.so.5: cannot open shared object file' >&2; exit 127",
    );
    assert!(reason(dir.path()).contains("libpq.so.5: cannot open"));
}

#[test]
fn an_unpacked_tree_finds_its_libraries() {
    let dir = state_dir();
    let bin = dir.path().join("usr/lib/postgresql/17/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(dir.path().join("library-path"), "usr/lib/x86_64-linux-gnu\nlib\n").unwrap();
    fake_program(&bin, "initdb", "exit 0");
    fake_program(&bin, "postgres", "echo \"postgres (PostgreSQL) 17.5\"");
    let share = dir.path().join("usr/share/postgresql/17/extension");
    fs::create_dir_all(&share).unwrap();
    fs::write(share.join("pgcrypto.control"), "").unwrap();
    fs::write(share.join("uuid-ossp.control"), "").unwrap();
    fake_program(&bin, "psql", "echo \"$LD_LIBRARY_PATH\"");
    let found = Binaries::find(Some(&bin)).unwrap();
    let output = found.command("psql").output().unwrap();
    let root = dir.path().display();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib")
    );
}
