//! An archive that is not what was written, or does not fit, changes nothing.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use test_support::{ACME, GLOBEX};

use crate::domain_fixture::Two;

/// A number below the bound.
fn below(bound: usize) -> usize {
    let bytes = db_core::random_bytes::<8>();
    usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap()
}

#[tokio::test]
async fn bit_flips_and_truncations_are_found() {
    let two = Two::new().await;
    let archive = two.export(ACME, "acme.tar");
    let good = fs::read(&archive).unwrap();
    two.world
        .client()
        .execute("DELETE FROM card_tags WHERE domain_id = $1", &[&two.acme])
        .await
        .unwrap();
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    for round in 0..24 {
        let mut bad = good.clone();
        let what = if round < 16 {
            let (byte, bit) = (below(bad.len()), below(8));
            bad[byte] ^= 1 << bit;
            format!("byte {byte}, bit {bit}")
        } else {
            let to = [bad.len() - 1, 71, 0]
                .get(round - 16)
                .copied()
                .unwrap_or_else(|| below(good.len()));
            bad.truncate(to);
            format!("cut at {to}")
        };
        fs::write(&archive, &bad).unwrap();
        let ran = two
            .ops
            .expect(9, &["domain", "restore", &archive, "--replace", "--yes"]);
        assert!(ran.stderr.contains("acme.tar"), "{what}: {}", ran.stderr);
        if round % 4 == 0 {
            two.ops
                .expect(9, &["domain", "copy", "--from-archive", &archive, "--as", "twin"]);
        }
    }
    assert_eq!(two.rows(two.acme).await, rows);
    assert_eq!(two.others(two.acme).await, others);
    fs::write(&archive, &good).unwrap();
    two.ops
        .expect(0, &["domain", "restore", &archive, "--replace", "--yes"]);
}

/// Writes an archive anew, as somebody would who knows its format: rows and manifest changed, sizes and checksum right.
fn forge(archive: &str, rows: impl Fn(&str, String) -> String, manifest: impl Fn(&mut Value)) {
    let path = Path::new(archive);
    let mut files = Vec::new();
    let mut tar = tar::Archive::new(fs::File::open(path).unwrap());
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
    let (_, text) = files.pop().unwrap();
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    for (name, bytes) in &mut files {
        let table = value["tables"]
            .as_array()
            .unwrap()
            .iter()
            .find(|table| table["file"] == name.as_str())
            .unwrap();
        let plain = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
        let changed = rows(table["name"].as_str().unwrap(), plain);
        *bytes = zstd::encode_all(changed.as_bytes(), 3).unwrap();
    }
    manifest(&mut value);
    files.push((
        "manifest.json".to_owned(),
        serde_json::to_vec_pretty(&value).unwrap(),
    ));
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let mut file = tar.into_inner().unwrap();
    let digest = hex::encode(Sha256::digest(fs::read(path).unwrap()));
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(format!("sha256 {digest}\n").as_bytes()).unwrap();
}

#[tokio::test]
async fn forged_rows_are_refused_whatever_the_checksums_say() {
    let two = Two::new().await;
    let archive = two.export(ACME, "acme.tar");
    let good = fs::read(&archive).unwrap();
    let (acme, globex) = (two.acme.to_string(), two.globex.to_string());
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let restore = ["domain", "restore", archive.as_str(), "--replace", "--yes"];
    let same = |_: &str, rows: String| rows;
    let refused = |code: i32, word: &str| {
        let ran = two.ops.expect(code, &restore);
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        fs::write(&archive, &good).unwrap();
    };
    // A row of another domain; its own hash may be right.
    forge(
        &archive,
        |table, rows| match table {
            "public.tags" => rows.replace(&acme, &globex),
            _ => rows,
        },
        |_| {},
    );
    refused(9, "belong to another domain");
    // A whole other domain under this one's name.
    forge(&archive, |_, rows| rows.replace(&acme, &globex), |_| {});
    refused(9, "belong to another domain");
    // A row that is altered, lost, or twice there.
    forge(
        &archive,
        |_, rows| rows.replace("Original 000007", "Tampered 000007"),
        |_| {},
    );
    refused(9, "table public.cards: 22 rows, of which at least one");
    forge(
        &archive,
        |table, rows| match table {
            "public.cards" => rows.lines().skip(1).map(|line| format!("{line}\n")).collect(),
            _ => rows,
        },
        |_| {},
    );
    refused(9, "table public.cards: 21 rows instead of 22");
    // Text that is no row at all.
    forge(
        &archive,
        |table, rows| match table {
            "public.tags" => "nonsense\n".to_owned(),
            _ => rows,
        },
        |_| {},
    );
    refused(9, "public.tags");
    // The platform domain.
    forge(&archive, same, |manifest| {
        manifest["domain"]["id"] = "00000000-0000-7000-8000-000000000000".into();
    });
    refused(64, "platform domain");
    // Newer than this program: its format, its schema.
    forge(&archive, same, |manifest| manifest["format"] = 2.into());
    refused(4, "format 2");
    forge(&archive, same, |manifest| {
        manifest["migrations"]
            .as_array_mut()
            .unwrap()
            .push("20991231000000".into());
    });
    refused(4, "20991231000000");
    // Older.
    forge(&archive, same, |manifest| {
        manifest["migrations"].as_array_mut().unwrap().pop();
    });
    refused(4, "another schema");
    forge(&archive, same, |manifest| {
        manifest["fingerprint"] = "0".repeat(64).into()
    });
    refused(4, "another schema");
    // Keys that nobody here has.
    forge(&archive, same, |manifest| {
        manifest["key_ids"] = serde_json::json!(["k1"]);
        manifest["key_fingerprints"] = serde_json::json!(["00000000000000000000000000000000"]);
    });
    refused(1, "secrets that could not be read");
    // A file that the manifest does not list, and one that is missing.
    forge(&archive, same, |manifest| {
        let tables = manifest["tables"].as_array_mut().unwrap();
        let cards = tables
            .iter_mut()
            .find(|table| table["name"] == "public.cards")
            .unwrap();
        cards["file"] = Value::Null;
    });
    refused(9, "does not list");
    assert_eq!(two.rows(two.acme).await, rows);
    assert_eq!(two.others(two.acme).await, others);
    // Good as new.
    two.ops.expect(0, &restore);
    assert_eq!(two.rows(two.acme).await, rows);
    assert_eq!(two.world.domain(GLOBEX).await, two.globex);
}
