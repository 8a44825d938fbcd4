//! `users`: accounts of a domain. Their hashes are never selected: the app role may not.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Integer, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::UserId;
use crate::models::activity::Activity;
use crate::models::check_version;
use crate::models::session::{session_revoke_all, session_revoke_others};
use crate::models::user_role::{admin_lock, last_admin_guard};
use crate::page::{Page, PageRequest};
use crate::schema::users;
use crate::secrets::password::{MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, NewHash, Passwords};
use crate::single_statement::Executor;
use crate::text::is_format;
use crate::tx::{Tx, WriteTx};

const EMAIL_TAKEN: &str = "there is an account with this e-mail address already";

/// An account.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// E-mail address in lower case; unique within the domain.
    pub email: String,
    /// Name shown to people.
    pub name: String,
    /// `active` or `deactivated`.
    pub status: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// An account to make.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// Its id.
    pub id: UserId,
    /// E-mail address.
    pub email: &'a str,
    /// Name shown to people.
    pub name: &'a str,
    /// Its password.
    pub password: &'a NewHash,
}

/// What may change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// E-mail address.
    pub email: Option<String>,
    /// Name shown to people.
    pub name: Option<String>,
}

/// Whether an account may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// Its credentials count.
    Active,
    /// None of them does.
    Deactivated,
}

impl UserStatus {
    /// As the column has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

diesel::define_sql_function! {
    /// pgcrypto's `crypt`.
    fn crypt(password: Text, salt: Text) -> Text;
}
diesel::define_sql_function! {
    /// pgcrypto's `gen_salt`; the cost is the base-2 logarithm of bcrypt's rounds.
    fn gen_salt(kind: Text, cost: Integer) -> Text;
}
diesel::define_sql_function! {
    /// See the migration `enter`.
    fn verify_own_password(pepper_ids: Array<Integer>, proofs: Array<Text>) -> diesel::sql_types::Bool;
}

/// An e-mail address: something, one `@`, something, nothing blank or invisible; 3 to 254 characters.
///
/// Whether it exists only a message to it can tell, so that no more is asked. `admin@localhost` is one.
///
/// # Errors
/// Says what is wrong.
pub fn check_email(email: &str) -> std::result::Result<(), String> {
    // In lower case, as it is stored: that may have more characters.
    let fits = (3..=254).contains(&email.to_lowercase().chars().count())
        && !email
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || is_format(c))
        && email
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    if fits {
        Ok(())
    } else {
        Err("must be an e-mail address of 3 to 254 characters".to_owned())
    }
}

/// A password of a length that is neither guessed nor a burden.
///
/// # Errors
/// Says what is wrong; never the password.
pub fn check_password(password: &SecretString) -> std::result::Result<(), String> {
    let length = password.expose_secret().chars().count();
    if (MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&length) {
        Ok(())
    } else {
        Err(format!(
            "must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"
        ))
    }
}

