//! Whose a backup is: signed with the installation's key, of this installation, the one that was written under its name. Whatever
//! is not, never reaches pg_restore, which runs its SQL as the owner.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use test_support::{KEY, TestDatabase, client_program};

use crate::backup::{Place, reseal, reseal_with};
use crate::support::Ops;

const OTHER: &str = "another-key-0123456789abcdef0123456789";

/// The program as it is at `place`, with another key or none.
fn with_key(place: &Place, key: Option<&str>) -> Ops {
    let ops = Ops::new()
        .with("DATABASE_URL", &place.database.url("plinth"))
        .with("PLINTH_BACKUP_URL", place.store.path().to_str().unwrap());
    match key {
        Some(key) => ops.with("POSTGRES_ENCRYPTION_KEY", key),
        None => ops,
    }
}

/// PostgreSQL's programs, of which pg_restore leaves a word that it was here.
fn watched(directory: &Path) {
    for name in ["pg_dump", "pg_restore"] {
        let path = directory.join(name);
        let (real, here) = (client_program(name), directory.join(format!("{name} ran")));
        let script = format!(
            "#!/bin/bash\n[ \"$1\" = --version ] || touch '{}'\nexec {} \"$@\"\n",
            here.display(),
            real.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

async fn drills(place: &Place, state: &str) -> i64 {
    let client = place.database.superuser().await;
    client
        .query_one(
            "SELECT count(*) FROM backup_runs WHERE kind = 'drill' AND state = $1",
            &[&state],
        )
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn what_nobody_with_the_key_has_signed_never_reaches_pg_restore() {
    let place = Place::new().await;
    let name = place.back_up();
    let good = fs::read(place.manifest(&name)).unwrap();
    place.forget().await;
    let tools = tempfile::tempdir().unwrap();
    watched(tools.path());
    let ops = with_key(&place, Some(KEY)).with("PLINTH_POSTGRES_BIN", tools.path().to_str().unwrap());
    let ran_here = tools.path().join("pg_restore ran");
    let beside = format!("{}_t", place.database.name());
    let change = |manifest: &mut serde_json::Map<String, serde_json::Value>| {
        manifest["plinth_version"] = "somebody's".into();
    };
    for (key, code, said) in [
        (None, 9, "is not signed"),
        (Some(OTHER), 1, "not in POSTGRES_ENCRYPTION_KEY"),
    ] {
        reseal_with(&place.manifest(&name), key, change);
        for arguments in [
            &["backup", "drill", &name][..],
            &["restore", &name, "--force"],
            &["restore", &name, "--into", &beside],
            &["domain", "export", "acme", "--from-backup", &name],
            &["backup", "verify", &name],
        ] {
            let ran = ops.expect(code, arguments);
            assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
            assert!(!ran_here.exists(), "{arguments:?}");
        }
        let listed = place.listed(&name);
        assert_eq!(listed["standing"], "damaged");
        assert!(listed["problem"].as_str().unwrap().contains(said), "{listed}");
    }
    // A signature that was for another text.
    fs::write(place.manifest(&name), &good).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let line = |field: &str| {
        let found = text.lines().find(|line| line.contains(field)).unwrap();
        found.split('"').nth(3).unwrap().to_owned()
    };
    let (key, signature) = (line("signed_with"), line("hmac_sha256"));
    reseal_with(&place.manifest(&name), None, |manifest| {
        change(manifest);
        manifest.insert("x".to_owned(), 1.into());
    });
    splice(&place.manifest(&name), &key, &signature);
    let ran = ops.expect(9, &["backup", "drill", &name]);
    assert!(ran.stderr.contains("damaged or forged"), "{}", ran.stderr);
    assert!(!ran_here.exists());

    // Whoever wants to goes by the checksums alone, and gets no proof for it.
    let ran = ops.expect(0, &["backup", "drill", &name, "--unauthenticated"]);
    assert!(ran.stdout.contains("this is no proof"), "{}", ran.stdout);
    assert!(ran_here.exists());
    assert!(place.listed(&name)["proved_at"].is_null());
    assert_eq!(drills(&place, "succeeded").await, 0);
    fs::write(place.manifest(&name), &good).unwrap();
    ops.expect(0, &["backup", "drill", &name]);
    assert!(place.listed(&name)["proved_at"].is_string());

    // A proof that somebody else wrote is none.
    let proof = place.store.path().join(&name).join("proof.json");
    reseal_with(&proof, None, |_| {});
    assert!(place.listed(&name)["proved_at"].is_null());
    reseal_with(&proof, Some(KEY), |_| {});
    assert!(place.listed(&name)["proved_at"].is_string());
}

/// Puts a signature into a text that has none, and makes the checksum agree.
fn splice(path: &Path, key: &str, signature: &str) {
    use sha2::{Digest as _, Sha256};
    let text = fs::read_to_string(path).unwrap();
    let (body, _) = text.split_once(",\n  \"sha256\"").unwrap();
    let with = |digest: &str| {
        format!(
            "{body},\n  \"signed_with\": \"{key}\",\n  \"hmac_sha256\": \"{signature}\",\n  \"sha256\": \"{digest}\"\n}}\n"
        )
    };
    let digest = hex::encode(Sha256::digest(with(&"0".repeat(64)).as_bytes()));
    fs::write(path, with(&digest)).unwrap();
}

#[tokio::test]
async fn with_the_key_lost_nothing_is_proved_restored_or_made() {
    let place = Place::new().await;
    let name = place.back_up();
    let lost = with_key(&place, None);
    let beside = format!("{}_k", place.database.name());
    for arguments in [
        &["backup", "drill", &name][..],
        &["restore", &name, "--into", &beside],
    ] {
        let ran = lost.expect(1, arguments);
        assert!(
            ran.stderr.contains("there is no encryption key here")
                && ran.stderr.contains("--unauthenticated"),
            "{}",
            ran.stderr
        );
    }
    let ran = lost.expect(78, &["backup", "create", "--no-drill"]);
    assert!(ran.stderr.contains("POSTGRES_ENCRYPTION_KEY"), "{}", ran.stderr);
    // Under a key that is not the installation's, nobody could take it for its own.
    with_key(&place, Some(OTHER)).expect(1, &["backup", "create", "--no-drill"]);
    assert!(place.listed(&name)["proved_at"].is_null());
    assert_eq!(
        (drills(&place, "succeeded").await, drills(&place, "failed").await),
        (0, 1)
    );
    // Bytes can be compared without it, and that is all that is said.
    let verified = lost.expect(0, &["backup", "verify", &name, "--json"]).json();
    assert_eq!(verified["verified"][0]["authentic"], false);
    let drilled = lost
        .expect(0, &["backup", "drill", &name, "--unauthenticated", "--json"])
        .json();
    assert_eq!(
        (&drilled["drill"]["counts"], &drilled["drill"]["secrets"]),
        (&false.into(), &serde_json::Value::Null)
    );
    assert!(place.listed(&name)["proved_at"].is_null());
    assert_eq!(drills(&place, "succeeded").await, 0);
    lost.expect(0, &["restore", &name, "--into", &beside, "--unauthenticated"]);
    drop_database(&place, &beside).await;
}

async fn drop_database(place: &Place, name: &str) {
    let maintenance = place.other("postgres").await;
    maintenance
        .batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_old_backup_under_a_new_name_is_refused() {
    let place = Place::new().await;
    let (old, new) = (place.back_up(), place.back_up());
    let folder = |name: &str| place.store.path().join(name);
    fs::remove_dir_all(folder(&new)).unwrap();
    fs::create_dir(folder(&new)).unwrap();
    for file in place.files(&old) {
        fs::copy(&file, folder(&new).join(file.file_name().unwrap())).unwrap();
    }
    // Without the key the manifest of the one does not become that of the other.
    place.ops.expect(9, &["backup", "drill", &new]);
    reseal_with(&place.manifest(&new), None, |manifest| {
        manifest["backup"] = new.clone().into();
    });
    place.ops.expect(9, &["backup", "drill", &new]);
    // And who had the key would be told by the table.
    reseal(&place.manifest(&new), |manifest| {
        manifest["backup"] = new.clone().into();
    });
    for arguments in [&["backup", "drill", &new][..], &["restore", &new, "--force"]] {
        let ran = place.ops.expect(9, arguments);
        assert!(ran.stderr.contains("backup_runs"), "{}", ran.stderr);
    }
    let client = place.database.superuser().await;
    let other: i64 = client
        .query_one(
            "SELECT count(DISTINCT manifest_sha256) FROM backup_runs WHERE backup = $1 AND state = 'succeeded'",
            &[&new],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(other, 1);
}

#[tokio::test]
async fn two_installations_do_not_share_a_place() {
    let (ours, theirs) = (Place::new().await, Place::new().await);
    let client = theirs.database.superuser().await;
    client
        .batch_execute("UPDATE installation SET set_up_at = set_up_at + interval '1 day'")
        .await
        .unwrap();
    drop(client);
    let name = ours.back_up();
    let there = ours.store.path().to_str().unwrap();
    let beside = format!("{}_i", theirs.database.name());
    for arguments in [
        &["backup", "create"][..],
        &["backup", "drill", &name],
        &["backup", "prune"],
        &["restore", &name, "--force"],
        &["restore", &name, "--into", &beside],
    ] {
        let ran = theirs.ops.expect(3, &[arguments, &["--at", there]].concat());
        assert!(
            ran.stderr.contains("a place of its own") && ran.stderr.contains(&name),
            "{}",
            ran.stderr
        );
    }
    // Not by itself either, where both are in one place and no database is asked.
    let made = theirs.back_up();
    fs::rename(theirs.store.path().join(&made), ours.store.path().join(&made)).unwrap();
    Ops::new()
        .with("PLINTH_BACKUP_URL", there)
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .expect(3, &["backup", "prune"]);
    fs::rename(ours.store.path().join(&made), theirs.store.path().join(&made)).unwrap();
    ours.ops.expect(0, &["backup", "prune"]);

    // Taken over on purpose, and only into a place of its own.
    let take = ["restore", &name, "--at", there, "--of-another-installation"];
    theirs.ops.expect(64, &take);
    let into_own = [&take[..], &["--into", theirs.database.name(), "--force"]].concat();
    theirs.ops.expect(3, &into_own);
    theirs.ops.expect(0, &[&take[..], &["--into", &beside]].concat());
    drop_database(&theirs, &beside).await;
    // A new server has nothing to be compared with.
    let new = format!("{}_n", ours.database.name());
    let url = ours.database.url("plinth").replace(ours.database.name(), &new);
    Ops::new()
        .with("DATABASE_URL", &url)
        .with("PLINTH_BACKUP_URL", there)
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .expect(0, &["restore", "latest"]);
    drop_database(&ours, &new).await;
}

#[tokio::test]
async fn a_database_without_an_installation_is_not_backed_up() {
    let database = TestDatabase::empty().await;
    let store = tempfile::tempdir().unwrap();
    let ops = Ops::on(&database).with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    for migrated in [false, true] {
        if migrated {
            ops.expect(0, &["migrate", "run"]);
        }
        let ran = ops.expect(8, &["backup", "create"]);
        assert!(
            ran.stderr.contains("no installation is set up") && ran.stderr.contains("DATABASE_URL"),
            "{}",
            ran.stderr
        );
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
    }
}

#[test]
fn no_private_postgresql_is_backed_up_or_filled() {
    let store = tempfile::tempdir().unwrap();
    let ops = Ops::new()
        .with("PLINTH_BACKUP_URL", store.path().to_str().unwrap())
        .with("POSTGRES_ENCRYPTION_KEY", KEY);
    for arguments in [
        &["backup", "create"][..],
        &["backup", "drill"],
        &["restore", "latest"],
        &["domain", "export", "acme", "--from-backup", "latest"],
        &["worker"],
    ] {
        let ran = ops.expect(78, arguments);
        assert!(ran.stderr.contains("DATABASE_URL"), "{}", ran.stderr);
    }
    for (code, arguments) in [
        (0, &["backup", "list"][..]),
        (10, &["backup", "verify"]),
        (0, &["backup", "verify", "--all"]),
        (0, &["backup", "prune"]),
    ] {
        ops.expect(code, arguments);
    }
    assert_eq!(
        fs::read_dir(ops.directory.path()).unwrap().count(),
        0,
        "no server was started here"
    );
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
}
