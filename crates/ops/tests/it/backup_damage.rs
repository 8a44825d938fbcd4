//! What happened to a backup in its store is found, by `verify` and by `restore` before anything is touched.

use std::fs;
use std::io::Read as _;

use sha2::{Digest as _, Sha256};
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
    assert!(files.len() == 5, "{files:?}");
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
    assert_eq!(tried, 30);
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
    let first = place.back_up();
    // Two dumps of one schema in one second are the same file.
    let client = place.database.superuser().await;
    let other = "COMMENT ON TABLE cards IS 'Another schema.'";
    client.batch_execute(other).await.unwrap();
    let second = place.back_up();
    let swap = |file: &str| {
        let (a, b) = (
            place.store.path().join(&first).join(file),
            place.store.path().join(&second).join(file),
        );
        let (in_a, in_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        assert_ne!(in_a, in_b, "{file}");
        fs::write(a, in_b).unwrap();
        fs::write(b, in_a).unwrap();
    };
    for file in [
        "manifest.json",
        "database.0001.dump.zst",
        "rows.0001.copy.zst",
        "index.0001.tsv.zst",
    ] {
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
    forge(&place, &name, b"Original 000017", b"Tampered 000017");
    place.ops.expect(0, &["backup", "verify", &name]);
    place.forget().await;
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
    // As COPY's binary format has it: the id, and the length of what follows.
    let row = |domain: &str| {
        let domain: uuid::Uuid = domain.parse().unwrap();
        [&domain.as_bytes()[..], &[0, 0, 0, 14], b"here.acme.test"].concat()
    };
    forge(&place, &name, &row(&acme), &row(&globex));
    place.forget().await;
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

/// Replaces bytes of one row in the rows, and makes directories, index and manifest agree: written after the document, not with
/// the program's own code.
fn forge(place: &Place, name: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let folder = place.store.path().join(name);
    let stored = fs::read(folder.join("rows.0001.copy.zst")).unwrap();
    let mut index = String::new();
    zstd::Decoder::new(fs::File::open(folder.join("index.0001.tsv.zst")).unwrap())
        .unwrap()
        .read_to_string(&mut index)
        .unwrap();
    let (mut rows, mut lines, mut found) = (Vec::new(), String::new(), 0);
    for line in index.lines() {
        let mut fields: Vec<String> = line.split('\t').map(ToOwned::to_owned).collect();
        let number = |field: usize| fields[field].parse::<usize>().unwrap();
        let (offset, length, head) = (number(1), number(2), number(3));
        let chunk = &stored[offset..offset + length];
        let (mut directory, mut at, mut frames) = (chunk[..head].to_vec(), head, Vec::new());
        for entry in directory[8..].chunks_exact_mut(30) {
            let packed = u32::from_le_bytes(entry[6..10].try_into().unwrap()) as usize;
            let mut plain = zstd::decode_all(&chunk[at..at + packed]).unwrap();
            at += packed;
            while let Some(place) = plain.windows(from.len()).position(|window| window == from) {
                plain[place..place + to.len()].copy_from_slice(to);
                found += 1;
            }
            let frame = zstd::bulk::compress(&plain, 3).unwrap();
            entry[6..10].copy_from_slice(&u32::try_from(frame.len()).unwrap().to_le_bytes());
            entry[14..].copy_from_slice(&Sha256::digest(&frame)[..16]);
            frames.extend(frame);
        }
        fields[1] = rows.len().to_string();
        fields[2] = (head + frames.len()).to_string();
        fields[5] = hex::encode(Sha256::digest(&directory));
        rows.extend(directory.into_iter().chain(frames));
        lines.push_str(&fields.join("\t"));
        lines.push('\n');
    }
    assert_eq!(found, 1);
    let index = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    reseal(&place.manifest(name), |manifest| {
        let mut sum = 0;
        for file in manifest["files"].as_array_mut().unwrap() {
            let bytes = match file["part"].as_str().unwrap() {
                "rows" => Some(&rows),
                "index" => Some(&index),
                _ => None,
            };
            if let Some(bytes) = bytes {
                fs::write(folder.join(file["name"].as_str().unwrap()), bytes).unwrap();
                file["size"] = bytes.len().into();
                file["sha256"] = hex::encode(Sha256::digest(bytes)).into();
            }
            sum += file["size"].as_u64().unwrap();
        }
        manifest["size_bytes"] = sum.into();
        manifest["unpacked"]["index"] = lines.len().into();
    });
}

/// What is read of a backup for one domain is held against checksums of its own.
#[tokio::test]
async fn what_is_damaged_of_one_domain_is_found_when_it_is_taken_out_alone() {
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    let (acme, globex) = (world.domain(ACME).await, world.domain("globex").await);
    let name = place.back_up();
    let before = contents(world.client()).await;
    let take = |code: i32, to: &str| {
        let arguments = ["domain", "export", ACME, "--from-backup", &name, "--to", to];
        place.ops.expect(code, &arguments)
    };
    take(0, "whole.tar");
    // Every frame that has rows of the domain, and every directory: one bit of each.
    let file = place.store.path().join(&name).join("rows.0001.copy.zst");
    let good = fs::read(&file).unwrap();
    let mut index = String::new();
    zstd::Decoder::new(fs::File::open(place.store.path().join(&name).join("index.0001.tsv.zst")).unwrap())
        .unwrap()
        .read_to_string(&mut index)
        .unwrap();
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for line in index.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |field: usize| fields[field].parse::<usize>().unwrap();
        let (offset, head) = (number(1), number(3));
        own.push(offset + 8 + below(head - 8));
        let mut at = offset + head;
        for entry in good[offset + 8..offset + head].chunks_exact(30) {
            let group = u16::from_le_bytes(entry[..2].try_into().unwrap());
            let length = u32::from_le_bytes(entry[6..10].try_into().unwrap()) as usize;
            let byte = at + below(length);
            at += length;
            if group == 256 || group == u16::from(acme.as_bytes()[15]) {
                own.push(byte);
            } else if group < 256 {
                others.push(byte);
            }
        }
        assert_eq!(at, offset + number(2), "frames fill the chunk");
    }
    // Once in 256 runs both domains' rows are packed together.
    let apart = acme.as_bytes()[15] != globex.as_bytes()[15];
    assert!(
        own.len() > 20 && (others.len() > 5) == apart,
        "{} {}",
        own.len(),
        others.len()
    );
    let flip = |byte: usize| {
        let mut bad = good.clone();
        bad[byte] ^= 1 << below(8);
        fs::write(&file, bad).unwrap();
    };
    for _ in 0..8 {
        flip(own[below(own.len())]);
        let ran = take(9, "damaged.tar");
        assert!(
            ran.stderr.contains("is not what was stored") || ran.stderr.contains("are not what was stored"),
            "{}",
            ran.stderr
        );
        assert!(!place.ops.directory.path().join("damaged.tar").exists());
    }
    // Others' rows are not looked at.
    if apart {
        flip(others[below(others.len())]);
        take(0, "others.tar");
    }
    // Cut off, missing, or with a part of another backup.
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    take(9, "damaged.tar");
    fs::remove_file(&file).unwrap();
    take(9, "damaged.tar");
    fs::write(&file, &good).unwrap();
    forge(&place, &name, b"Original 000017", b"Tampered 000017");
    let ran = take(9, "damaged.tar");
    assert!(
        ran.stderr.contains("table public.cards, domain acme"),
        "{}",
        ran.stderr
    );
    place.ops.expect(
        9,
        &[
            "domain",
            "restore",
            ACME,
            "--from-backup",
            &name,
            "--replace",
            "--yes",
        ],
    );
    assert_eq!(contents(world.client()).await, before);
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
    for (format, program) in [(1, "older"), (3, "newer")] {
        reseal(&place.manifest(&name), |manifest| {
            manifest["format"] = format.into()
        });
        let ran = place.ops.expect(4, &["backup", "verify", &name]);
        assert!(
            ran.stderr.contains(&format!("format {format}"))
                && ran.stderr.contains(&format!("use the {program} one")),
            "{}",
            ran.stderr
        );
    }
}
