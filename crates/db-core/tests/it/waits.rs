//! What a request costs: how often the process waits for the database.

use db_core::models::card::{NewCard, Place, card_get, card_insert, card_list, card_move};
use db_core::secrets::keyring::Keyring;
use db_core::secrets::token::TokenHash;
use db_core::{
    Access, BoardId, CardId, Clock, ColumnId, Credential, Db, Origin, PageRequest, Permission, Target,
};
use secrecy::SecretString;
use test_support::{ACME, KEY, TestDatabase, TurnProxy, World};

#[tokio::test]
async fn reads_wait_once_and_writes_three_times() {
    let db = TestDatabase::new().await;
    let proxy = TurnProxy::before(&db.address()).await;
    let mut config = db.config();
    // Requests go through the proxy, the owner past it.
    config.database.address = Some(proxy.address(&db.address()));
    let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
    let opened = Db::open(
        &db.owner(),
        &config.database,
        &config.security,
        &keyring,
        Clock::System,
    )
    .await
    .unwrap();
    let pool = opened.pool(4);

    let world = World::new(db.superuser().await);
    let token = world.session(ACME, world.first_user(ACME).await).await;
    let (board, column) = world.column(ACME).await;
    let (board, column) = (BoardId::new(board), ColumnId::new(column));
    let access = |permission, target| Access {
        credential: Credential::Session(TokenHash::of(&token)),
        permission: Some(permission),
        target,
        origin: Origin::default(),
    };
    let (create, change) = (
        access(Permission::CardCreate, Target::Column(column)),
        access(Permission::CardUpdate, Target::Column(column)),
    );
    let insert = async || {
        let (card, _) = pool
            .write("create", &create, async |tx| {
                let new = NewCard {
                    id: tx.new_id(),
                    column_id: column,
                    title: "Card",
                    description: "",
                    assignee_id: None,
                    due_at: None,
                };
                card_insert(tx, &new).await
            })
            .await
            .unwrap();
        card.id
    };
    let get = async |card: CardId| {
        let access = access(Permission::CardRead, Target::Card(card));
        pool.read_once("get", &access, async |tx| card_get(tx, card).await)
            .await
            .unwrap()
    };
    let list = async || {
        let (access, page) = (
            access(Permission::CardRead, Target::Board(board)),
            PageRequest {
                limit: 50,
                after: None,
            },
        );
        pool.read_once("list", &access, async |tx| {
            card_list(tx, board, &Default::default(), &page).await
        })
        .await
        .unwrap()
    };
    let top = async |card: CardId| {
        pool.write("move", &change, async |tx| {
            card_move(tx, card, None, column, Place::Top).await
        })
        .await
        .unwrap()
    };

    // Once cold: statements are prepared, which costs waits of its own. The pool has one connection.
    let card = insert().await;
    get(card).await;
    list().await;
    top(card).await;
    // The answer to the last COMMIT of a read may still be on its way.
    let settle = async || {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        proxy.take_turns();
    };

    settle().await;
    get(card).await;
    assert_eq!(
        proxy.take_turns(),
        1,
        "card by id: credential, permission and row in one wait"
    );
    settle().await;
    list().await;
    assert_eq!(proxy.take_turns(), 1, "fifty cards");
    settle().await;
    insert().await;
    assert_eq!(
        proxy.take_turns(),
        3,
        "create: locks and number; card; activity and COMMIT"
    );
    settle().await;
    top(card).await;
    assert_eq!(
        proxy.take_turns(),
        3,
        "move: locks and gap; card; activity and COMMIT"
    );
}
