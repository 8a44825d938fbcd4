//! Tenant transactions: nothing leaks from one to the next, whatever happens to the first.

use std::time::Duration;

use db_core::models::card::{CardPatch, NewCard, card_get, card_insert, card_update};
use db_core::models::organization::{
    NewOrganization, organization_get, organization_insert, organization_list,
};
use db_core::models::session::session_revoke_others;
use db_core::secrets::token::TokenHash;
use db_core::{
    Access, CardId, ColumnId, Credential, Error, Origin, PageRequest, Permission, Pool, Target, Tx, WriteTx,
};
use test_support::{ACME, GLOBEX, TestDatabase, World};

struct Scene {
    db: TestDatabase,
    world: World,
    pool: Pool,
}

async fn scene() -> Scene {
    let db = TestDatabase::new().await;
    let world = World::new(db.superuser().await);
    // One connection: whatever a transaction leaves behind, the next one finds.
    let pool = db.db().await.pool(4);
    Scene { db, world, pool }
}

impl Scene {
    async fn access(&self, slug: &str, permission: Permission) -> Access {
        let token = self.world.session(slug, self.world.first_user(slug).await).await;
        Access {
            credential: Credential::Session(TokenHash::of(&token)),
            permission: Some(permission),
            target: Target::Domain,
            origin: Origin::default(),
        }
    }

    async fn organizations(&self, access: &Access) -> Vec<String> {
        let page = PageRequest {
            limit: 50,
            after: None,
        };
        let listed = self
            .pool
            .read("list", access, async |tx| organization_list(tx, &page).await)
            .await
            .unwrap();
        listed.rows.into_iter().map(|row| row.slug).collect()
    }
}

