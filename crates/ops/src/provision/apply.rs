//! Asks what is there, runs what is missing, and says of each whether it did.

use std::collections::BTreeMap;
use std::time::Duration;

use app_config::{DatabaseAddress, Environment};
use pg_connect::{ConnectOptions, Connector};
use secrecy::SecretString;
use serde::Serialize;
use tokio_postgres::Client;

use super::steps::{self, Expectation, Role, Step, literal, quoted};
use super::{ProvisionError, Wanted, password};

/// How often the lock is asked for, and how long is waited in between: a minute.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(200);

/// What became of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was missing, and was made.
    Done,
    /// It is missing, and would be made.
    Missing,
    /// It was there.
    Kept,
    /// It is other than wanted, and was left as it is.
    Different,
    /// Only a superuser could, and this login is none.
    NotAllowed,
}

/// One thing.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// `role kratos`, `database kratos`.
    pub subject: String,
    /// In words.
    pub what: String,
    pub outcome: Outcome,
    /// What to do about it, where it is different or not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// Everything.
#[derive(Default)]
pub struct Provisioned {
    pub steps: Vec<Done>,
    /// Passwords that were made, by login: they are nowhere else.
    pub generated: BTreeMap<String, SecretString>,
}

/// The administrator at work.
struct Administrator<'a> {
    address: &'a DatabaseAddress,
    options: &'a ConnectOptions,
    client: Client,
    dry_run: bool,
    tell: &'a mut dyn FnMut(&str, &SecretString) -> Result<(), ProvisionError>,
    result: &'a mut Provisioned,
}

/// Makes what is missing; `dry_run` only says what is. `address` is an administrator's, of a database that exists. What was done
/// stands in `result`, also when it fails on the way. A password that was made is nowhere else: `tell` has it at once, with its login.
///
/// # Errors
/// See [`ProvisionError`]. What is different is told in the result, and is no error here.
pub async fn apply(
    address: &DatabaseAddress,
    options: &ConnectOptions,
    all: &[Wanted],
    environment: &Environment,
    dry_run: bool,
    tell: &mut dyn FnMut(&str, &SecretString) -> Result<(), ProvisionError>,
    result: &mut Provisioned,
) -> Result<(), ProvisionError> {
    let roles = steps::roles(all);
    // Before anything is changed: a file that is missing stops it all.
    let mut passwords = Vec::new();
    for role in &roles {
        passwords.push(password::given(
            &role.name,
            role.password_file.as_deref(),
            environment,
        )?);
    }
    let mut administrator = Administrator {
        address,
        options,
        client: open(address, options, &address.database).await?,
        dry_run,
        tell,
        result,
    };
    lock(&administrator.client).await?;
    let mut expectations = Vec::new();
    for (role, password) in roles.iter().zip(passwords) {
        administrator.role(role, password).await?;
        expectations.extend(role.expectations.clone());
    }
    for wanted in all {
        let (steps, different) = steps::database(wanted);
        administrator.database(wanted, &steps).await?;
        expectations.extend(different);
    }
    for expectation in &expectations {
        administrator.expect(expectation).await?;
    }
    Ok(())
}

