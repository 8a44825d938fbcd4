use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use local_postgres::{Durability, LocalPostgres, Options, Ownership, StopOutcome};

use crate::support::{Program, is_running, sql, start, state_dir};

#[test]
fn a_durable_cluster_keeps_its_data_from_start_to_start() {
    let dir = state_dir();
    let options = || Options::new(dir.path(), Durability::Durable);
    let first = LocalPostgres::start(options()).unwrap();
    assert_eq!(first.ownership(), Ownership::Started);
    let pid = first.postmaster_pid().unwrap();
    assert_eq!(sql(&first, "show fsync"), "on");
    sql(
        &first,
        "create table kept (word text); insert into kept values ('still here')",
    );
    assert_eq!(first.stop().unwrap(), StopOutcome::Stopped);
    assert!(!is_running(pid));

    let second = LocalPostgres::start(options()).unwrap();
    assert_eq!(sql(&second, "select word from kept"), "still here");
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let dir = state_dir();
    let server = start(dir.path());
    let pid = server.postmaster_pid().unwrap();
    assert!(is_running(pid));
    drop(server);
    assert!(!is_running(pid));
}

#[test]
fn the_cluster_is_utf8_with_contrib_and_keeps_parameters_out_of_its_log() {
    let dir = state_dir();
    let server = start(dir.path());
    assert_eq!(sql(&server, "show server_encoding"), "UTF8");
    assert_eq!(
        sql(&server, "select lower('ÄÉ'), current_user, current_database()"),
        "äé|plinth|plinth"
    );
    sql(
        &server,
        "create extension pgcrypto; create extension \"uuid-ossp\"",
    );
    assert_eq!(sql(&server, "show timezone"), "UTC");
    assert_eq!(sql(&server, "show fsync"), "off");
    assert_eq!(sql(&server, "show log_parameter_max_length"), "0");
    assert_eq!(sql(&server, "show log_parameter_max_length_on_error"), "0");
}

#[test]
fn only_a_private_unix_socket_is_open() {
    let dir = state_dir();
    let server = start(dir.path());
    assert_eq!(sql(&server, "show listen_addresses"), "");
    let socket_dir = &server.address().socket_dir;
    let meta = fs::metadata(socket_dir).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o700);
    assert_eq!(meta.uid(), fs::metadata(server.data_dir()).unwrap().uid());
    assert!(socket_dir.join(".s.PGSQL.5432").as_os_str().len() < 100);
    // A database on every local address would show up here, in hexadecimal.
    let tcp = fs::read_to_string("/proc/net/tcp").unwrap();
    let inode_owner = server.postmaster_pid().unwrap();
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{inode_owner}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    assert!(!sockets.is_empty(), "the server has no socket at all?");
    assert!(
        sockets.iter().all(|inode| !tcp.contains(&format!(" {inode} "))),
        "a TCP socket is open"
    );
}

#[test]
fn settings_of_the_caller_win_and_alter_system_works() {
    let dir = state_dir();
    let mut options = crate::support::disposable(dir.path());
    options.settings.push(("work_mem".to_owned(), "7MB".to_owned()));
    let server = LocalPostgres::start(options).unwrap();
    assert_eq!(sql(&server, "show work_mem"), "7MB");
    sql(&server, "alter system set log_parameter_max_length = 99");
    sql(&server, "select pg_reload_conf()");
    crate::support::wait_for("the reload", || {
        sql(&server, "show log_parameter_max_length") == "99B"
    });
}

/// The test suite may run as root (then the server runs as `postgres` or `nobody`); a plain user is tried in either case.
#[test]
fn a_plain_user_runs_a_cluster_of_their_own() {
    use std::os::unix::process::CommandExt;

    let dir = state_dir();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    // The build directory may be closed to others.
    let program = dir.path().join("local-postgres");
    fs::copy(env!("CARGO_BIN_EXE_local-postgres"), &program).unwrap();
    let mut command = Command::new(&program);
    let me = nix::unistd::geteuid();
    let uid = if me.is_root() { 65_534 } else { me.as_raw() };
    if me.is_root() {
        std::os::unix::fs::chown(&state, Some(uid), Some(uid)).unwrap();
        command.uid(uid).gid(uid);
    }
    let program = Program::ready(Program::spawn(command, &state));
    assert_eq!(program.how, "started");
    let pid = crate::support::postmaster_pid(&crate::support::data_dir(&state));
    assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), uid);
    program.finish();
    assert!(!is_running(pid));
}

#[test]
fn as_root_the_server_runs_as_somebody_else() {
    if !nix::unistd::geteuid().is_root() {
        // Then there is nobody to switch to; the test above has shown all there is.
        return;
    }
    let dir = state_dir();
    let server = start(dir.path());
    let pid = server.postmaster_pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        !line("Uid:").split_whitespace().any(|id| id == "0"),
        "{}",
        line("Uid:")
    );
    assert!(
        !line("Gid:").split_whitespace().any(|id| id == "0"),
        "{}",
        line("Gid:")
    );
    assert!(
        !line("Groups:").split_whitespace().any(|id| id == "0"),
        "{}",
        line("Groups:")
    );
}
