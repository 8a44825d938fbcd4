//! The login that requests run as. Whichever it is, row level security must hold it.
//!
//! - A login that the operator gave: `DATABASE_URL` with another user than `DATABASE_DIRECT_URL`.
//! - Else one of our own making, `plinth_app_<database>`, with a password derived from a secret of the installation.
//! - Where that cannot be made, or a pooler does not know it: the configured login itself, whose transactions then take on
//!   the role `plinth_app` with their first message. Never a login that bypasses row level security.

use app_config::{DatabaseAddress, DatabaseConfig};
use pg_connect::{Cause, ConnectError, Connector};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::db::{OpenError, connect_options};
use crate::owner::Owner;
use crate::pooler;
use crate::secrets::hmac;
use crate::secrets::token::TokenHash;

/// The server ends a session that sits in a transaction for longer than this, in milliseconds.
const IDLE_LIMIT: &str = "idle_in_transaction_session_timeout";

/// How requests reach the database.
pub(crate) struct AppLogin {
    pub(crate) connector: Connector,
    /// Whether each transaction has to take on the role `plinth_app`, because the login is not only that.
    pub(crate) takes_on_role: bool,
}

/// Why our own login cannot be used, where there may be another way.
enum Unusable {
    /// The owner may not make roles.
    NotMade(tokio_postgres::Error),
    /// The pooler, or `pg_hba.conf`, does not let it in.
    NotAdmitted(ConnectError),
}

/// Finds the login, makes what is missing, and checks that it is held by row level security.
///
/// # Errors
/// See [`OpenError`].
pub(crate) async fn find(
    client: &Client,
    owner: &Owner,
    database: &DatabaseConfig,
    secret: &SecretString,
) -> Result<AppLogin, OpenError> {
    let configured = database.address.as_ref().unwrap_or_else(|| owner.address());
    let connector =
        |address: &DatabaseAddress| Connector::new(address, connect_options(database, "plinth-api"));
    let login = if database.direct.is_some() && configured.user != owner.address().user {
        admit(client, owner.address(), &configured.user).await?;
        let connector = connector(configured)?;
        check_login(&connector).await?;
        limit_idling(client, owner.address(), &connector, database).await?;
        AppLogin {
            connector,
            takes_on_role: false,
        }
    } else {
        let mut address = configured.clone();
        address.user = login_name(&owner.address().database);
        let password = password_of(secret, &address.user);
        address.password = Some(password.clone());
        let own = connector(&address)?;
        match try_own(client, owner.address(), &own, &password, database).await? {
            Ok(()) => AppLogin {
                connector: own,
                takes_on_role: false,
            },
            Err(unusable) => {
                let connector = connector(configured)?;
                check_taking_on(client, &connector, &unusable).await?;
                tracing::warn!(
                    login = configured.user,
                    reason = unusable.reason(),
                    "requests run as the configured login, which takes on the role plinth_app in each transaction; a login of \
                     the API's own is the better wall"
                );
                AppLogin {
                    connector,
                    takes_on_role: true,
                }
            }
        }
    };
    if database.direct.is_some() {
        pooler::check(&login.connector).await?;
    }
    Ok(login)
}

impl Unusable {
    fn reason(&self) -> String {
        match self {
            Self::NotMade(error) => {
                format!(
                    "the API's own login could not be made: {}",
                    pg_connect::describe(error)
                )
            }
            Self::NotAdmitted(error) => format!("the API's own login is not let in: {error}"),
        }
    }
}

/// Makes our own login and tries it. The inner error leaves another way; the outer one does not.
async fn try_own(
    client: &Client,
    owner: &DatabaseAddress,
    connector: &Connector,
    password: &SecretString,
    database: &DatabaseConfig,
) -> Result<Result<(), Unusable>, OpenError> {
    let user = &connector.address().user;
    match ensure_login(client, owner, user, password, database).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            client.batch_execute("ROLLBACK").await?;
            return Ok(Err(Unusable::NotMade(error)));
        }
        result => result?,
    }
    match check_login(connector).await {
        Err(OpenError::Connect(error)) if refuses_login(&error) => Ok(Err(Unusable::NotAdmitted(error))),
        result => result.map(Ok),
    }
}

/// Whether it is this login that is refused, and not everybody.
fn refuses_login(error: &ConnectError) -> bool {
    match &*error.cause {
        Cause::WrongPassword(_) | Cause::RoleMissing(_) | Cause::NotAdmitted(_) | Cause::PasswordMissing => {
            true
        }
        // PgBouncer has 08P01 for whatever it does not like: "no such user", "SASL authentication failed".
        Cause::Server(refusal) => *refusal.code() == SqlState::PROTOCOL_VIOLATION,
        _ => false,
    }
}

