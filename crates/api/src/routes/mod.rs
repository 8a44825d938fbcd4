//! The table of contents of the API: one folder for each resource, one file for each endpoint.

pub mod activity;
pub mod api_keys;
pub mod assignments;
pub mod backups;
pub mod boards;
pub mod cards;
pub mod columns;
pub mod domains;
pub mod health;
pub mod job_batches;
pub mod job_schedules;
pub mod jobs;
pub mod me;
pub mod members;
pub mod organizations;
pub mod projects;
pub mod queues;
pub mod roles;
pub mod sessions;
pub mod setup;
pub mod tags;
pub mod users;

use utoipa_actix_web::service_config::ServiceConfig;

/// Everything under `/api/v1`.
pub fn v1(config: &mut ServiceConfig) {
    config
        .configure(sessions::configure)
        .configure(me::configure)
        .configure(domains::configure)
        .configure(users::configure)
        .configure(api_keys::configure)
        .configure(organizations::configure)
        .configure(projects::configure)
        .configure(boards::configure)
        .configure(columns::configure)
        .configure(cards::configure)
        .configure(tags::configure)
        .configure(roles::configure)
        .configure(members::configure)
        .configure(assignments::configure)
        .configure(activity::configure)
        .configure(backups::configure)
        .configure(jobs::configure)
        .configure(queues::configure)
        .configure(job_batches::configure)
        .configure(job_schedules::configure);
}

/// Everything outside of it.
pub fn root(config: &mut ServiceConfig) {
    config.configure(setup::configure).configure(health::configure);
}
