use std::fs;
use std::process::Command;

use local_postgres::{Ownership, StopOutcome};

use crate::support::{Program, data_dir, is_running, postmaster_pid, sql, start, state_dir};

#[test]
fn a_second_handle_attaches_and_the_last_one_stops_the_server() {
    let dir = state_dir();
    let first = start(dir.path());
    let second = start(dir.path());
    assert_eq!(
        (first.ownership(), second.ownership()),
        (Ownership::Started, Ownership::Attached)
    );
    assert_eq!(first.address(), second.address());
    let pid = first.postmaster_pid().unwrap();

    assert_eq!(first.stop().unwrap(), StopOutcome::LeftRunning);
    assert_eq!(sql(&second, "select 1"), "1");
    assert_eq!(second.stop().unwrap(), StopOutcome::Stopped);
    assert!(!is_running(pid));
}

#[test]
fn threads_that_start_at_once_share_one_server() {
    let dir = state_dir();
    let servers: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| start(dir.path()))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let started = servers
        .iter()
        .filter(|server| server.ownership() == Ownership::Started)
        .count();
    assert_eq!(started, 1);
    let pids: std::collections::HashSet<_> = servers
        .iter()
        .map(|server| server.postmaster_pid().unwrap())
        .collect();
    assert_eq!(pids.len(), 1);

    let outcomes: Vec<_> = servers.into_iter().map(|server| server.stop().unwrap()).collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == StopOutcome::Stopped)
            .count(),
        1
    );
    assert_eq!(outcomes.last(), Some(&StopOutcome::Stopped));
}

#[test]
fn programs_that_start_at_once_share_one_server() {
    let dir = state_dir();
    let children: Vec<_> = (0..4)
        .map(|_| Program::spawn(Command::new(env!("CARGO_BIN_EXE_local-postgres")), dir.path()))
        .collect();
    let programs: Vec<_> = children.into_iter().map(Program::ready).collect();
    assert_eq!(
        programs.iter().filter(|program| program.how == "started").count(),
        1
    );
    assert!(programs.iter().all(|program| program.url == programs[0].url));
    let pid = postmaster_pid(&data_dir(dir.path()));

    let mut programs = programs;
    let last = programs.pop().unwrap();
    programs.into_iter().for_each(Program::finish);
    assert!(is_running(pid));
    last.finish();
    assert!(!is_running(pid));
}

#[test]
fn the_server_of_a_killed_program_is_taken_over_and_stopped_at_the_end() {
    let dir = state_dir();
    let program = Program::run(dir.path());
    let pid = postmaster_pid(&data_dir(dir.path()));
    program.kill_9();
    assert!(is_running(pid));

    let server = start(dir.path());
    assert_eq!(server.ownership(), Ownership::Attached);
    assert_eq!(server.postmaster_pid(), Some(pid));
    assert_eq!(sql(&server, "select 1"), "1");
    assert_eq!(server.stop().unwrap(), StopOutcome::Stopped);
    assert!(!is_running(pid));
}

#[test]
fn ctrl_c_does_not_reach_the_server() {
    let dir = state_dir();
    let program = Program::run(dir.path());
    let pid = postmaster_pid(&data_dir(dir.path()));
    program.ctrl_c();
    // Were it in the same process group, it would be on its way down; attaching would then start another.
    let server = start(dir.path());
    assert_eq!(
        (server.ownership(), server.postmaster_pid()),
        (Ownership::Attached, Some(pid))
    );
}

#[test]
fn a_server_whose_socket_was_swept_away_is_replaced_unless_it_is_in_use() {
    let dir = state_dir();
    let server = start(dir.path());
    let pid = server.postmaster_pid().unwrap();
    let socket_dir = server.address().socket_dir.clone();
    fs::remove_dir_all(&socket_dir).unwrap();
    let refused = local_postgres::LocalPostgres::start(crate::support::disposable(dir.path())).unwrap_err();
    assert!(refused.to_string().contains("does not answer"), "{refused}");
    assert!(is_running(pid));
    drop(server);

    let program = Program::run(dir.path());
    let pid = postmaster_pid(&data_dir(dir.path()));
    program.kill_9();
    fs::remove_dir_all(&socket_dir).unwrap();
    let server = start(dir.path());
    assert_eq!(server.ownership(), Ownership::Started);
    assert!(!is_running(pid));
    assert_eq!(sql(&server, "select 1"), "1");
}
