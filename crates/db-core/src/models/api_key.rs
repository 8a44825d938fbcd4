//! `api_keys`: keys for programs. `crypt()` decides once a minute; every request compares the row's version.
//!
//! A key acts as its user, within its own limits: what it makes is never more than itself, and a key that is limited to
//! some permissions sees and changes no other key of its user.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use secrecy::SecretString;
use serde::Serialize;

use crate::access::VerifiedKey;
use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{ApiKeyId, DomainId, UserId};
use crate::models::activity::Activity;
use crate::models::user::{crypt, gen_salt, user_get};
use crate::page::{Page, PageRequest};
use crate::rbac::Permission;
use crate::schema::api_keys;
use crate::secrets::token::{ApiKeyToken, TokenHash};
use crate::single_statement::Executor;
use crate::tx::{Pool, Tx, WriteTx};

/// bcrypt cost of a key's hash. Low: 178 random bits are not guessed, however fast the hash is.
const COST: i32 = 4;

/// A key. Its secret is nowhere; its hash is never selected: the app role may not.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
pub struct ApiKey {
    /// Its id; part of the key.
    pub id: ApiKeyId,
    /// User that the key acts as.
    pub user_id: UserId,
    /// What the key is for, for people.
    pub name: String,
    /// Last four characters, to recognise it by.
    pub last_four: String,
    /// The permissions that it is limited to; `None` for all of its user's.
    pub permissions: Option<Vec<String>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Last use, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it ends by itself; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key to make for the acting user.
#[derive(Clone, Copy, Debug)]
pub struct NewApiKey<'a> {
    /// What the key is for, for people.
    pub name: &'a str,
    /// The permissions that it is limited to; `None` for all of its user's.
    pub permissions: Option<&'a [Permission]>,
    /// When it is to end by itself; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was just made.
#[derive(Debug)]
pub struct MadeApiKey {
    /// The row.
    pub row: ApiKey,
    /// The whole key. It is nowhere else.
    pub key: SecretString,
}

/// Keys of the acting user, oldest first; those that were revoked are gone.
///
/// # Errors
/// A database error.
pub async fn own_api_key_list(tx: &Tx<'_>, page: &PageRequest<ApiKeyId>) -> Result<Page<ApiKey>> {
    let mut query = api_keys::table
        .select(ApiKey::as_select())
        .filter(api_keys::revoked_at.is_null())
        .filter(own())
        .order(api_keys::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(api_keys::id.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One key of the acting user.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn own_api_key_get<'a>(tx: impl Executor<'a>, id: ApiKeyId) -> Result<ApiKey> {
    api_keys::table
        .select(ApiKey::as_select())
        .filter(api_keys::id.eq(id))
        .filter(api_keys::revoked_at.is_null())
        .filter(own())
        .first(&mut tx.conn())
        .await
        .or_not_found("API key")
}

/// Keys of a user, oldest first; those that were revoked are gone.
///
/// # Errors
/// `NotFound` when there is no such user, or a database error.
pub async fn api_key_list(tx: &Tx<'_>, user: UserId, page: &PageRequest<ApiKeyId>) -> Result<Page<ApiKey>> {
    let mut query = api_keys::table
        .select(ApiKey::as_select())
        .filter(api_keys::user_id.eq(user))
        .filter(api_keys::revoked_at.is_null())
        .order(api_keys::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(api_keys::id.gt(after));
    }
    let rows: Vec<ApiKey> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        user_get(tx, user).await?;
    }
    Ok(page.cut(rows))
}

/// Makes a key for the acting user.
///
/// # Errors
/// `Invalid` for an end that is past or a permission that was never seeded; `Forbidden` for a permission that the actor
/// does not hold anywhere, and for a key that would be more than the key it is made with.
pub async fn api_key_insert(tx: &WriteTx<'_>, new: &NewApiKey<'_>) -> Result<MadeApiKey> {
    let names = new.permissions.map(names_of);
    require_within(tx, names.as_deref(), new.expires_at).await?;
    let id: ApiKeyId = tx.new_id();
    let token = ApiKeyToken::generate(id);
    let row: ApiKey = Cached(
        diesel::insert_into(api_keys::table)
            .values((
                api_keys::id.eq(id),
                api_keys::user_id.eq(diesel::dsl::sql::<SqlUuid>("current_user_id()")),
                api_keys::name.eq(new.name),
                api_keys::secret_hash.eq(crypt(token.proof(), gen_salt("bf", COST))),
                api_keys::last_four.eq(token.last_four()),
                api_keys::permissions.eq(names),
                api_keys::expires_at.eq(new.expires_at),
            ))
            .returning(ApiKey::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(Activity::new("api_key.create", "api_key", id).after(&row));
    Ok(MadeApiKey {
        row,
        key: token.reveal(),
    })
}

/// Renames a key of the acting user. What it may do never changes; make another one.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn own_api_key_rename(tx: &WriteTx<'_>, id: ApiKeyId, name: &str) -> Result<ApiKey> {
    let before = own_api_key_lock(tx, id).await?;
    // The version stays: it says which row `crypt()` has confirmed, and a name is no part of that.
    let after: ApiKey = Cached(
        diesel::update(api_keys::table.filter(api_keys::id.eq(id)))
            .set(api_keys::name.eq(name))
            .returning(ApiKey::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(
        Activity::new("api_key.update", "api_key", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Revokes a key of the acting user, with effect at the very next request.
///
/// # Errors
/// `NotFound` when there is none, or it was revoked before.
pub async fn own_api_key_revoke(tx: &WriteTx<'_>, id: ApiKeyId) -> Result<()> {
    let before = own_api_key_lock(tx, id).await?;
    revoke(tx, &before).await
}

/// Revokes all keys of the acting user, with effect at the very next request.
///
/// # Errors
/// A database error.
pub async fn own_api_key_revoke_all(tx: &WriteTx<'_>) -> Result<()> {
    let keys: Vec<ApiKey> = diesel::update(
        api_keys::table
            .filter(api_keys::revoked_at.is_null())
            .filter(own()),
    )
    .set((
        api_keys::revoked_at.eq(diesel::dsl::now),
        api_keys::version.eq(api_keys::version + 1),
    ))
    .returning(ApiKey::as_returning())
    .get_results(&mut tx.conn())
    .await?;
    for key in &keys {
        tx.record(Activity::new("api_key.revoke", "api_key", key.id).before(key));
    }
    Ok(())
}

/// Revokes a key of a user, with effect at the very next request.
///
/// # Errors
/// `NotFound` when the user has none, or it was revoked before; `Forbidden` when the user holds what the actor does not.
pub async fn api_key_revoke(tx: &WriteTx<'_>, user: UserId, id: ApiKeyId) -> Result<()> {
    super::user::require_over(tx, user).await?;
    let before: ApiKey = api_keys::table
        .select(ApiKey::as_select())
        .filter(api_keys::id.eq(id))
        .filter(api_keys::user_id.eq(user))
        .filter(api_keys::revoked_at.is_null())
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("API key")?;
    revoke(tx, &before).await
}

async fn revoke(tx: &WriteTx<'_>, before: &ApiKey) -> Result<()> {
    diesel::update(api_keys::table.filter(api_keys::id.eq(before.id)))
        .set((
            api_keys::revoked_at.eq(diesel::dsl::now),
            api_keys::version.eq(api_keys::version + 1),
        ))
        .execute(&mut tx.conn())
        .await?;
    tx.record(Activity::new("api_key.revoke", "api_key", before.id).before(before));
    Ok(())
}

async fn own_api_key_lock(tx: &WriteTx<'_>, id: ApiKeyId) -> Result<ApiKey> {
    api_keys::table
        .select(ApiKey::as_select())
        .filter(api_keys::id.eq(id))
        .filter(api_keys::revoked_at.is_null())
        .filter(own())
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("API key")
}

/// Keys of the acting user; to a key that is limited to some permissions only itself.
fn own() -> diesel::expression::SqlLiteral<Bool> {
    diesel::dsl::sql(
        "(api_keys.user_id = (SELECT current_user_id())
          AND ((SELECT current_api_key_id()) IS NULL OR api_keys.id = (SELECT current_api_key_id())
               OR (SELECT k.permissions IS NULL FROM api_keys k WHERE k.id = current_api_key_id())))",
    )
}

fn names_of(permissions: &[Permission]) -> Vec<&'static str> {
    let mut names: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[derive(QueryableByName)]
struct Ceiling {
    /// First permission that the actor does not hold anywhere, within the limits of the key used.
    #[diesel(sql_type = Nullable<Text>)]
    lacking: Option<String>,
    /// Whether the key used is limited to some permissions.
    #[diesel(sql_type = Bool)]
    limited: bool,
    /// When the key used ends by itself.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ends: Option<DateTime<Utc>>,
    /// Whether the wanted end is past, by the database clock.
    #[diesel(sql_type = Bool)]
    past: bool,
}

/// A key is a right that is given to a program: nobody gives one that they do not hold.
///
/// Held anywhere is enough. At each request the key's limits are compared with what its user holds there.
async fn require_within(
    tx: &WriteTx<'_>,
    permissions: Option<&[&str]>,
    expires_at: Option<DateTime<Utc>>,
) -> Result<()> {
    let ceiling: Ceiling = Cached(
        diesel::sql_query(
            "SELECT (SELECT min(w.permission) FROM unnest($1) AS w (permission)
                      WHERE coalesce(w.permission <> ALL (k.permissions), false)
                         OR NOT EXISTS (
                            SELECT FROM user_roles ur
                              JOIN role_permissions rp ON rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                              JOIN permissions p ON p.name = rp.permission
                             WHERE ur.user_id = current_user_id() AND rp.permission = w.permission
                               AND (ur.expires_at IS NULL OR ur.expires_at > now())
                               AND (NOT p.platform OR current_domain_id() = platform_domain_id()))) AS lacking,
                    k.permissions IS NOT NULL AS limited, k.expires_at AS ends,
                    coalesce($2 <= clock_timestamp(), false) AS past
               FROM (SELECT) AS one LEFT JOIN api_keys k ON k.id = current_api_key_id()",
        )
        .bind::<Array<Text>, _>(permissions.unwrap_or_default())
        .bind::<Nullable<Timestamptz>, _>(expires_at),
    )
    .get_result(&mut tx.conn())
    .await?;
    if ceiling.past {
        return Err(Error::Invalid {
            field: "expires_at",
            message: "must be in the future".to_owned(),
        });
    }
    if let Some(permission) = ceiling.lacking {
        return Err(Error::Forbidden(format!(
            "you do not hold {permission}, so that no key of yours can"
        )));
    }
    if ceiling.limited && permissions.is_none() {
        return Err(Error::Forbidden(
            "the API key is limited to some permissions: name those that the new one is to have".to_owned(),
        ));
    }
    match (ceiling.ends, expires_at) {
        (Some(ends), None) => Err(outlives(ends)),
        (Some(ends), Some(wanted)) if wanted > ends => Err(outlives(ends)),
        _ => Ok(()),
    }
}

fn outlives(ends: DateTime<Utc>) -> Error {
    Error::Forbidden(format!(
        "the API key ends at {ends}: give the new one an expires_at that is no later"
    ))
}

#[derive(QueryableByName)]
struct Verified {
    #[diesel(sql_type = SqlUuid)]
    domain_id: DomainId,
    #[diesel(sql_type = Integer)]
    version: i32,
}

impl Pool {
    /// The key behind a token, when it was verified within the last minute. Asks no database.
    pub fn remembered_api_key(&self, hash: TokenHash) -> Option<VerifiedKey> {
        self.shared.verified_keys.get(&hash)
    }

    /// The key behind a token: from the process's memory when it was verified within the last minute, else by
    /// `crypt()`. Whether it still counts is decided by `enter()`, at every request.
    ///
    /// # Errors
    /// `Unauthenticated` when the secret does not fit.
    pub async fn verify_api_key(&self, token: &ApiKeyToken, hash: TokenHash) -> Result<VerifiedKey> {
        if let Some(key) = self.remembered_api_key(hash) {
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