async fn insert(tx: &WriteTx<'_>, slug: &str) -> db_core::Result<()> {
    organization_insert(
        tx,
        &NewOrganization {
            id: tx.new_id(),
            slug,
            name: slug,
        },
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing_for_the_next_tenant() {
    let scene = scene().await;
    let (acme, globex) = (
        scene.access(ACME, Permission::OrganizationCreate).await,
        scene.access(GLOBEX, Permission::OrganizationRead).await,
    );
    for _ in 0..20 {
        let abandoned = scene.pool.write("abandoned", &acme, async |tx| {
            insert(tx, "half-done").await?;
            std::future::pending::<db_core::Result<()>>().await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(15), abandoned)
                .await
                .is_err()
        );
        let abandoned = scene.pool.read("abandoned", &acme, async |_: &Tx<'_>| {
            std::future::pending::<db_core::Result<()>>().await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(5), abandoned)
                .await
                .is_err()
        );
        assert_eq!(scene.organizations(&globex).await, Vec::<String>::new());
    }
    let left: i64 = scene
        .world
        .client()
        .query_one("SELECT count(*) FROM organizations", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_read_of_one_statement_ends_its_transaction_behind_it() {
    let scene = scene().await;
    let (acme, globex) = (
        scene.access(ACME, Permission::OrganizationCreate).await,
        scene.access(GLOBEX, Permission::OrganizationRead).await,
    );
    let id = scene
        .pool
        .write("insert", &acme, async |tx| {
            let id = tx.new_id();
            organization_insert(
                tx,
                &NewOrganization {
                    id,
                    slug: "seen",
                    name: "seen",
                },
            )
            .await?;
            Ok(id)
        })
        .await
        .unwrap();
    for _ in 0..20 {
        // A pool of its own: on its connections nothing is prepared yet, and COMMIT must not overtake the statement.
        let pool = scene.db.db().await.pool(4);
        for _ in 0..2 {
            let found = pool.read_once("get", &acme, async |tx| organization_get(tx, id).await);
            assert_eq!(found.await.unwrap().slug, "seen");
            let other = pool.read_once("get", &globex, async |tx| organization_get(tx, id).await);
            assert!(matches!(other.await, Err(Error::NotFound("organization"))));
        }
        let abandoned = pool.read_once("abandoned", &acme, async |_| {
            std::future::pending::<db_core::Result<()>>().await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(5), abandoned)
                .await
                .is_err()
        );
        let nothing_asked = pool.read_once("nothing", &acme, async |_| Ok(()));
        nothing_asked.await.unwrap();
        let stranger = Access {
            credential: Credential::Session(TokenHash::of("nobody")),
            ..acme.clone()
        };
        let refused = pool.read_once("refused", &stranger, async |tx| organization_get(tx, id).await);
        assert!(matches!(refused.await, Err(Error::Unauthenticated)));
    }
    let inside: i64 = scene
        .world
        .client()
        .query_one(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(inside, 0);
}

#[tokio::test]
async fn a_change_that_is_not_recorded_is_not_made() {
    let scene = scene().await;
    let access = scene.access(ACME, Permission::UserUpdate).await;
    let user = scene.world.first_user(ACME).await;
    let forgetful = scene
        .pool
        .write("forgetful", &access, async |tx| {
            session_revoke_others(tx, user.into()).await
        })
        .await;
    assert!(matches!(forgetful, Err(Error::Internal(_))), "{forgetful:?}");
    let revoked = "SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL";
    assert_eq!(
        scene
            .world
            .client()
            .query_one(revoked, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );

    let nothing = scene.pool.write("nothing", &access, async |tx| {
        tx.unchanged();
        Ok(())
    });
    nothing.await.unwrap();
}

#[tokio::test]
async fn a_failed_closure_leaves_nothing_and_a_refusal_runs_nothing() {
    let scene = scene().await;
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    let failed = scene
        .pool
        .write("failing", &access, async |tx| {
            insert(tx, "gone").await?;
            Err::<(), _>(Error::conflict("test", "on purpose"))
        })
        .await;
    assert!(
        matches!(failed, Err(Error::Conflict { code: "test", .. })),
        "{failed:?}"
    );

    let stranger = Access {
        credential: Credential::Session(TokenHash::of("nobody")),
        ..access.clone()
    };
    let refused = scene
        .pool
        .write("refused", &stranger, async |tx| insert(tx, "planted").await)
        .await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    assert_eq!(scene.organizations(&access).await, Vec::<String>::new());
    scene
        .pool
        .write("good", &access, async |tx| insert(tx, "good").await)
        .await
        .unwrap();
    assert_eq!(scene.organizations(&access).await, ["good"]);
}

#[tokio::test]
async fn a_lost_connection_costs_no_request() {
    let scene = scene().await;
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    scene
        .pool
        .write("first", &access, async |tx| insert(tx, "first").await)
        .await
        .unwrap();
    for round in 0..5 {
        scene
            .world
            .client()
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND usename LIKE 'plinth_app_%'",
                &[],
            )
            .await
            .unwrap();
        if round % 2 == 0 {
            assert!(scene.organizations(&access).await.contains(&"first".to_owned()));
        } else {
            let slug = format!("round-{round}");
            scene
                .pool
                .write("again", &access, async |tx| insert(tx, &slug).await)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_deadlock_is_resolved_by_running_again() {
    let scene = scene().await;
    let access = scene.access(ACME, Permission::CardUpdate).await;
    let pool = scene.db.db().await.pool(1);
    let (_, column) = scene.world.column(ACME).await;
    let mut cards: Vec<CardId> = Vec::new();
    for title in ["A", "B"] {
        let (card, _) = pool
            .write("create", &access, async |tx| {
                let new = NewCard {
                    id: tx.new_id(),
                    column_id: ColumnId::new(column),
                    title,
                    description: "",
                    assignee_id: None,
                    due_at: None,
                };
                card_insert(tx, &new).await
            })
            .await
            .unwrap();
        cards.push(card.id);
    }
    let touch_both = async |first: CardId, second: CardId| {
        pool.write("both", &access, async |tx| {
            card_update(
                tx,
                first,
                None,
                &CardPatch {
                    title: Some("x".to_owned()),
                    ..CardPatch::default()
                },
            )
            .await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            card_update(
                tx,
                second,
                None,
                &CardPatch {
                    title: Some("y".to_owned()),
                    ..CardPatch::default()
                },
            )
            .await
        })
        .await
    };
    let [a, b] = cards[..] else { panic!("two cards") };
    let (one, two) = tokio::join!(touch_both(a, b), touch_both(b, a));
    one.unwrap();
    two.unwrap();
    let access = Access {
        permission: Some(Permission::CardRead),
        ..access
    };
    let card = pool
        .read("get", &access, async |tx| card_get(tx, a).await)
        .await
        .unwrap();
    assert_eq!(card.version, 3, "each of the two changed it once");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_cut_off() {
    let scene = scene().await;
    let mut config = scene.db.config();
    config.database.statement_timeout = Duration::from_millis(200);
    let keyring =
        db_core::secrets::keyring::Keyring::parse(&secrecy::SecretString::from(test_support::KEY)).unwrap();
    let db = db_core::Db::open(
        &scene.db.owner(),
        &config.database,
        &config.security,
        &keyring,
        db_core::Clock::System,
    )
    .await
    .unwrap();
    let pool = db.pool(1);
    let access = scene.access(ACME, Permission::OrganizationRead).await;
    scene
        .world
        .client()
        .batch_execute("BEGIN; LOCK organizations IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let id = db_core::Clock::System.id();
    let result = pool
        .read("blocked", &access, async |tx| organization_get(tx, id).await)
        .await;
    assert!(matches!(result, Err(Error::Timeout)), "{result:?}");
    scene.world.client().batch_execute("ROLLBACK").await.unwrap();
    let result = pool
        .read("free", &access, async |tx| organization_get(tx, id).await)
        .await;
    assert!(
        matches!(result, Err(Error::NotFound("organization"))),
        "{result:?}"
    );
}