/// All accounts, oldest first.
///
/// # Errors
/// A database error.
pub async fn user_list(tx: &Tx<'_>, email: Option<&str>, page: &PageRequest<UserId>) -> Result<Page<User>> {
    let mut query = users::table
        .select(User::as_select())
        .order(users::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(email) = email {
        query = query.filter(users::email.eq(email.to_lowercase()));
    }
    if let Some(after) = page.after {
        query = query.filter(users::id.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One account.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn user_get<'a>(tx: impl Executor<'a>, id: UserId) -> Result<User> {
    users::table
        .select(User::as_select())
        .filter(users::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("user")
}

/// The account that acts.
///
/// # Errors
/// A database error.
pub async fn user_current(tx: &Tx<'_>) -> Result<User> {
    users::table
        .select(User::as_select())
        .filter(users::id.nullable().eq(diesel::dsl::sql::<
            diesel::sql_types::Nullable<diesel::sql_types::Uuid>,
        >("(SELECT current_user_id())")))
        .first(&mut tx.conn())
        .await
        .or_not_found("user")
}

/// What the acting account may do in the whole domain, within the limits of the API key used: names of permissions that
/// take effect there, in alphabetical order.
///
/// # Errors
/// A database error.
pub async fn user_current_permissions(tx: &Tx<'_>) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let rows: Vec<Row> = Cached(diesel::sql_query(
        "SELECT p.name FROM permissions p
          WHERE p.name IN (SELECT held_permissions(NULL, NULL))
            AND (NOT p.platform OR current_domain_id() = platform_domain_id())
          ORDER BY p.name COLLATE \"C\"",
    ))
    .load(&mut tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Makes an account. Its password is hashed in the database: hold a [turn](Passwords::turn).
///
/// # Errors
/// A conflict when the e-mail address is taken.
pub async fn user_insert(tx: &WriteTx<'_>, new: &NewUser<'_>) -> Result<User> {
    // Looked for before a hash is paid for; the unique key decides when two come at once.
    let email = new.email.to_lowercase();
    let taken: bool = diesel::select(diesel::dsl::exists(
        users::table.select(users::id).filter(users::email.eq(&email)),
    ))
    .get_result(&mut tx.conn())
    .await?;
    if taken {
        return Err(Error::conflict("email_taken", EMAIL_TAKEN));
    }
    let user: User = Cached(
        diesel::insert_into(users::table)
            .values((
                users::id.eq(new.id),
                users::email.eq(new.email.to_lowercase()),
                users::name.eq(new.name),
                users::password_hash.eq(crypt(
                    new.password.proof.expose_secret(),
                    gen_salt("bf", new.password.cost),
                )
                .nullable()),
                users::pepper_id.eq(new.password.pepper_id),
            ))
            .returning(User::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict("users_email_key", "email_taken", EMAIL_TAKEN)?;
    tx.record(Activity::new("user.create", "user", new.id).after(&user));
    Ok(user)
}

/// Changes an account's name and e-mail address.
///
/// # Errors
/// `NotFound`, `Forbidden` when the account holds a permission that the actor lacks, `StaleVersion`, a conflict when the
/// e-mail address is taken.
pub async fn user_update(
    tx: &WriteTx<'_>,
    id: UserId,
    expected: Option<i32>,
    patch: &UserPatch,
) -> Result<User> {
    let before = user_lock(tx, id).await?;
    require_over(tx, id).await?;
    check_version(expected, before.version)?;
    let after: User = Cached(
        diesel::update(users::table.filter(users::id.eq(id)))
            .set((
                patch
                    .email
                    .as_ref()
                    .map(|email| users::email.eq(email.to_lowercase())),
                patch.name.as_ref().map(|name| users::name.eq(name)),
                users::version.eq(users::version + 1),
                users::updated_at.eq(diesel::dsl::now),
            ))
            .returning(User::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict("users_email_key", "email_taken", EMAIL_TAKEN)?;
    tx.record(
        Activity::new("user.update", "user", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Deactivates an account, which ends its access at its next request, or reactivates it. One that is so already stays as
/// it is.
///
/// Sessions end for good; API keys rest, and count again with the account.
///
/// # Errors
/// `NotFound`, `Forbidden` when the account holds a permission that the actor lacks, a conflict when the domain would be
/// left without an Admin.
pub async fn user_set_status(tx: &WriteTx<'_>, id: UserId, status: UserStatus) -> Result<User> {
    if status == UserStatus::Deactivated {
        // Before any row: see the lock order of `user_role`.
        admin_lock(tx).await?;
    }
    let before = user_lock(tx, id).await?;
    require_over(tx, id).await?;
    if before.status == status.name() {
        tx.unchanged();
        return Ok(before);
    }
    let after: User = Cached(
        diesel::update(users::table.filter(users::id.eq(id)))
            .set((
                users::status.eq(status.name()),
                users::version.eq(users::version + 1),
                users::updated_at.eq(diesel::dsl::now),
            ))
            .returning(User::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    let action = match status {
        UserStatus::Active => "user.reactivate",
        UserStatus::Deactivated => {
            last_admin_guard(tx).await?;
            session_revoke_all(tx, id).await?;
            "user.deactivate"
        }
    };
    tx.record(Activity::new(action, "user", id).before(&before).after(&after));
    Ok(after)
}

async fn user_lock(tx: &WriteTx<'_>, id: UserId) -> Result<User> {
    users::table
        .select(User::as_select())
        .filter(users::id.eq(id))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("user")
}

/// Whether the actor, within the limits of the API key used, holds all that the account holds, wherever it holds it.
/// Whoever could change the e-mail address of an Admin, or bring a deactivated one back, could become one.
pub(super) async fn require_over(tx: &WriteTx<'_>, id: UserId) -> Result<()> {
    #[derive(QueryableByName)]
    struct Lacking {
        #[diesel(sql_type = Text)]
        permission: String,
    }
    let lacking: Option<Lacking> = Cached(
        diesel::sql_query(
            "SELECT lacking.permission
               FROM user_roles ur
              CROSS JOIN LATERAL (
                    SELECT rp.permission FROM role_permissions rp
                     WHERE rp.domain_id = ur.role_domain_id AND rp.role_id = ur.role_id
                    EXCEPT
                    SELECT held_permissions(ur.organization_id, ur.project_id)
                    ) AS lacking
              WHERE ur.user_id = $1 AND (ur.expires_at IS NULL OR ur.expires_at > now())
              ORDER BY 1 LIMIT 1",
        )
        .bind::<SqlUuid, _>(id),
    )
    .get_result(&mut tx.conn())
    .await
    .optional()?;
    match lacking {
        None => Ok(()),
        Some(Lacking { permission }) => Err(Error::Forbidden(format!(
            "the account holds {permission}, which you do not hold there"
        ))),
    }
}

/// Changes the acting account's password, if the old one fits, and ends its other sessions. Hold a
/// [turn](Passwords::turn).
///
/// # Errors
/// `Invalid` when the old password does not fit, or the account has none.
pub async fn password_change(
    tx: &WriteTx<'_>,
    passwords: &Passwords,
    old: &SecretString,
    new: &SecretString,
) -> Result<()> {
    let (ids, proofs) = passwords.proofs(old);
    let fits: bool = diesel::select(verify_own_password(ids, proofs))
        .get_result(&mut tx.conn())
        .await?;
    if !fits {
        return Err(Error::Invalid {
            field: "old_password",
            message: "does not fit".to_owned(),
        });
    }
    let user = user_current(tx).await?;
    let hash = passwords.hash(new)?;
    Cached(diesel::update(users::table.filter(users::id.eq(user.id))).set((
        users::password_hash.eq(crypt(hash.proof.expose_secret(), gen_salt("bf", hash.cost)).nullable()),
        users::pepper_id.eq(hash.pepper_id),
        users::updated_at.eq(diesel::dsl::now),
    )))
    .execute(&mut tx.conn())
    .await?;
    session_revoke_others(tx, user.id).await?;
    tx.record(Activity::new("user.change_password", "user", user.id));
    Ok(())
}
