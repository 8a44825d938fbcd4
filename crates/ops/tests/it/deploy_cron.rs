//! `deploy/cron/plinth`, run as cron runs it: with next to nothing in the environment.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const CRONTAB: &str = include_str!("../../../../deploy/cron/plinth");

/// What the file sets for its lines; cron itself gives `PATH=/usr/bin:/bin`, where our program is not.
fn variables() -> Vec<(String, String)> {
    CRONTAB
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains(' '))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_program_is_found_where_it_is_installed() {
    let variables = variables();
    let path = &variables.iter().find(|(name, _)| name == "PATH").unwrap().1;
    assert!(
        path.split(':').any(|directory| directory == "/usr/local/bin"),
        "{path}"
    );
    let systemd = include_str!("../../../../deploy/systemd/plinth-backup.service");
    assert!(
        systemd.contains("ExecStart=/usr/local/bin/plinth-ops"),
        "both are installed in one place"
    );
    // Each line, with a stand-in for what it reads and where it works, and a program that says how it was called.
    let directory = tempfile::tempdir().unwrap();
    let bin = directory.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = bin.join("plinth-ops");
    let called = directory.path().join("called");
    std::fs::write(
        &program,
        format!("#!/bin/sh\necho \"$* of $SETTING\" >> {}\n", called.display()),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = directory.path().join("ops.env");
    std::fs::write(&settings, "SETTING=cron\n").unwrap();
    let jobs: Vec<&str> = CRONTAB
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    for job in jobs {
        let command = job.splitn(7, ' ').last().unwrap().trim();
        let command = command[command.find("cd ").unwrap()..]
            .replace("/var/lib/plinth", directory.path().to_str().unwrap())
            .replace("/etc/plinth/ops.env", settings.to_str().unwrap());
        let ran = Command::new("/bin/bash")
            .args(["-c", &command])
            .env_clear()
            .env("PATH", path.replace("/usr/local/bin", bin.to_str().unwrap()))
            .output()
            .unwrap();
        assert!(
            ran.status.success() && ran.stdout.is_empty(),
            "{command}: {} {}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    assert_eq!(
        std::fs::read_to_string(called).unwrap(),
        "backup create of cron\nbackup prune of cron\nbackup drill of cron\n"
    );
}
