//! `api_keys`: keys for programs. `crypt()` decides once a minute; every request compares the row's version.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::access::VerifiedKey;
use crate::cached::Cached;
use crate::error::{Error, Result};
use crate::ids::DomainId;
use crate::secrets::token::{ApiKeyToken, TokenHash};
use crate::tx::Pool;

#[derive(QueryableByName)]
struct Verified {
    #[diesel(sql_type = SqlUuid)]
    domain_id: DomainId,
    #[diesel(sql_type = Integer)]
    version: i32,
}

impl Pool {
    /// The key behind a token: from the process's memory when it was verified within the last minute, else by
    /// `crypt()`. Whether it still counts is decided by `enter()`, at every request.
    ///
    /// # Errors
    /// `Unauthenticated` when the secret does not fit.
    pub async fn verify_api_key(&self, token: &ApiKeyToken, hash: TokenHash) -> Result<VerifiedKey> {
        if let Some(key) = self.shared.verified_keys.get(&hash) {
            return Ok(key);
        }
        let mut conn = self.connections.get().await?;
        let verified: Verified = Cached(
            diesel::sql_query("SELECT domain_id, version FROM verify_api_key($1, $2)")
                .bind::<SqlUuid, _>(token.id)
                .bind::<Text, _>(token.proof()),
        )
        .get_result(&mut *conn)
        .await
        .optional()?
        .ok_or(Error::Unauthenticated)?;
        let key = VerifiedKey {
            domain: verified.domain_id,
            id: token.id,
            version: verified.version,
        };
        self.shared.verified_keys.insert(hash, key);
        Ok(key)
    }
}
