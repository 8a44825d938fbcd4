//! The SQL of each transition, one file each; the README shows them.

macro_rules! statements {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("sql/", $file, ".sql"));)*
        /// File name and text of each, for the check of the README.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($file, $name)),*];
    };
}

statements! {
    ENQUEUE = "enqueue";
    WAITING = "waiting";
    CLAIM = "claim";
    COMPLETE = "complete";
    COMPLETE_AND_FORGET = "complete_and_forget";
    FAIL = "fail";
    REGISTER = "register";
    HEARTBEAT = "heartbeat";
    EXPIRED = "expired";
    FENCE = "fence";
    ORPHANED = "orphaned";
    TAKE_BACK = "take_back";
    DISMISS = "dismiss";
    PROMOTE = "promote";
    NEXT_DUE = "next_due";
    PUBLISH_TURN = "publish_turn";
    WRITERS = "writers";
    BATCH_LOCK = "batch_lock";
    BATCH_CREATE = "batch_create";
    BATCH_SEAL = "batch_seal";
    BATCH_SEAL_OVERDUE = "batch_seal_overdue";
    BATCH_FOLD = "batch_fold";
    BATCH_PROGRESS = "batch_progress";
    CANCEL = "cancel";
    CANCEL_REQUESTED = "cancel_requested";
    RETRY = "retry";
    DISCARD = "discard";
    PAUSE = "pause";
    RESUME = "resume";
    RETAIN_JOBS = "retain_jobs";
    RETAIN_BATCHES = "retain_batches";
    SCHEDULE_PUT = "schedule_put";
    SCHEDULE_DUE = "schedule_due";
    SCHEDULE_MOVE = "schedule_move";
}

/// Channel of LISTEN: `q <queue>` says that jobs arrived, `c` that a running job is to stop.
pub(crate) const CHANNEL: &str = "job_queue";

#[cfg(test)]
mod tests {
    use super::*;

    /// The README shows what runs. `PLINTH_TEST_UPDATE=1` writes that part of it anew.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "make update says through the environment that the file is to be written"
    )]
    fn the_readme_shows_the_statements() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let text = std::fs::read_to_string(path).unwrap();
        let marker = "<!-- Written by a test from src/sql: PLINTH_TEST_UPDATE=1 -->\n";
        let (before, _) = text.split_once(marker).unwrap();
        let mut wanted = format!("{before}{marker}");
        for (name, sql) in ALL {
            wanted.push_str(&format!("\n### {name}\n\n```sql\n{}\n```\n", sql.trim_end()));
        }
        if std::env::var_os("PLINTH_TEST_UPDATE").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap();
        assert!(
            found == wanted,
            "README.md is out of step with src/sql: run make update"
        );
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql"))
            .unwrap()
            .count();
        assert_eq!(files, ALL.len(), "a file in src/sql that nothing uses");
    }
}
