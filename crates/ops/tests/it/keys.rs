//! `plinth-ops keys`: a new key comes, everything goes under it, the old one goes; whatever happens on the way.

use std::time::{Duration, Instant};

use db_core::secrets::keyring::{Keyring, PGP_OPTIONS, Place};
use db_core::{Clock, Db, PLATFORM_DOMAIN};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use test_support::{KEY, Ran, TestDatabase};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::backup_kills::{moment, rounds};
use crate::support::{Ops, kill_9, wait_until};

const NEW: &str = "new:another-key-0123456789abcdef0123456789abcdef";
const MANY: i32 = 20_000;

fn ops(database: &TestDatabase, keys: &str) -> Ops {
    Ops::new()
        .with("DATABASE_URL", &database.url("plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", keys)
}

fn ring(keys: &str) -> Keyring {
    Keyring::parse(&SecretString::from(keys)).unwrap()
}

/// The one with the id, and how many values it protects.
fn key<'a>(listed: &'a Value, id: &str) -> (&'a Value, u64) {
    let keys = listed["keys"].as_array().unwrap();
    let key = keys
        .iter()
        .find(|key| key["id"] == id)
        .unwrap_or_else(|| panic!("{id} in {listed:#}"));
    let protects = key["protects"].as_array().unwrap();
    (
        key,
        protects.iter().map(|one| one["values"].as_u64().unwrap()).sum(),
    )
}

