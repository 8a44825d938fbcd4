//! The permission in the handler's signature: `can: Can<held::CardRead, InCard>`.
//!
//! It is the only way from a handler to tenant data: a handler that forgets to ask cannot get at any.

use std::marker::PhantomData;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use db_core::rbac::Held;
use db_core::{Access, Credential, DomainId, Error, Permission, Pool, SingleStatement, Target, Tx, WriteTx};
use futures_util::future::LocalBoxFuture;

use super::client::Client;
use super::credential::{self, Presented};
use super::target::FindTarget;
use crate::fair_share::{Holder, Share};
use crate::problem::Problem;
use crate::state::Worker;

/// A caller that wants to use permission `P` on what `S` finds in the path.
///
/// The database checks it with the first message of the transaction, so that it holds at that moment.
pub struct Can<P, S> {
    caller: Caller,
    marker: PhantomData<(P, S)>,
}

/// A caller who acts on their own things only: any credential that counts will do.
pub struct Own {
    caller: Caller,
}

/// A caller who has signed in, and acts on their own account: what an API key may not do, whatever its rights.
pub struct SignedIn {
    caller: Caller,
}

/// Whoever sent the request, and the ways to tenant data that they have.
pub struct Caller {
    worker: web::Data<Worker>,
    pool: Pool,
    access: Access,
    domain: DomainId,
}

impl Caller {
    async fn find(
        request: HttpRequest,
        permission: Option<Permission>,
        target: Target,
    ) -> Result<Self, Problem> {
        let worker = request
            .app_data::<web::Data<Worker>>()
            .ok_or_else(Problem::not_found)?;
        let (state, pool) = (worker.state(), worker.pool().await?);
        let client = Client::of(&request);
        let secure_cookies = client.has_secure_cookies(state.config.server.cookie_secure);
        let (credential, domain) = match credential::find(&request, secure_cookies)? {
            Presented::Session(hash) => {
                let domain = match state.domain_of(hash) {
                    Some(domain) => domain,
                    None => {
                        let _share = worker.shares().take(Holder::Strangers).await?;
                        let domain = worker.shares().note(pool.domain_of(hash).await)?;
                        state.note_session(hash, domain);
                        domain
                    }
                };
                (Credential::Session(hash), domain)
            }
            Presented::ApiKey { token, hash } => {
                let key = match pool.remembered_api_key(hash) {
                    Some(key) => key,
                    None => {
                        let _share = worker.shares().take(Holder::Strangers).await?;
                        worker.shares().note(pool.verify_api_key(&token, hash).await)?
                    }
                };
                (Credential::ApiKey(key), key.domain)
            }
        };
        state.denials.check(&credential)?;
        Ok(Self {
            worker: worker.clone(),
            pool,
            access: Access {
                credential,
                permission,
                target,
                origin: client.origin(),
            },
            domain,
        })
    }

    async fn share(&self) -> Result<Share, Problem> {
        self.worker.shares().take(Holder::Domain(self.domain)).await
    }

    /// Runs the named read-only transaction.
    ///
    /// # Errors
    /// 401, 403 or 404 as the database decides, and what the closure fails with.
    pub async fn read<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&Tx<'_>) -> db_core::Result<T>,
    ) -> Result<T, Problem> {
        let share = self.share().await?;
        let result = self.pool.read(name, &self.access, closure).await;
        self.finish(result, share).await
    }

    /// Runs the named read-only transaction of one statement, which costs less than [`read`](Self::read).
    ///
    /// # Errors
    /// 401, 403 or 404 as the database decides, and what the closure fails with.
    pub async fn read_once<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(SingleStatement<'_>) -> db_core::Result<T>,
    ) -> Result<T, Problem> {
        let share = self.share().await?;
        let result = self.pool.read_once(name, &self.access, closure).await;
        self.finish(result, share).await
    }

    /// Runs the named transaction. It must record what it did.
    ///
    /// # Errors
    /// 401, 403 or 404 as the database decides, and what the closure fails with.
    pub async fn write<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&WriteTx<'_>) -> db_core::Result<T>,
    ) -> Result<T, Problem> {
        let share = self.share().await?;
        let result = self.pool.write(name, &self.access, closure).await;
        self.finish(result, share).await
    }

    /// Runs the named transaction, which hashes a password, when it is its turn. It must record what it did.
    ///
    /// # Errors
    /// The same, and 503 when too many wait for their turn.
    pub async fn write_hashing<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&WriteTx<'_>) -> db_core::Result<T>,
    ) -> Result<T, Problem> {
        // The share comes before the turn: who waits for a share must not keep others from their turn.
        let share = self.share().await?;
        let turn = self.pool.passwords().turn().await?;
        let result = self.pool.write(name, &self.access, closure).await;
        drop(turn);
        self.finish(result, share).await
    }

    /// The pool, for hashing passwords.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Notes a denial; writes the credential's last use, which nobody waits for, and which keeps the share meanwhile.
    async fn finish<T>(&self, result: db_core::Result<T>, share: Share) -> Result<T, Problem> {
        let result = self.worker.shares().note(result);
        match &result {
            Err(Error::Forbidden(_)) => self.note_denial().await?,
            Ok(_) if self.pool.wants_touch(&self.access) => {
                let (pool, access) = (self.pool.clone(), self.access.clone());
                actix_web::rt::spawn(async move {
                    let _share = share;
                    if let Err(error) = pool.touch(&access).await {
                        tracing::debug!(%error, "a credential's last use was not written");
                    }
                });
            }
            _ => {}
        }
        Ok(result?)
    }

    /// Notes a denial, in a row and in the count.
    async fn note_denial(&self) -> Result<(), Problem> {
        self.pool.note_denial(&self.access).await?;
        self.worker.state().denials.note(&self.access.credential);
        Ok(())
    }
}

impl<P: Held + 'static, S: FindTarget + 'static> FromRequest for Can<P, S> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let target = S::target(&request)?;
            let caller = Caller::find(request, Some(P::PERMISSION), target).await?;
            Ok(Self {
                caller,
                marker: PhantomData,
            })
        })
    }
}

impl FromRequest for Own {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            Ok(Self {
                caller: Caller::find(request, None, Target::Domain).await?,
            })
        })
    }
}

impl FromRequest for SignedIn {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = Caller::find(request, None, Target::Domain).await?;
            if matches!(caller.access.credential, Credential::ApiKey(_)) {
                // Also decides whether the key still counts: one that was revoked is a 401.
                let _share = caller.share().await?;
                caller.note_denial().await?;
                return Err(Error::Forbidden("an API key may not do this: sign in".to_owned()).into());
            }
            Ok(Self { caller })
        })
    }
}

impl<P, S> Deref for Can<P, S> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Deref for Own {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Deref for SignedIn {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}
