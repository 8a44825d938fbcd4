use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use local_postgres::{Durability, Error, LocalPostgres, Options};

use crate::support::{disposable, owner_of, start, state_dir};

#[test]
fn data_of_another_major_version_is_named_and_left_alone() {
    let dir = state_dir();
    let options = || Options::new(dir.path(), Durability::Durable);
    let server = LocalPostgres::start(options()).unwrap();
    let version_file = server.data_dir().join("PG_VERSION");
    let data_dir = server.data_dir().to_owned();
    drop(server);
    fs::write(&version_file, "13\n").unwrap();

    let error = LocalPostgres::start(options()).unwrap_err();
    assert!(
        matches!(error, Error::VersionMismatch { data_major: 13, .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("made by PostgreSQL 13") && text.contains("pg_upgrade"),
        "{text}"
    );
    assert!(data_dir.join("base").is_dir());
}

#[test]
fn a_directory_full_of_something_else_is_left_alone() {
    let dir = state_dir();
    let owner = owner_of(start(&dir.path().join("other")).data_dir());
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("diary.txt"), "dear").unwrap();
    std::os::unix::fs::chown(&data_dir, Some(owner.0), Some(owner.1)).unwrap();

    let error = LocalPostgres::start(Options::new(dir.path(), Durability::Durable)).unwrap_err();
    assert!(matches!(error, Error::NotACluster(_)), "{error:?}");
    assert_eq!(fs::read_to_string(data_dir.join("diary.txt")).unwrap(), "dear");
}

#[test]
fn a_failed_start_shows_the_end_of_the_servers_log() {
    let dir = state_dir();
    let mut options = disposable(dir.path());
    options
        .settings
        .push(("shared_buffers".to_owned(), "a lot".to_owned()));
    let text = LocalPostgres::start(options).unwrap_err().to_string();
    assert!(
        text.contains("did not start") && text.contains("invalid value for parameter"),
        "{text}"
    );
    assert!(text.contains("postgres.log"), "{text}");
    // Nothing of the failed start is in the way of the next.
    start(dir.path());
}

#[test]
fn as_root_a_directory_closed_to_the_server_user_is_named() {
    let dir = state_dir();
    let closed = dir.path().join("home");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let result = LocalPostgres::start(disposable(&closed.join("project/.plinth")));
    if nix::unistd::geteuid().is_root() {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { closed: named, .. } if *named == closed),
            "{error:?}"
        );
    } else {
        result.unwrap();
    }
}

#[test]
fn the_default_directory_is_one_that_the_server_can_reach() {
    let project = state_dir();
    let found = local_postgres::default_state_dir(project.path()).unwrap();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(found.parent().unwrap(), std::path::Path::new("/var/lib/plinth"));
        assert_eq!(
            found,
            local_postgres::default_state_dir(&project.path().join("../").join(project.path())).unwrap()
        );
    } else {
        assert_eq!(found, project.path().canonicalize().unwrap().join(".plinth"));
    }
    assert!(local_postgres::default_state_dir(&project.path().join("missing")).is_err());
}