/// Two at once take turns. Asked again and again: a waiter in `pg_advisory_lock` holds a snapshot that others may have to wait for.
async fn lock(client: &Client) -> Result<(), ProvisionError> {
    let waiting = || ProvisionError::statement("waiting for another plinth-ops provision");
    for _ in 0..TRIES {
        let row = client
            .query_one("SELECT pg_try_advisory_lock(hashtext('plinth_provision'))", &[])
            .await
            .map_err(waiting())?;
        if row.get(0) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(ProvisionError::Busy)
}

async fn open(
    address: &DatabaseAddress,
    options: &ConnectOptions,
    database: &str,
) -> Result<Client, ProvisionError> {
    let address = DatabaseAddress {
        database: database.to_owned(),
        ..address.clone()
    };
    let client = Connector::new(&address, options.clone())?.client().await?;
    client
        .batch_execute("SET client_min_messages = warning; SET statement_timeout = '120s'")
        .await
        .map_err(ProvisionError::statement("settings of the session"))?;
    Ok(client)
}

impl Administrator<'_> {
    async fn role(&mut self, role: &Role, password: Option<SecretString>) -> Result<(), ProvisionError> {
        let made = self.step(&role.made, None).await? != Outcome::Kept;
        self.password(role, password, made).await?;
        for step in &role.steps {
            // Of a role that a dry run has not made, there is nothing to be asked.
            if self.dry_run && made {
                self.note(&step.subject, &step.what, Outcome::Missing, None);
            } else {
                self.step(step, None).await?;
            }
        }
        Ok(())
    }

    async fn database(&mut self, wanted: &Wanted, steps: &[Step]) -> Result<(), ProvisionError> {
        let mut inside = None;
        let mut missing = false;
        for step in steps {
            if missing {
                self.note(&step.subject, &step.what, Outcome::Missing, None);
                continue;
            }
            if step.inside.is_some() && inside.is_none() {
                inside = Some(open(self.address, self.options, &wanted.name).await?);
            }
            let client = step.inside.as_ref().and(inside.as_ref());
            let outcome = self.step(step, client).await?;
            // The first step makes the database.
            missing = outcome == Outcome::Missing && step.sql.starts_with("CREATE DATABASE");
        }
        Ok(())
    }

    /// Asks, and runs it where it is missing.
    async fn step(&mut self, step: &Step, inside: Option<&Client>) -> Result<Outcome, ProvisionError> {
        let doing = format!("{}: {}", step.subject, step.what);
        let client = inside.unwrap_or(&self.client);
        let there: bool = client
            .query_one(&format!("SELECT {}", step.there), &[])
            .await
            .map_err(ProvisionError::statement(doing.clone()))?
            .get(0);
        let outcome = if there {
            Outcome::Kept
        } else if !self.allowed(step).await? {
            Outcome::NotAllowed
        } else if self.dry_run {
            Outcome::Missing
        } else {
            client
                .batch_execute(&step.sql)
                .await
                .map_err(ProvisionError::statement(format!("{doing} ({})", step.sql)))?;
            Outcome::Done
        };
        let cure = (outcome == Outcome::NotAllowed).then(|| {
            format!(
                "as a superuser: {}; with a managed server, set it for the whole server",
                step.sql
            )
        });
        self.note(&step.subject, &step.what, outcome, cure);
        Ok(outcome)
    }

    /// Whether this login may set the setting for a role.
    async fn allowed(&self, step: &Step) -> Result<bool, ProvisionError> {
        let Some(setting) = step.guarded_by else {
            return Ok(true);
        };
        let failed = || ProvisionError::statement(format!("{}: {}", step.subject, step.what));
        let row = self
            .client
            .query_one(
                "SELECT rolsuper, current_setting('server_version_num')::int >= 150000 FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await
            .map_err(failed())?;
        if row.get(0) || !row.get::<_, bool>(1) {
            return Ok(row.get(0));
        }
        let row = self
            .client
            .query_one(
                "SELECT has_parameter_privilege(current_user, $1, 'SET')",
                &[&setting],
            )
            .await
            .map_err(failed())?;
        Ok(row.get(0))
    }

    /// Given: made so that it holds. Not given: made for a login that has none, and shown once.
    async fn password(
        &mut self,
        role: &Role,
        given: Option<SecretString>,
        made: bool,
    ) -> Result<(), ProvisionError> {
        let subject = role.made.subject.clone();
        let kept = if made {
            Kept::Nothing
        } else {
            self.kept(&role.name).await?
        };
        let fits = match (&given, &kept) {
            (None, Kept::Nothing) | (Some(_), Kept::Nothing) => false,
            (None, _) => true,
            (Some(given), Kept::Verifier(verifier)) => password::fits(verifier, given),
            (Some(given), Kept::Secret) => self.lets_in(&role.name, given).await?,
        };
        if fits {
            self.note(&subject, "has its password", Outcome::Kept, None);
            return Ok(());
        }
        let what = if given.is_some() {
            "password set, as a SCRAM verifier"
        } else {
            "password made, sent as a SCRAM verifier"
        };
        if self.dry_run {
            self.note(&subject, what, Outcome::Missing, None);
            return Ok(());
        }
        let generated = given.is_none();
        let password = given.unwrap_or_else(password::generate);
        if generated {
            // Before it counts: whenever this is killed, somebody knows it.
            (self.tell)(&role.name, &password)?;
        }
        let sql = format!(
            "ALTER ROLE {} PASSWORD {}",
            quoted(&role.name),
            literal(&password::verifier(&password))
        );
        // Its text is not repeated in a message: a verifier is no password, and no business of a log either.
        self.client
            .batch_execute(&sql)
            .await
            .map_err(ProvisionError::statement(format!("{subject}: its password")))?;
        if generated {
            self.result.generated.insert(role.name.clone(), password);
        }
        self.note(&subject, what, Outcome::Done, None);
        Ok(())
    }

    /// What the server keeps; a superuser can see it.
    async fn kept(&self, role: &str) -> Result<Kept, ProvisionError> {
        let failed = || ProvisionError::statement(format!("role {role}: its password"));
        let may: bool = self
            .client
            .query_one(
                "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
                &[],
            )
            .await
            .map_err(failed())?
            .get(0);
        if !may {
            return Ok(Kept::Secret);
        }
        let row = self
            .client
            .query_opt(
                "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1",
                &[&role],
            )
            .await
            .map_err(failed())?;
        Ok(match row.and_then(|row| row.get::<_, Option<String>>(0)) {
            Some(verifier) => Kept::Verifier(verifier),
            None => Kept::Nothing,
        })
    }

    /// Whether the login gets in with the password: all that one who is no superuser can find out.
    async fn lets_in(&self, role: &str, password: &SecretString) -> Result<bool, ProvisionError> {
        let address = DatabaseAddress {
            user: role.to_owned(),
            password: Some(password.clone()),
            ..self.address.clone()
        };
        let connector = Connector::new(&address, self.options.clone())?;
        Ok(match connector.client().await {
            Ok(_) => true,
            // It was the right one, and another door is shut.
            Err(error) => matches!(&*error.cause, pg_connect::Cause::Forbidden(_)),
        })
    }

    async fn expect(&mut self, expectation: &Expectation) -> Result<(), ProvisionError> {
        let difference: Option<String> = self
            .client
            .query_one(&format!("SELECT {}", expectation.difference), &[])
            .await
            .map_err(ProvisionError::statement(expectation.subject.clone()))?
            .get(0);
        if let Some(difference) = difference {
            let login: String = self
                .client
                .query_one("SELECT session_user::text", &[])
                .await
                .map_err(ProvisionError::statement(expectation.subject.clone()))?
                .get(0);
            let cure = if expectation.weakens.as_ref() == Some(&login) {
                format!(
                    "it is the login that this runs as, an administrator's: give the database an owner of its own, --database \
                     NAME=OWNER, and leave {login} its rights"
                )
            } else {
                expectation.cure.clone()
            };
            self.note(&expectation.subject, &difference, Outcome::Different, Some(cure));
        }
        Ok(())
    }

    fn note(&mut self, subject: &str, what: &str, outcome: Outcome, cure: Option<String>) {
        self.result.steps.push(Done {
            subject: subject.to_owned(),
            what: what.to_owned(),
            outcome,
            cure,
        });
    }
}

/// What is known of a login's password.
enum Kept {
    /// It has none.
    Nothing,
    /// What the server keeps of it.
    Verifier(String),
    /// This login may not see.
    Secret,
}
