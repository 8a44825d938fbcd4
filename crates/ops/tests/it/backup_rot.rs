//! A backup that is no good any more, and a place that has lost one: it is told, and takes no good one with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::backup::Place;
use crate::support::wait_until;

/// Flips a bit in the middle of a backup's rows.
fn rot(place: &Place, name: &str) {
    let file = place.store.path().join(name).join("rows.0001.copy.zst");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn made(place: &Place) -> String {
    let made = place.ops.expect(0, &["backup", "create", "--json"]).json();
    made["backup"]["backup"].as_str().unwrap().to_owned()
}

const FEWEST: [&str; 8] = [
    "backup",
    "prune",
    "--keep-daily",
    "1",
    "--keep-weekly",
    "1",
    "--keep-monthly",
    "1",
];

#[tokio::test]
async fn one_that_has_rotted_is_not_proved_any_more_and_no_good_one_goes_for_it() {
    let place = Place::new().await;
    let (first, second, newest) = (made(&place), made(&place), made(&place));
    for name in [&first, &second, &newest] {
        assert!(place.listed(name)["proved_at"].is_string());
    }
    rot(&place, &newest);
    place.ops.expect(9, &["backup", "drill"]);
    let listed = place.listed(&newest);
    assert_eq!(listed["standing"], "damaged", "{listed}");
    assert!(
        listed["proved_at"].is_null() && listed["failed_at"].is_string(),
        "{listed}"
    );
    let shown = place.ops.expect(0, &["backup", "list"]).stdout;
    assert!(shown.contains("damaged: when it was last read"), "{shown}");
    let pruned = place.ops.expect(0, &FEWEST);
    assert!(pruned.stdout.contains("delete it by hand"), "{}", pruned.stdout);
    place.ops.expect(0, &["backup", "verify", &second]);
    assert!(place.listed(&second)["proved_at"].is_string());
    assert!(!place.store.path().join(&first).exists(), "{}", pruned.stdout);

    // Reading is enough to find out; a drill, and nothing less, makes it good again.
    rot(&place, &newest);
    place.ops.expect(0, &["backup", "verify", &newest]);
    assert_eq!(place.listed(&newest)["standing"], "damaged");
    place.ops.expect(0, &["backup", "drill", &newest]);
    assert!(place.listed(&newest)["proved_at"].is_string());
    rot(&place, &newest);
    place.ops.expect(9, &["backup", "verify", &newest]);
    let listed = place.listed(&newest);
    assert!(listed["proved_at"].is_null(), "{listed}");
    place.ops.expect(0, &FEWEST);
    place.ops.expect(0, &["backup", "verify", &second]);
}

fn judged(place: &Place, id: &str) -> (String, String) {
    let report = place.ops.run(&["doctor", "--json"]).json();
    let checks = report["checks"].as_array().unwrap();
    let check: &Value = checks.iter().find(|check| check["id"] == id).unwrap();
    (check["status"].as_str().unwrap().to_owned(), check.to_string())
}

fn empty(store: &Path) {
    for entry in fs::read_dir(store).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
}

#[tokio::test]
async fn the_doctor_judges_by_what_the_place_has() {
    let place = Place::new().await;
    assert_eq!(judged(&place, "backup.last").0, "warning");
    let good = made(&place);
    for id in ["backup.last", "backup.proof"] {
        let (status, check) = judged(&place, id);
        assert_eq!(status, "ok", "{check}");
    }
    let newest = made(&place);
    rot(&place, &newest);
    place.ops.expect(9, &["backup", "verify", &newest]);
    let (status, check) = judged(&place, "backup.last");
    assert!(status == "failed" && check.contains(&newest), "{check}");
    // The other one is still proved.
    assert_eq!(judged(&place, "backup.proof").0, "ok");
    fs::remove_dir_all(place.store.path().join(&good)).unwrap();
    let (status, check) = judged(&place, "backup.proof");
    assert!(status == "failed" && check.contains("is proved"), "{check}");
    empty(place.store.path());
    let (status, check) = judged(&place, "backup.last");
    assert!(status == "failed" && check.contains("is not in"), "{check}");
    assert_eq!(judged(&place, "backup.proof").0, "failed");
    place.ops.expect(14, &["doctor"]);
}

/// The metrics are made of the table: the pruning looks at the place, and writes down what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_notices_that_the_place_was_emptied() {
    let place = Place::new().await;
    let name = made(&place);
    empty(place.store.path());
    let client = place.database.superuser().await;
    let Place { database, ops, store } = place;
    let ops = ops
        .with("PLINTH_BACKUP_SCHEDULE", "off")
        .with("PLINTH_BACKUP_DRILL_SCHEDULE", "off")
        .with("PLINTH_BACKUP_PRUNE_SCHEDULE", "*/2 * * * * *")
        .with("PLINTH_JOBS_METRICS_BIND", "127.0.0.1:0");
    let mut worker = ops.spawn(&["worker"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    wait_until(
        &client,
        &format!(
            "SELECT EXISTS (SELECT FROM backup_runs WHERE kind = 'drill' AND state = 'failed' AND backup = '{name}' AND error LIKE '%is not in%')"
        ),
    )
    .await;
    worker.kill().unwrap();
    worker.wait().unwrap();
    drop((database, store));
}

#[tokio::test]
async fn every_damaged_backup_is_named_in_json() {
    let place = Place::new().await;
    let (first, good, last) = (place.back_up(), place.back_up(), place.back_up());
    rot(&place, &first);
    rot(&place, &last);
    let ran = place
        .ops
        .expect(9, &["backup", "verify", "--all", "--json"])
        .json();
    let problems = ran["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{ran}");
    for (problem, name) in problems.iter().zip([&first, &last]) {
        assert_eq!(problem["backup"], name.as_str());
        assert!(
            problem["problem"].as_str().unwrap().contains("SHA-256"),
            "{problem}"
        );
    }
    assert_eq!(ran["verified"][0]["backup"], good.as_str());
}
