//! Setting up, under the two addresses that DeployStack's users know.

mod run;
mod status;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(status::get_setup_status).service(run::run_setup);
}