/// Lets the operator's login in, and nobody else but it and the owner.
async fn admit(client: &Client, owner: &DatabaseAddress, login: &str) -> Result<(), OpenError> {
    let row = client
        .query_one(
            "SELECT pg_has_role($1, 'plinth_app', 'MEMBER'), has_database_privilege($1, current_database(), 'CONNECT')",
            &[&login],
        )
        .await?;
    let (role, dbname) = (quoted(login), quoted(&owner.database));
    if !row.get::<_, bool>(0) {
        client
            .batch_execute(&format!("GRANT plinth_app TO {role}"))
            .await?;
    }
    // Before the door is shut: the login may be in by the right that everybody has.
    if !row.get::<_, bool>(1) || is_open_to_all(client).await? {
        client
            .batch_execute(&format!("GRANT CONNECT ON DATABASE {dbname} TO {role}"))
            .await?;
    }
    shut_door(client).await?;
    Ok(())
}

/// Limits how long the operator's login may idle in a transaction, as its default in this database: a session's own settings
/// do not survive a pooler. The login does it itself, as every login may; the owner may not change another's defaults.
async fn limit_idling(
    client: &Client,
    owner: &DatabaseAddress,
    connector: &Connector,
    database: &DatabaseConfig,
) -> Result<(), OpenError> {
    let login = &connector.address().user;
    let milliseconds = database.idle_in_transaction_timeout.as_millis();
    let limit = format!("{IDLE_LIMIT}={milliseconds}");
    let fits = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_db_role_setting s
                              JOIN pg_roles r ON r.oid = s.setrole
                              JOIN pg_database d ON d.oid = s.setdatabase
                             WHERE r.rolname = $1 AND d.datname = current_database() AND $2 = ANY (s.setconfig))",
            &[&login, &limit],
        )
        .await?;
    if fits.get(0) {
        return Ok(());
    }
    let client = connector.client().await?;
    // One message is one transaction: replicas that start together take turns.
    let set = format!(
        "SELECT pg_advisory_xact_lock(hashtext('plinth_app_login'));
         ALTER ROLE CURRENT_USER IN DATABASE {} SET {IDLE_LIMIT} = {milliseconds}",
        quoted(&owner.database)
    );
    if let Err(error) = client.batch_execute(&set).await {
        tracing::warn!(
            login,
            reason = pg_connect::describe(&error),
            "how long the login may idle in a transaction could not be limited: ALTER ROLE … SET {IDLE_LIMIT} = {milliseconds}"
        );
    }
    Ok(())
}

async fn is_open_to_all(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT has_database_privilege('public', current_database(), 'CONNECT')",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// Only who was told to may connect: a server may hold several installations, and the login of one, a member of the
/// same `plinth_app`, has no business in another.
pub(crate) async fn shut_door(client: &Client) -> Result<(), tokio_postgres::Error> {
    if !is_open_to_all(client).await? {
        return Ok(());
    }
    client
        .batch_execute(
            // One message is one transaction: replicas that start together take turns.
            "SELECT pg_advisory_xact_lock(hashtext('plinth_app_login'));
             SET LOCAL client_min_messages = error;
             DO $do$ BEGIN EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $do$",
        )
        .await?;
    if is_open_to_all(client).await? {
        tracing::warn!(
            "every login of the server may connect to this database, and the owner may not change that: let its \
             administrator run REVOKE CONNECT ON DATABASE … FROM PUBLIC"
        );
    }
    Ok(())
}

/// 64 hexadecimal digits.
fn password_of(secret: &SecretString, login: &str) -> SecretString {
    let mac = hmac(
        secret.expose_secret().as_bytes(),
        &[b"plinth login", login.as_bytes()],
    );
    SecretString::from(hex::encode(mac))
}

/// `plinth_app_<database>`: roles are global to a server, which may serve several installations.
fn login_name(database: &str) -> String {
    let name = format!("plinth_app_{database}");
    if name.len() <= 63 {
        return name;
    }
    // PostgreSQL would cut the name, and two of them could meet.
    let digest = hex::encode(TokenHash::of(database).as_bytes());
    format!("plinth_app_{}", digest.chars().take(32).collect::<String>())
}

/// Makes the login, or brings it up to date; says nothing when it fits already.
async fn ensure_login(
    client: &Client,
    owner: &DatabaseAddress,
    login: &str,
    password: &SecretString,
    database: &DatabaseConfig,
) -> Result<(), tokio_postgres::Error> {
    let idle = format!(
        "{IDLE_LIMIT}={}",
        database.idle_in_transaction_timeout.as_millis()
    );
    let fits: bool = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_roles r JOIN pg_db_role_setting s ON s.setrole = r.oid
                             WHERE r.rolname = $1 AND r.rolcanlogin AND $2 = ANY (s.setconfig)
                               AND shobj_description(r.oid, 'pg_authid') = $3
                               AND pg_has_role(r.oid, 'plinth_app', 'MEMBER')
                               AND has_database_privilege(r.oid, current_database(), 'CONNECT'))",
            &[&login, &idle, &login_stamp(password)],
        )
        .await?
        .get(0);
    if fits {
        return shut_door(client).await;
    }
    // The server gets a SCRAM verifier: statements may be logged, and this one holds no password.
    let verifier = postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
    let (role, dbname) = (quoted(login), quoted(&owner.database));
    // No NOSUPERUSER and the like: they are the defaults, only a superuser may name them, and check_login looks.
    let sql = format!(
        "DO $do$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$;
         ALTER ROLE {role} LOGIN PASSWORD '{verifier}';
         ALTER ROLE {role} SET {IDLE_LIMIT} = {};
         ALTER ROLE {role} SET log_parameter_max_length_on_error = 0;
         GRANT plinth_app TO {role};
         GRANT CONNECT ON DATABASE {dbname} TO {role};
         COMMENT ON ROLE {role} IS '{}';",
        database.idle_in_transaction_timeout.as_millis(),
        login_stamp(password),
    );
    // Replicas that start together do this one after the other: two at once meet in "tuple concurrently updated".
    client
        .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(hashtext('plinth_app_login'))")
        .await?;
    client.batch_execute(&sql).await?;
    client.batch_execute("COMMIT").await?;
    shut_door(client).await
}