#[tokio::test]
async fn a_new_key_comes_and_the_old_one_goes() {
    let database = TestDatabase::new().await;
    let (before, during, after) = (
        ops(&database, KEY),
        ops(&database, &format!("{NEW},{KEY}")),
        ops(&database, NEW),
    );
    let old = ring(KEY).newest_id().to_owned();
    let listed = before.expect(0, &["keys", "list", "--json"]).json();
    let (one, values) = key(&listed, &old);
    assert!(
        one["newest"] == true && one["remembered"] == true && values >= 1,
        "{listed:#}"
    );
    before.expect(12, &["keys", "retire", &old]);
    let ran = before.expect(12, &["keys", "retire", &old, "--json"]);
    assert!(ran.stderr.contains("newest"), "{}", ran.stderr);

    // Without the old one nothing works, and nothing is changed.
    for arguments in [
        &["keys", "rotate"][..],
        &["domain", "create", "x", "--admin-email", "a@x.test"],
    ] {
        let ran = after.expect(1, arguments);
        assert!(
            ran.stderr.contains("not in POSTGRES_ENCRYPTION_KEY"),
            "{}",
            ran.stderr
        );
    }
    let ran = during.expect(12, &["keys", "retire", &old]);
    assert!(
        ran.stderr.contains(&format!(
            "installation_secrets.ciphertext ({values} values under {old})"
        )),
        "{}",
        ran.stderr
    );
    let ran = during.expect(0, &["keys", "rotate", "--json"]);
    assert_eq!(ran.json()["rotated"]["values"], values);
    assert!(
        ran.stderr.contains("installation_secrets.ciphertext: 0 of"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        during.expect(0, &["keys", "rotate", "--json"]).json()["rotated"]["values"],
        0
    );
    let listed = during.expect(0, &["keys", "list", "--json"]).json();
    assert_eq!((key(&listed, "new").1, key(&listed, &old).1), (values, 0));
    assert_eq!(key(&listed, &old).0["remembered"], true);
    // Still remembered: nobody starts without it.
    after.expect(1, &["domain", "create", "x", "--admin-email", "a@x.test"]);
    let ran = during.expect(0, &["keys", "retire", &old]);
    assert!(
        ran.stdout.contains("take it out of POSTGRES_ENCRYPTION_KEY"),
        "{}",
        ran.stdout
    );
    let ran = during.expect(0, &["keys", "retire", &old]);
    assert!(ran.stdout.contains("already"), "{}", ran.stdout);
    during.expect(64, &["keys", "retire", "nobody"]);
    after.expect(0, &["domain", "create", "x", "--admin-email", "a@x.test"]);
    before.expect(1, &["domain", "create", "y", "--admin-email", "a@y.test"]);

    // The passwords of before live on: the pepper is what it was.
    let config = database.config();
    let db = Db::open(
        &database.owner(),
        &config.database,
        &config.security,
        &ring(NEW),
        Clock::System,
    )
    .await
    .unwrap();
    let sign_in = db_core::models::session::SignIn {
        host: None,
        domain: Some(test_support::ACME),
        email: "operator@plinth.test",
        password: &SecretString::from(test_support::PASSWORD),
        user_agent: None,
        idle: Duration::from_secs(60),
        lifetime: Duration::from_secs(60),
    };
    db.pool(1)
        .sign_in(&sign_in, &db_core::Origin::default())
        .await
        .unwrap();
    let noted: Vec<String> = database
        .superuser()
        .await
        .query(
            "SELECT action FROM activity_stream WHERE action LIKE 'installation.key%' ORDER BY id",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(noted, ["installation.keys_rotated", "installation.key_retired"]);
    let text = after.expect(0, &["keys", "list"]).stdout;
    assert!(text.contains("newest: encrypts"), "{text}");
}

#[test]
fn what_is_no_installation_or_no_key_is_told_apart() {
    let ops = Ops::new().with("DATABASE_URL", "postgresql://plinth@127.0.0.1:1/plinth");
    let ran = ops.expect(1, &["keys", "list"]);
    assert!(ran.stderr.contains("POSTGRES_ENCRYPTION_KEY"), "{}", ran.stderr);
    ops.with("POSTGRES_ENCRYPTION_KEY", KEY)
        .expect(7, &["keys", "list"]);
}

#[tokio::test]
async fn a_database_that_is_not_set_up_is_8() {
    let database = TestDatabase::empty().await;
    let ops = ops(&database, KEY);
    ops.expect(0, &["migrate", "run"]);
    ops.expect(8, &["keys", "list"]);
    ops.expect(8, &["keys", "rotate"]);
}

/// The owner that managed services give: row level security holds it, and what it rotates is all there is.
#[tokio::test]
async fn an_owner_that_is_no_superuser_rotates_too() {
    let (database, owner, _) = crate::backup_owner::owned().await;
    let url = database.url(&owner);
    let ops = Ops::new()
        .with("DATABASE_URL", &url)
        .with("POSTGRES_ENCRYPTION_KEY", &format!("{NEW},{KEY}"));
    assert!(
        ops.expect(0, &["keys", "rotate", "--json"]).json()["rotated"]["values"]
            .as_u64()
            .unwrap()
            > 0
    );
    let old = ring(KEY).newest_id().to_owned();
    ops.expect(0, &["keys", "retire", &old]);
    crate::backup_owner::clean(&database, &owner, &database.superuser().await).await;
}

fn place(label: &str, id: i32) -> Place<'_> {
    Place {
        label,
        domain: PLATFORM_DOMAIN,
        row: Uuid::from_u128(u128::from(id.unsigned_abs())),
    }
}

/// Twenty thousand secrets of the installation, under the old key.
async fn many(client: &Client) {
    let old = ring(KEY);
    let keys: Vec<String> = (1..=MANY)
        .map(|id| {
            let key = old
                .derive(old.newest_id(), place("installation_secrets.test", id))
                .unwrap();
            key.expose_secret().to_owned()
        })
        .collect();
    client
        .execute(
            "INSERT INTO installation_secrets (name, id, key_id, ciphertext)
             SELECT 'test', n, $2, pgp_sym_encrypt('value ' || n, k, $3) FROM unnest($1::text[]) WITH ORDINALITY t(k, n)",
            &[&keys, &old.newest_id(), &PGP_OPTIONS],
        )
        .await
        .unwrap();
}

/// Each is what it was, under the key that it names.
async fn expect_whole(client: &Client) {
    let both = ring(&format!("{NEW},{KEY}"));
    let rows = client
        .query(
            "SELECT id, key_id FROM installation_secrets WHERE name = 'test' ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), MANY as usize);
    let keys: Vec<String> = rows
        .iter()
        .map(|row| {
            let key = both
                .derive(row.get(1), place("installation_secrets.test", row.get(0)))
                .unwrap();
            key.expose_secret().to_owned()
        })
        .collect();
    let good: i64 = client
        .query_one(
            "SELECT count(*) FROM unnest($1::text[]) WITH ORDINALITY t(k, n)
               JOIN installation_secrets s ON s.name = 'test' AND s.id = n AND pgp_sym_decrypt(s.ciphertext, k) = 'value ' || n",
            &[&keys],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(good, i64::from(MANY));
}

#[tokio::test]
async fn killed_at_random_moments_it_goes_on_where_it_was() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    many(&client).await;
    // There and back, so that there is always something to do.
    let ways = [
        ops(&database, &format!("{NEW},{KEY}")),
        ops(&database, &format!("{KEY},{NEW}")),
    ];
    let started = Instant::now();
    ways[0].expect(0, &["keys", "rotate"]);
    let whole = started.elapsed();
    let mut half_way = 0;
    for round in 1..=rounds() as usize {
        let child = ways[round % 2].spawn(&["keys", "rotate"]);
        // Half of them anywhere, half of them in the middle for sure.
        if round % 4 < 2 {
            std::thread::sleep(moment(whole));
        } else {
            let newest = if round % 2 == 0 { "=" } else { "<>" };
            let begun = format!(
                "SELECT EXISTS (SELECT FROM installation_secrets WHERE name = 'test' AND key_id {newest} 'new')"
            );
            wait_until(&client, &begun).await;
        }
        kill_9(child);
        let under: i64 = client
            .query_one(
                "SELECT count(*) FROM installation_secrets WHERE name = 'test' AND key_id = 'new'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        half_way += i32::from(under > 0 && under < i64::from(MANY));
        expect_whole(&client).await;
        // No lock of the dead keeps anybody waiting, and nothing needs mending.
        ways[round % 2].expect(0, &["keys", "rotate"]);
        expect_whole(&client).await;
    }
    assert!(half_way > 0, "never killed in the middle");
    ways[0].expect(0, &["keys", "rotate"]);
    ways[0].expect(0, &["keys", "retire", ring(KEY).newest_id()]);
    ops(&database, NEW).expect(0, &["domain", "create", "x", "--admin-email", "a@x.test"]);
}

#[tokio::test]
async fn two_at_once_share_the_work() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    many(&client).await;
    let ops = ops(&database, &format!("{NEW},{KEY}"));
    let children: Vec<_> = (0..2).map(|_| ops.spawn(&["keys", "rotate", "--json"])).collect();
    let mut rotated = 0;
    for child in children {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        rotated += ran.json()["rotated"]["values"].as_u64().unwrap();
    }
    let all: i64 = client
        .query_one(
            "SELECT count(*) FROM installation_secrets WHERE key_id = 'new'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(rotated, u64::try_from(all).unwrap(), "each value once");
    expect_whole(&client).await;
}
