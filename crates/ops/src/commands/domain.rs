//! `plinth-ops domain`

use std::time::Duration;

use db_core::Clock;
use db_core::provision::{
    NewProvisionedDomain, ProvisionError, ProvisionedDomain, provision_domain, provisioned_domain_list,
};
use db_core::secrets::password::generate;
use db_core::setup::KeySource;
use db_migrate::Migrator;
use secrecy::ExposeSecret as _;

use super::domain_rows;
use crate::cli::{CreateDomain, Domain, Json};
use crate::failure::Failure;
use crate::output::Cell;
use crate::program::{Program, block_on};
use crate::{output, password};

pub fn run(command: Domain, settings: Vec<String>) -> Result<(), Failure> {
    match command {
        Domain::Create(options) => create(&options, settings),
        Domain::List(json) => list(json, settings),
        Domain::Export(options) => domain_rows::export(&options, settings),
        Domain::Restore(options) => domain_rows::restore(&options, settings),
        Domain::Copy(options) => domain_rows::copy(&options, settings),
        Domain::Erase(options) => domain_rows::erase(&options, settings),
    }
}

fn create(options: &CreateDomain, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let given = match &options.admin_password_file {
        Some(file) => Some(password::from_file(file)?),
        None => password::ask(&options.admin_email)?,
    };
    let (password, made) = given.map_or_else(|| (generate(), true), |given| (given, false));
    let new = NewProvisionedDomain {
        slug: &options.slug,
        name: options.name.as_deref().unwrap_or(&options.slug),
        admin_email: &options.admin_email,
        admin_password: &password,
    };
    let domain = block_on(async {
        require_set_up(&program).await?;
        let keyring = KeySource::from_config(&program.config).load()?;
        let insert = program.owner.system(async |tx| {
            provision_domain(tx, &Clock::System, &keyring, &program.config.security, &new).await
        });
        Ok::<ProvisionedDomain, Failure>(insert.await?)
    })?;
    if options.json.json {
        return output::json(&serde_json::json!({
            "domain": domain,
            "admin_email": new.admin_email,
            "admin_password": made.then(|| password.expose_secret()),
        }));
    }
    let mut text = format!(
        "made the domain {} ({}), id {}\n\n  Admin     {}\n",
        domain.slug, domain.name, domain.id, new.admin_email
    );
    if made {
        text.push_str(&format!(
            "  password  {}  (shown only here: keep it, and change it)\n",
            password.expose_secret()
        ));
    }
    output::text(&text)
}

fn list(Json { json }: Json, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let domains = block_on(async {
        require_set_up(&program).await?;
        Ok::<_, Failure>(
            program
                .owner
                .system(async |tx| provisioned_domain_list(tx).await)
                .await?,
        )
    })?;
    if json {
        return output::json(&serde_json::json!({ "domains": domains }));
    }
    let rows = domains.into_iter().map(|domain| {
        let created_at = output::time(domain.created_at);
        [
            domain.slug,
            domain.name,
            domain.status,
            created_at,
            domain.id.to_string(),
        ]
        .map(Cell::from)
        .into()
    });
    output::text(&output::table(
        &["slug", "name", "status", "made at", "id"],
        rows.collect(),
    ))
}

/// An empty database is one that is not set up, rather than one with migrations pending.
pub(super) async fn require_set_up(program: &Program) -> Result<(), Failure> {
    if !db_core::setup::is_initialized(&program.owner).await? {
        return Err(ProvisionError::NotSetUp.into());
    }
    let status = Migrator::new(program.owner.connector(), Duration::ZERO)
        .status()
        .await?;
    Ok(status.require_current()?)
}