/// Says with which password the login was made, telling nothing of it.
fn login_stamp(password: &SecretString) -> String {
    let digest = hex::encode(TokenHash::of(password.expose_secret()).as_bytes());
    format!(
        "login of the Plinth API, password {}",
        digest.chars().take(8).collect::<String>()
    )
}

/// Row level security must hold the login: not a superuser, no BYPASSRLS, not the owner of a table, not the system.
async fn check_login(connector: &Connector) -> Result<(), OpenError> {
    let client = connector.client().await?;
    let faults = [
        ("is a superuser", "r.rolsuper"),
        ("has BYPASSRLS", "r.rolbypassrls"),
        (
            "is a member of plinth_system",
            "pg_has_role(r.oid, 'plinth_system', 'MEMBER')",
        ),
        (
            "owns tables of Plinth",
            "EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = 'public'::regnamespace)",
        ),
    ];
    if let Some(fault) = first_fault(&client, &faults).await? {
        return Err(OpenError::Unsafe(format!(
            "the login {} {fault}, so that row level security would not hold it to its domain; give the API a \
             login of its own (DATABASE_URL) and the owner's in DATABASE_DIRECT_URL, or let Plinth make the login \
             by giving the owner's alone",
            connector.address().user
        )));
    }
    Ok(())
}

/// A login that takes on `plinth_app` may be the owner, whom FORCE holds too, but not one whom no policy holds.
async fn check_taking_on(
    owner: &Client,
    connector: &Connector,
    unusable: &Unusable,
) -> Result<(), OpenError> {
    let user = &connector.address().user;
    let refuse = |fault: &str| {
        OpenError::Unsafe(format!(
            "{}; and the configured login {user} {fault}. Give the API a login of its own: in DATABASE_URL, known to the \
             pooler if there is one, with the owner's in DATABASE_DIRECT_URL",
            unusable.reason()
        ))
    };
    let client = connector.client().await?;
    let faults = [
        (
            "is a superuser, whom row level security does not hold",
            "r.rolsuper",
        ),
        (
            "has BYPASSRLS, so that row level security does not hold it",
            "r.rolbypassrls",
        ),
    ];
    if let Some(fault) = first_fault(&client, &faults).await? {
        return Err(refuse(fault));
    }
    let take_on = "BEGIN; SET LOCAL ROLE plinth_app; ROLLBACK";
    if client.batch_execute(take_on).await.is_ok() {
        return Ok(());
    }
    let granted = owner
        .batch_execute(&format!("GRANT plinth_app TO {}", quoted(user)))
        .await;
    // The failed attempt has left a transaction to be ended.
    client.batch_execute("ROLLBACK").await?;
    granted.map_err(|error| {
        refuse(&format!(
            "may not take on the role plinth_app: {}",
            pg_connect::describe(&error)
        ))
    })?;
    client.batch_execute(take_on).await.map_err(|error| {
        refuse(&format!(
            "may not take on the role plinth_app: {}",
            pg_connect::describe(&error)
        ))
    })
}

/// The first of the faults that the login has, each a description and an SQL condition over its row `r` of `pg_roles`.
async fn first_fault<'a>(client: &Client, faults: &[(&'a str, &str)]) -> Result<Option<&'a str>, OpenError> {
    let conditions: Vec<&str> = faults.iter().map(|(_, condition)| *condition).collect();
    // Unnamed and in one message: it has to work before the pooler has been looked at.
    let sql = format!(
        "SELECT {} FROM pg_roles r WHERE r.rolname = current_user",
        conditions.join(", ")
    );
    let messages = client.simple_query(&sql).await?;
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row =
        row.ok_or_else(|| OpenError::Unsafe("the login's own row in pg_roles cannot be read".to_owned()))?;
    Ok(faults
        .iter()
        .enumerate()
        .find(|(index, _)| row.get(*index) != Some("f"))
        .map(|(_, (fault, _))| *fault))
}

/// An identifier in double quotes.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
