//! The permission in the handler's signature: `can: Can<held::CardRead, InCard>`.
//!
//! It is the only way from a handler to tenant data: a handler that forgets to ask cannot get at any.

use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use db_core::rbac::Held;
use db_core::{Access, Credential, Error, Permission, Pool, Target, Tx, WriteTx};
use futures_util::future::LocalBoxFuture;

use super::client::Client;
use super::credential::{self, Presented};
use super::scope::Scope;
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

struct Caller {
    pool: Pool,
    access: Access,
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
        let pool = worker.pool().await?;
        let origin = Client::of(&request).origin();
        let credential = match credential::find(&request)? {
            Presented::Session(credential) => credential,
            Presented::ApiKey { token, hash } => Credential::ApiKey(pool.verify_api_key(&token, hash).await?),
        };
        Ok(Self {
            pool,
            access: Access {
                credential,
                permission,
                target,
                origin,
            },
        })
    }

    async fn read<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&Tx<'_>) -> db_core::Result<T>,
    ) -> Result<T, Problem> {
        let result = self.pool.read(name, &self.access, closure).await;
        self.finish(result).await
    }

    async fn write<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&WriteTx<'_>) -> db_core::Result<T>,
    ) -> Result<T, Problem> {
        let result = self.pool.write(name, &self.access, closure).await;
        self.finish(result).await
    }

    /// Notes a denial; writes the credential's last use, which nobody waits for.
    async fn finish<T>(&self, result: db_core::Result<T>) -> Result<T, Problem> {
        match &result {
            Err(Error::Forbidden(_)) => self.pool.note_denial(&self.access).await?,
            Ok(_) if self.pool.wants_touch(&self.access) => {
                let (pool, access) = (self.pool.clone(), self.access.clone());
                actix_web::rt::spawn(async move {
                    if let Err(error) = pool.touch(&access).await {
                        tracing::debug!(%error, "a credential's last use was not written");
                    }
                });
            }
            _ => {}
        }
        Ok(result?)
    }
}

impl<P: Held + 'static, S: Scope + 'static> FromRequest for Can<P, S> {
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
                caller.pool.note_denial(&caller.access).await?;
                return Err(Error::Forbidden("an API key may not do this: sign in".to_owned()).into());
            }
            Ok(Self { caller })
        })
    }
}

macro_rules! transactions {
    () => {
        /// Runs the named read-only transaction.
        ///
        /// # Errors
        /// 401, 403 or 404 as the database decides, and what the closure fails with.
        pub async fn read<T>(
            &self,
            name: &'static str,
            closure: impl AsyncFn(&Tx<'_>) -> db_core::Result<T>,
        ) -> Result<T, Problem> {
            self.caller.read(name, closure).await
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
            self.caller.write(name, closure).await
        }

        /// The pool, for hashing passwords.
        pub fn pool(&self) -> &Pool {
            &self.caller.pool
        }
    };
}

impl<P, S> Can<P, S> {
    transactions!();
}

impl Own {
    transactions!();
}

impl SignedIn {
    transactions!();
}
