//! The last Admin of a domain stays, whatever happens at once.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::ACME;

use crate::app::TestApp;
use crate::people::{Person, first_admin, noted, noted_at_all, person, with, within};

const FAR: &str = "2999-01-01T00:00:00Z";

fn give(role: SystemRole) -> Value {
    json!({"role_id": role.id()})
}

#[tokio::test]
async fn the_last_admin_stays() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let own = admin.actor.get(&admin.roles()).await.expect(200)["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let own = format!("{}/{own}", admin.roles());
    let board = app.board(&admin.actor).await;
    // None of these is another Admin: one with an end, one of an organization, one who is deactivated, one elsewhere.
    let hour = json!({"role_id": SystemRole::Admin.id(), "expires_at": FAR});
    admin
        .actor
        .post(&person(&app).await.roles(), &hour)
        .await
        .expect(201);
    within(&app, SystemRole::Admin, &board.organization).await;
    let gone = with(&app, SystemRole::Admin).await;
    app.world
        .client()
        .execute(
            "UPDATE users SET status = 'deactivated' WHERE id = $1",
            &[&gone.id],
        )
        .await
        .unwrap();
    let before = noted_at_all(&app).await;
    assert_eq!(admin.actor.delete(&own).await.problem(409), "last_admin");
    assert_eq!(noted_at_all(&app).await, before);
    admin.actor.get("/api/v1/activity").await.expect(200);
    // Other roles of the last Admin may go, and with a second Admin the first may.
    let viewer = admin
        .actor
        .post(&admin.roles(), &give(SystemRole::Viewer))
        .await
        .expect(201);
    admin
        .actor
        .delete(&format!("{}/{}", admin.roles(), viewer["id"].as_str().unwrap()))
        .await
        .expect(204);
    with(&app, SystemRole::Admin).await;
    admin.actor.delete(&own).await.expect(204);
    admin.actor.get("/api/v1/activity").await.problem(403);
}

#[tokio::test]
async fn the_last_admin_survives_two_demotions_at_once() {
    let app = TestApp::start().await;
    let pair: [Person; 2] = [first_admin(&app).await, person(&app).await];
    let clear = "DELETE FROM user_roles WHERE user_id = ANY ($1)";
    for round in 0..50 {
        let ids = [pair[0].id, pair[1].id];
        app.world
            .client()
            .execute(clear, &[&ids.as_slice()])
            .await
            .unwrap();
        let mut assigned = Vec::new();
        for person in &pair {
            let id = app
                .world
                .assign(ACME, person.id, SystemRole::Admin, None, None)
                .await;
            assigned.push(format!("{}/{id}", person.roles()));
        }
        // In even rounds each demotes the other, in odd ones each resigns.
        let (first, second) = (&assigned[(round + 1) % 2], &assigned[round % 2]);
        let (one, two) =
            futures_util::future::join(pair[0].actor.delete(first), pair[1].actor.delete(second)).await;
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 204, "round {round}: {} {}", one.text, two.text);
        // The one who came second resigns as the last, or is no Admin any more.
        assert!(
            matches!(statuses[1], 403 | 409),
            "round {round}: {} {}",
            one.text,
            two.text
        );
        let left: i64 = app
            .world
            .client()
            .query_one(
                "SELECT count(*) FROM user_roles WHERE user_id = ANY ($1)",
                &[&ids.as_slice()],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(left, 1, "round {round}");
    }
    assert_eq!(noted(&app, "role.revoke", "success").await, 50);
}

#[tokio::test]
async fn demotions_take_turns() {
    let app = TestApp::start().await;
    let (one, two) = (first_admin(&app).await, with(&app, SystemRole::Admin).await);
    let mut paths = Vec::new();
    for admin in [&one, &two] {
        let held = admin.actor.get(&admin.roles()).await.expect(200);
        paths.push(format!(
            "{}/{}",
            admin.roles(),
            held["items"][0]["id"].as_str().unwrap()
        ));
    }
    // While somebody else holds the domain's turn, both resignations are on their way, and neither is decided.
    let holder = app.db.superuser().await;
    let domain = app.world.domain(ACME).await.to_string();
    holder
        .execute(
            "SELECT pg_advisory_lock(hashtextextended('plinth_last_admin ' || $1, 0))",
            &[&domain],
        )
        .await
        .unwrap();
    let resign =
        |actor: test_support::Actor, path: String| tokio::spawn(async move { actor.delete(&path).await });
    let requests = [
        resign(one.actor.clone(), paths.remove(0)),
        resign(two.actor.clone(), paths.remove(0)),
    ];
    let waiting = "SELECT count(*) FROM pg_locks
                    WHERE locktype = 'advisory' AND NOT granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for attempt in 0.. {
        let count: i64 = app.world.client().query_one(waiting, &[]).await.unwrap().get(0);
        if count == 2 {
            break;
        }
        assert!(attempt < 200, "{count} of two wait");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    holder
        .execute("SELECT pg_advisory_unlock_all()", &[])
        .await
        .unwrap();
    let mut outcomes = Vec::new();
    for request in requests {
        let answer = request.await.unwrap();
        outcomes.push(if answer.status.as_u16() == 204 {
            "gone".to_owned()
        } else {
            answer.problem(409)
        });
    }
    outcomes.sort();
    assert_eq!(outcomes, ["gone", "last_admin"]);
}
