//! What happened to a backup in its store is found, by `verify` and by `restore` before anything is touched.

use std::fs;
use std::io::Read as _;

use test_support::{ACME, World};

use crate::backup::{Place, contents, reseal};

/// A number below the bound.
fn below(bound: usize) -> usize {
    let bytes = db_core::random_bytes::<8>();
    usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap()
}

#[tokio::test]
async fn bit_flips_truncations_and_missing_files() {
    let place = Place::new().await;
    let name = place.back_up();
    let files = place.files(&name);
    assert!(files.len() == 3, "{files:?}");
    let mut tried = 0;
    for file in &files {
        let good = fs::read(file).unwrap();
        for round in 0..6 {
            let mut bad = good.clone();
            let what = if round < 4 {
                let (byte, bit) = (below(bad.len()), below(8));
                bad[byte] ^= 1 << bit;
                format!("{}: byte {byte}, bit {bit}", file.display())
            } else {
                let to = if round == 4 {
                    bad.len() - 1
                } else {
                    below(bad.len())
                };
                bad.truncate(to);
                format!("{}: cut at {to}", file.display())
            };
            fs::write(file, &bad).unwrap();
            let ran = place.ops.expect(9, &["backup", "verify", &name]);
            assert!(ran.stderr.contains(&name), "{what}: {}", ran.stderr);
            if round % 2 == 0 {
                place.ops.expect(9, &["backup", "drill", &name]);
                expect_untouched(&place, &name).await;
            }
            tried += 1;
        }
        fs::remove_file(file).unwrap();
        place.ops.expect(9, &["backup", "verify", &name]);
        place.ops.expect(9, &["backup", "drill", &name]);
        expect_untouched(&place, &name).await;
        fs::write(file, &good).unwrap();
    }
    assert_eq!(tried, 18);
    place.ops.expect(0, &["backup", "verify", &name]);
    let proved = place.ops.expect(0, &["backup", "list", "--json"]).json();
    assert!(
        proved["backups"][0]["proved_at"].is_null(),
        "no failed drill is a proof"
    );
}

/// A restore refuses, and neither the database nor the server is any different.
async fn expect_untouched(place: &Place, name: &str) {
    let client = place.database.superuser().await;
    let before = contents(&client).await;
    let target = format!("{}_x", place.database.name());
    place.ops.expect(9, &["restore", name, "--into", &target]);
    place.ops.expect(9, &["restore", name, "--force"]);
    assert_eq!(
        contents(&client).await,
        before,
        "the session lives, and the rows are the same"
    );
    let there: bool = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
            &[&target],
        )
        .await
        .unwrap()
        .get(0);
    assert!(!there);
}

#[tokio::test]
async fn swapped_files_and_manifests() {
    let place = Place::new().await;
    let (first, second) = (place.back_up(), place.back_up());
    let swap = |file: &str| {
        let (a, b) = (
            place.store.path().join(&first).join(file),
            place.store.path().join(&second).join(file),
        );
        let (in_a, in_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        fs::write(a, in_b).unwrap();
        fs::write(b, in_a).unwrap();
    };
    for file in ["manifest.json", "database.0001.dump.zst"] {
        swap(file);
        for name in [&first, &second] {
            place.ops.expect(9, &["backup", "verify", name]);
            expect_untouched(&place, name).await;
        }
        swap(file);
    }
    let ran = place
        .ops
        .expect(0, &["backup", "verify", "--all", "--json"])
        .json();
    assert_eq!(ran["verified"].as_array().unwrap().len(), 2);
}

/// Somebody changes a row of the dump, and the checksums with it. Files and manifest agree then: only the drill sees it.
#[tokio::test]
async fn one_altered_row_and_one_row_in_another_domain_are_named_by_the_drill() {
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    let (acme, globex) = (
        world.domain(ACME).await.to_string(),
        world.domain("globex").await.to_string(),
    );
    let name = place.back_up();
    forge(&place, &name, "Original 000017", "Tampered 000017", 1);
    place.ops.expect(0, &["backup", "verify", &name]);
    let ran = place.ops.expect(9, &["backup", "drill", &name]);
    assert!(
        ran.stderr.contains("table public.cards, domain acme")
            && ran.stderr.contains("30 rows, of which at least one"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        ran.stderr.matches("table public").count(),
        1,
        "one cell: {}",
        ran.stderr
    );

    // A tag moves to another domain: lost in one, too many in the other.
    world
        .client()
        .batch_execute(&format!(
            "INSERT INTO domain_hosts (domain_id, host) VALUES ('{acme}', 'here.acme.test'), ('{globex}', 'here.globex.test')"
        ))
        .await
        .unwrap();
    let name = place.back_up();
    forge(
        &place,
        &name,
        &format!("{acme}\there.acme.test"),
        &format!("{globex}\there.acme.test"),
        1,
    );
    let ran = place.ops.expect(9, &["backup", "drill", &name]);
    assert!(
        ran.stderr.contains("table public.domain_hosts, domain acme")
            && ran.stderr.contains("0 rows instead of 1"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("domain globex") && ran.stderr.contains("2 rows instead of 1"),
        "{}",
        ran.stderr
    );
    let before = contents(world.client()).await;
    place.ops.expect(9, &["restore", &name, "--force"]);
    assert_eq!(contents(world.client()).await, before);
    let run = world
        .client()
        .query_one(
            "SELECT state, error FROM backup_runs WHERE kind = 'drill' ORDER BY id DESC LIMIT 1",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(run.get::<_, String>(0), "failed");
    assert!(run.get::<_, String>(1).contains("domain_hosts"));
}

/// Replaces text of the same length in the dump, and makes the manifest agree.
fn forge(place: &Place, name: &str, from: &str, to: &str, times: usize) {
    use sha2::{Digest as _, Sha256};
    assert_eq!(from.len(), to.len());
    let path = place.store.path().join(name).join("database.0001.dump.zst");
    let mut dump = Vec::new();
    zstd::Decoder::new(fs::File::open(&path).unwrap())
        .unwrap()
        .read_to_end(&mut dump)
        .unwrap();
    let mut found = 0;
    while let Some(at) = dump
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        dump[at..at + to.len()].copy_from_slice(to.as_bytes());
        found += 1;
    }
    assert_eq!(found, times, "{from}");
    let packed = zstd::encode_all(dump.as_slice(), 3).unwrap();
    fs::write(&path, &packed).unwrap();
    reseal(&place.manifest(name), |manifest| {
        let file = &mut manifest["files"][0];
        let old = file["size"].as_u64().unwrap();
        file["size"] = packed.len().into();
        file["sha256"] = hex::encode(Sha256::digest(&packed)).into();
        manifest["size_bytes"] =
            (manifest["size_bytes"].as_u64().unwrap() - old + packed.len() as u64).into();
    });
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Place::new().await;
    let name = place.back_up();
    reseal(&place.manifest(&name), |manifest| {
        let migrations = manifest["schema"]["migrations"].as_array_mut().unwrap();
        migrations.push("20991231000000".into());
    });
    place.ops.expect(0, &["backup", "verify", &name]);
    for arguments in [&["restore", &name, "--force"][..], &["backup", "drill", &name]] {
        let ran = place.ops.expect(4, arguments);
        assert!(ran.stderr.contains("20991231000000"), "{}", ran.stderr);
    }
    reseal(&place.manifest(&name), |manifest| manifest["format"] = 2.into());
    let ran = place.ops.expect(4, &["backup", "verify", &name]);
    assert!(ran.stderr.contains("format 2"), "{}", ran.stderr);
}
