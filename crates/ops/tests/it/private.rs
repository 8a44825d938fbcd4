//! With no database configured, the working directory's private PostgreSQL stands in.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::Ops;

#[test]
fn commands_share_the_private_cluster_and_leave_it_stopped() {
    let ops = Ops::new();
    // The server may run as another user, who has to get there.
    fs::set_permissions(ops.directory.path(), Permissions::from_mode(0o755)).unwrap();
    let state = ops.directory.path().join("state");
    let ops = ops.with("PLINTH_PATHS_STATE_DIR", state.to_str().unwrap());

    ops.expect(2, &["migrate", "show"]);
    ops.expect(0, &["migrate", "run"]);
    ops.expect(0, &["migrate", "show"]);
    // It is a developer's own: nobody is asked.
    ops.expect(0, &["migrate", "redo", "2"]);
    let data = fs::read_dir(state.join("postgres"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.join("PG_VERSION").exists())
        .expect("a data directory");
    assert!(
        !data.join("postmaster.pid").exists(),
        "the server was left running"
    );
}

#[test]
fn a_private_cluster_that_is_not_allowed_is_7() {
    let ran = Ops::new()
        .with("PLINTH_DATABASE_LOCAL", "never")
        .expect(7, &["migrate", "show"]);
    assert!(
        ran.stderr.contains("DATABASE_URL") && ran.stderr.contains("PLINTH_DATABASE_LOCAL=never"),
        "{}",
        ran.stderr
    );
}
