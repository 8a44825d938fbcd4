use std::fs;
use std::process::Stdio;

use local_postgres::{Durability, LocalPostgres, Options, Ownership};

use crate::support::{
    Bystander, Program, is_running, kill_9, owner_of, psql, sql, start, state_dir, wait_for,
};

#[test]
fn after_kill_9_of_the_server_the_next_start_recovers() {
    let dir = state_dir();
    let options = || Options::new(dir.path(), Durability::Durable);
    let server = LocalPostgres::start(options()).unwrap();
    sql(
        &server,
        "create table kept (n int); insert into kept select generate_series(1, 1000)",
    );
    let killed = server.postmaster_pid().unwrap();
    kill_9(killed);
    wait_for("the death of the server", || !is_running(killed));

    // The dead server's handle is still there, and with it a zombie that PostgreSQL would take for a living process.
    let next = LocalPostgres::start(options()).unwrap();
    assert_eq!(next.ownership(), Ownership::Started);
    assert_ne!(next.postmaster_pid(), Some(killed));
    assert_eq!(sql(&next, "select count(*) from kept"), "1000");
    drop(server);
    assert_eq!(sql(&next, "select count(*) from kept"), "1000");
}

#[test]
fn a_backend_that_outlives_its_killed_server_does_not_block_the_next_start() {
    let dir = state_dir();
    let server = start(dir.path());
    // A loop that never waits never notices that the postmaster is gone.
    let mut busy = psql(&server, "do $$ begin loop end loop; end $$")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running =
        "select coalesce(min(pid), 0) from pg_stat_activity where state = 'active' and query like 'do %'";
    wait_for("the busy backend", || sql(&server, running) != "0");
    let backend: u32 = sql(&server, running).parse().unwrap();
    kill_9(server.postmaster_pid().unwrap());

    let next = start(dir.path());
    assert!(!is_running(backend));
    assert_eq!(sql(&next, "select 1"), "1");
    busy.wait().unwrap();
}

#[test]
fn a_stale_pid_file_that_names_a_bystander_is_overcome_and_the_bystander_lives() {
    let dir = state_dir();
    let server = start(dir.path());
    let data_dir = server.data_dir().to_owned();
    let pid_file = data_dir.join("postmaster.pid");
    let server_pid = server.postmaster_pid().unwrap();
    let text = fs::read_to_string(&pid_file).unwrap();
    drop(server);

    // Of the server's own user: PostgreSQL itself would refuse to start over it.
    let mut bystander = Bystander::run_as(owner_of(&data_dir));
    fs::write(
        &pid_file,
        text.replacen(&server_pid.to_string(), &bystander.id().to_string(), 1),
    )
    .unwrap();

    let server = start(dir.path());
    assert_eq!(server.ownership(), Ownership::Started);
    assert_eq!(sql(&server, "select 1"), "1");
    drop(server);
    assert!(bystander.is_alive());
}

#[test]
fn another_cluster_is_never_taken_for_ours() {
    let (our_dir, other_dir) = (state_dir(), state_dir());
    let ours = start(our_dir.path());
    let other = start(other_dir.path());
    sql(&other, "create table theirs (n int)");
    let other_pid = other.postmaster_pid().unwrap();
    let our_data = ours.data_dir().to_owned();
    drop(ours);
    // As if their server had got the process id that ours once had: the file even says ready, and how to connect.
    fs::copy(
        other.data_dir().join("postmaster.pid"),
        our_data.join("postmaster.pid"),
    )
    .unwrap();

    let ours = start(our_dir.path());
    assert_eq!(ours.ownership(), Ownership::Started);
    assert_ne!(ours.address(), other.address());
    assert_eq!(
        sql(&ours, "select count(*) from pg_class where relname = 'theirs'"),
        "0"
    );
    drop(ours);
    assert_eq!(other.postmaster_pid(), Some(other_pid));
    assert_eq!(sql(&other, "select count(*) from theirs"), "0");
}

#[test]
fn the_remains_of_an_unfinished_initdb_are_replaced() {
    let dir = state_dir();
    let major = local_postgres::Binaries::find(None).unwrap().version().major;
    let remains = dir.path().join(format!("data-{major}.init-4711"));
    fs::create_dir(&remains).unwrap();
    fs::write(remains.join("PG_VERSION"), "half").unwrap();
    let server = start(dir.path());
    assert_eq!(sql(&server, "select 1"), "1");
    assert!(!remains.exists());
}

#[test]
fn a_program_killed_at_any_moment_of_its_start_leaves_nothing_in_the_way() {
    let dir = state_dir();
    let mut left_running = 0;
    for milliseconds in [5, 20, 50, 100, 200, 300, 350, 400, 450, 500, 600, 800] {
        let command = std::process::Command::new(env!("CARGO_BIN_EXE_local-postgres"));
        let mut child = Program::spawn(command, dir.path());
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();

        let server = start(dir.path());
        assert_eq!(sql(&server, "select 1"), "1", "killed after {milliseconds} ms");
        left_running += i32::from(server.ownership() == Ownership::Attached);
        drop(server);
        if milliseconds < 400 {
            // Early moments are those of initdb.
            fs::remove_dir_all(crate::support::data_dir(dir.path())).unwrap();
        }
    }
    assert!(left_running > 0, "no kill was late enough to leave a server");
    assert!(left_running < 12, "no kill was early enough to leave none");
}

#[test]
fn a_killed_server_is_started_again_on_demand_at_the_same_address() {
    let dir = state_dir();
    let server = LocalPostgres::start(Options::new(dir.path(), Durability::Durable)).unwrap();
    sql(&server, "create table kept (n int)");
    assert_eq!(server.ensure_running().unwrap(), Ownership::Attached);
    let killed = server.postmaster_pid().unwrap();
    kill_9(killed);
    assert_eq!(server.ensure_running().unwrap(), Ownership::Started);
    assert_eq!(sql(&server, "select count(*) from kept"), "0");
    let pid = server.postmaster_pid().unwrap();
    drop(server);
    assert!(!is_running(pid));
}
