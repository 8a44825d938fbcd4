//! `backup prune` in a store; which ones a policy keeps is told in `retention.rs`.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::backup::{Place, reseal};

/// Gives a backup another day, as if it had been made then; its name from now on.
fn dated(place: &Place, name: &str, day: &str) -> String {
    let new = format!("{day}T030000Z-5f0a1c");
    fs::rename(place.store.path().join(name), place.store.path().join(&new)).unwrap();
    let at = format!("{}-{}-{}T03:00:00Z", &day[..4], &day[4..6], &day[6..]);
    reseal(&place.manifest(&new), |manifest| {
        manifest["backup"] = new.clone().into();
        manifest["snapshot_at"] = at.into();
    });
    new
}

fn names(place: &Place) -> Vec<String> {
    let listed = place.ops.expect(0, &["backup", "list", "--json"]).json();
    let listed = listed["backups"].as_array().unwrap();
    listed
        .iter()
        .map(|one| one["backup"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_is_proved_or_new_stays_and_a_dry_run_changes_nothing() {
    let place = Place::new().await;
    let made = [place.back_up(), place.back_up(), place.back_up(), place.back_up()];
    let days = ["20240101", "20240215", "20240216", "20240217"];
    let backups: Vec<String> = made
        .iter()
        .zip(days)
        .map(|(name, day)| dated(&place, name, day))
        .collect();
    place.ops.expect(0, &["backup", "drill", &backups[0]]);

    let policy = [
        "backup",
        "prune",
        "--keep-daily",
        "2",
        "--keep-weekly",
        "1",
        "--keep-monthly",
        "0",
        "--json",
    ];
    let dry = place
        .ops
        .expect(0, &[&policy[..], &["--dry-run"]].concat())
        .json();
    assert_eq!(names(&place), backups);
    let done = place.ops.expect(0, &policy).json();
    assert_eq!(done["backups"], dry["backups"]);
    assert_eq!(
        names(&place),
        [&backups[0], &backups[2], &backups[3]].map(String::as_str)
    );
    for name in names(&place) {
        place.ops.expect(0, &["backup", "verify", &name]);
    }
    // A proof that is no proof protects nothing; the newest one stays whatever the policy says.
    let proof = place.store.path().join(&backups[0]).join("proof.json");
    let text = fs::read_to_string(&proof).unwrap();
    fs::write(&proof, text.replace("\"rows\": ", "\"rows\": 1")).unwrap();
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
    assert_eq!(names(&place), [backups[3].as_str()]);
}

#[tokio::test]
async fn unfinished_ones_go_after_a_day_and_damaged_ones_are_for_people() {
    let place = Place::new().await;
    let (unfinished, damaged, old) = (place.back_up(), place.back_up(), place.back_up());
    place.back_up();
    fs::remove_file(place.manifest(&unfinished)).unwrap();
    fs::remove_file(place.manifest(&old)).unwrap();
    // As a killed upload leaves it.
    fs::write(
        place.store.path().join(&old).join("database.0002.dump.zst#1"),
        "half",
    )
    .unwrap();
    for file in place.files(&old) {
        let yesterday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(yesterday)
            .unwrap();
    }
    fs::write(
        place.store.path().join(&damaged).join("database.0001.dump.zst"),
        "short",
    )
    .unwrap();
    let done = place.ops.expect(0, &["backup", "prune"]);
    assert!(
        done.stdout.contains("perhaps in the making") && done.stdout.contains("by hand"),
        "{}",
        done.stdout
    );
    let left = names(&place);
    assert!(
        left.contains(&unfinished) && left.contains(&damaged) && !left.contains(&old),
        "{left:?}"
    );
    assert!(!place.store.path().join(&old).exists());
    // Nothing of a store that holds other things is touched.
    fs::create_dir(place.store.path().join("notes")).unwrap();
    fs::write(place.store.path().join("notes/keep"), "me").unwrap();
    place.ops.expect(
        0,
        &[
            "backup",
            "prune",
            "--keep-daily",
            "0",
            "--keep-weekly",
            "0",
            "--keep-monthly",
            "0",
        ],
    );
    assert!(place.store.path().join("notes/keep").exists());
}
