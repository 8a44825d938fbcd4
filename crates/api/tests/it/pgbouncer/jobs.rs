//! Jobs, where requests go through PgBouncer: the worker has the direct address for itself.

use test_support::{PASSWORD, TestDatabase};

use super::pooler::{Login, PgBouncer};
use super::{FEW, open_through, patient};
use crate::app::TestApp;
use crate::jobs;

#[tokio::test]
async fn a_worker_works_where_requests_are_pooled() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let Some(pooler) = PgBouncer::start(&[(login.name.as_str(), PASSWORD)], &[FEW]) else {
        return;
    };
    let pooled = pooler.address(&db, &login.name, PASSWORD);
    let app = TestApp::start_with(db, |config| {
        patient(config);
        open_through(config, pooled);
        config.jobs.worker = true;
    })
    .await;
    let assignment = jobs::ended_assignment(&app.world).await;
    jobs::enqueue_expiry(&app.world).await;
    jobs::until(&app.world, &jobs::gone(assignment)).await;
    drop(pooler);
}
