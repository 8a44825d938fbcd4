//! The caller's own account. Its sessions are in `sessions`, its keys in `api_keys`.

mod change_password;
mod get;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(get::get_me)
        .service(change_password::change_password);
}
