//! A directory as the place of backups: what is in it, who can read it, and what is left beside it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sha2::{Digest as _, Sha256};

use crate::backup::{Place, reseal};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn nothing_outside_of_it_is_deleted() {
    let place = Place::new().await;
    place.back_up();
    let elsewhere = tempfile::tempdir().unwrap();
    let precious = elsewhere.path().join("precious");
    fs::write(&precious, "mine").unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let file = fs::File::options().write(true).open(&precious).unwrap();
    file.set_modified(long_ago).unwrap();
    let link = place.store.path().join("20231101T050000Z-aaaaaa");
    symlink(elsewhere.path(), &link).unwrap();
    // And a link as a file of an unfinished one.
    let unfinished = place.store.path().join("20231102T050000Z-bbbbbb");
    fs::create_dir(&unfinished).unwrap();
    symlink(&precious, unfinished.join("database.0001.dump.zst")).unwrap();
    let none = [
        "backup",
        "prune",
        "--keep-daily",
        "0",
        "--keep-weekly",
        "0",
        "--keep-monthly",
        "0",
    ];
    place.ops.expect(0, &none);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    place
        .ops
        .expect(9, &["backup", "drill", "20231101T050000Z-aaaaaa"]);
}

/// How it ended, within half a minute.
fn soon(mut child: Child) -> (Option<i32>, String) {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            return (status.code(), said);
        }
        if started.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_pipe_in_it_holds_nobody_up() {
    let place = Place::new().await;
    let name = place.back_up();
    let kept = fs::read(place.manifest(&name)).unwrap();
    fs::remove_file(place.manifest(&name)).unwrap();
    mkfifo(&place.manifest(&name), Mode::S_IRWXU).unwrap();
    let (code, said) = soon(place.ops.spawn(&["backup", "list"]));
    assert!(code == Some(0) && said.contains("no regular file"), "{said}");
    for arguments in [&["backup", "verify", &name][..], &["backup", "drill", &name]] {
        let (code, said) = soon(place.ops.spawn(arguments));
        assert!(code == Some(9) && said.contains("no regular file"), "{said}");
    }
    soon(place.ops.spawn(&["doctor"]));
    // The same with a file of rows, which only what reads them opens.
    fs::remove_file(place.manifest(&name)).unwrap();
    fs::write(place.manifest(&name), kept).unwrap();
    let rows = place.store.path().join(&name).join("rows.0001.copy.zst");
    fs::remove_file(&rows).unwrap();
    mkfifo(&rows, Mode::S_IRWXU).unwrap();
    let (code, said) = soon(place.ops.spawn(&["backup", "drill", &name]));
    assert!(code == Some(9) && said.contains("rows.0001"), "{said}");
}

#[tokio::test]
async fn only_its_owner_reads_what_is_made_and_the_doctor_warns_of_the_rest() {
    let place = Place::new().await;
    // As an administrator makes it.
    set_mode(place.store.path(), 0o755);
    let made = place.ops.expect(0, &["backup", "create", "--json"]).json();
    let name = made["backup"]["backup"].as_str().unwrap();
    assert_eq!(mode(&place.store.path().join(name)), 0o700);
    let files = place.files(name);
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let said = place.ops.run(&["doctor", "--json"]).json();
    let check = |said: &serde_json::Value| {
        let checks = said["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["id"] == "backup.place").unwrap();
        (found["status"].as_str().unwrap().to_owned(), found.to_string())
    };
    let (status, told) = check(&said);
    assert!(status == "warning" && told.contains("chmod 700"), "{told}");
    set_mode(place.store.path(), 0o700);
    let (status, told) = check(&place.ops.run(&["doctor", "--json"]).json());
    assert_eq!(status, "ok", "{told}");
}

/// What has been in a directory while a program ran; how often was looked.
fn seen_while(mut child: Child, directory: &Path) -> (Vec<String>, u32) {
    let (mut seen, mut looks) = (Vec::new(), 0);
    while child.try_wait().unwrap().is_none() {
        looks += 1;
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (seen, looks)
}

#[tokio::test]
async fn nothing_of_the_dump_is_seen_in_the_temporary_directory_nor_beside_an_archive() {
    let place = Place::new().await;
    let name = place.back_up();
    let temporary = tempfile::tempdir().unwrap();
    let Place { database, ops, store } = place;
    let ops = ops.with("TMPDIR", temporary.path().to_str().unwrap());
    let (seen, looks) = seen_while(ops.spawn(&["backup", "drill", &name]), temporary.path());
    assert!(looks > 50, "{looks}");
    assert_eq!(seen, [] as [&str; 0]);

    let archives = tempfile::tempdir().unwrap();
    let to = archives.path().join("acme.tar");
    let arguments = ["domain", "export", "acme", "--to", to.to_str().unwrap()];
    let (seen, _) = seen_while(ops.spawn(&arguments), archives.path());
    assert!(seen.iter().all(|name| name == "acme.tar"), "{seen:?}");
    assert!(to.exists());
    drop((database, store));
}

/// A gigabyte of one line in a few kilobytes: no more of it is unpacked than was packed.
#[tokio::test]
async fn what_unpacks_to_more_than_was_packed_is_refused() {
    let place = Place::new().await;
    let name = place.back_up();
    let folder = place.store.path().join(&name);
    for part in ["cells", "index", "dump"] {
        let good = fs::read(place.manifest(&name)).unwrap();
        let mut file_name = String::new();
        let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
        let zeros = vec![b'0'; 1 << 20];
        for _ in 0..1024 {
            bomb.write_all(&zeros).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 1 << 18, "{}", bomb.len());
        reseal(&place.manifest(&name), |manifest| {
            let mut sum = 0;
            for file in manifest["files"].as_array_mut().unwrap() {
                if file["part"] == part {
                    file["size"] = bomb.len().into();
                    file["sha256"] = hex::encode(Sha256::digest(&bomb)).into();
                    file["name"].as_str().unwrap().clone_into(&mut file_name);
                }
                sum += file["size"].as_u64().unwrap();
            }
            manifest["size_bytes"] = sum.into();
        });
        let path = folder.join(&file_name);
        let kept = fs::read(&path).unwrap();
        fs::write(&path, &bomb).unwrap();
        place.forget().await;
        let child = place.ops.spawn(&["backup", "drill", &name]);
        let pid = child.id();
        let watching = std::thread::spawn(move || {
            let mut most = 0;
            while let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
                let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let Some(peak) = peak else { break };
                most = most.max(peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let (code, said) = soon(child);
        assert!(code == Some(9), "{part}: {said}");
        assert!(
            said.contains("more in it than") || part != "cells",
            "{part}: {said}"
        );
        let most = watching.join().unwrap();
        assert!(most > 1000 && most < 300_000, "{part}: {most} kB");
        fs::write(&path, kept).unwrap();
        fs::write(place.manifest(&name), good).unwrap();
    }
    place.ops.expect(0, &["backup", "drill", &name]);
}
