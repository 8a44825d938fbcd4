//! `POST /api/v1/me/password`

use actix_web::{HttpResponse, post, web};
use db_core::models::api_key::own_api_key_revoke_all;
use db_core::models::user::{check_password, password_change, user_current};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer;
use crate::extract::{Body, Check, Checker, Client, SignedIn, secret};
use crate::problem::Problem;
use crate::state::Worker;

/// The old password, and the new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password as it is.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 1, max_length = 1024)]
    old_password: SecretString,
    /// The password as it is to be: 10 to 256 characters.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    new_password: SecretString,
    /// Whether the caller's API keys are to be revoked too.
    #[serde(default)]
    revoke_api_keys: bool,
}

impl Check for ChangePassword {
    fn check(&self, check: &mut Checker) {
        // No more is asked of a password that is only compared.
        if !(1..=1024).contains(&self.old_password.expose_secret().chars().count()) {
            check.field("old_password", Err("must have 1 to 1024 characters".to_owned()));
        }
        check.field("new_password", check_password(&self.new_password));
    }
}

/// Changes the caller's password, and ends their other sessions; their API keys stay unless the body says otherwise.
#[utoipa::path(tag = "me", request_body = ChangePassword, responses((status = 204)))]
#[post("/me/password")]
pub(super) async fn change_password(
    caller: SignedIn,
    worker: web::Data<Worker>,
    client: Client,
    Body(body): Body<ChangePassword>,
) -> Result<HttpResponse, Problem> {
    // Whoever found a session open must not guess the password with it.
    let user = caller
        .read("change_password_of", async |tx| user_current(tx).await)
        .await?;
    worker.state().limits.check_password_change(client.ip, user.id)?;
    let passwords = caller.pool().passwords();
    caller
        .write_hashing("change_password", async |tx| {
            password_change(tx, passwords, &body.old_password, &body.new_password).await?;
            if body.revoke_api_keys {
                own_api_key_revoke_all(tx).await?;
            }
            Ok(())
        })
        .await?;
    Ok(answer::no_content())
}
