//! `plinth-ops setup`

use db_core::Clock;
use db_core::setup::{self, KeySource, SetupError, SetupOutcome, SetupRequest};
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::Setup;
use crate::failure::Failure;
use crate::program::{Program, block_on, runtime};
use crate::{output, password};

pub fn run(options: Setup, mut settings: Vec<String>) -> Result<(), Failure> {
    // As settings, so that the flags beat PLINTH_SETUP_* as every flag beats its variable.
    let flags = [
        ("setup.operator_email", options.operator_email),
        ("setup.domain_slug", options.domain_slug),
        ("setup.domain_name", options.domain_name),
        ("setup.demo", options.demo.then(|| "true".to_owned())),
    ];
    settings.extend(
        flags
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", value?))),
    );

    let program = Program::open(settings)?;
    setup::check_demo(&program.config)?;
    let mut request = SetupRequest::from_config(&program.config, "ops");
    if request.operator_password.is_none() {
        // On a plain runtime: one that catches Ctrl-C would catch it from the prompt too.
        if runtime()?.block_on(setup::is_initialized(&program.owner))? {
            return Err(SetupError::AlreadySetUp.into());
        }
        request.operator_password =
            password::ask(&format!("the platform operator {}", request.operator_email))?;
    }
    let outcome = block_on(async {
        Ok(setup::set_up(&program.owner, &program.config, &Clock::System, &request).await?)
    })?;
    let key_file = outcome.key_file_written.then(|| {
        let source = KeySource::from_config(&program.config);
        source.path().display().to_string()
    });
    if options.json.json {
        return output::json(&serde_json::json!({
            "operator_email": request.operator_email,
            "operator_password": shown(&program, &request, &outcome).map(|password| password.expose_secret()),
            "domains": domains(&request),
            "key_file": key_file,
        }));
    }
    output::text(&report(&program, &request, &outcome, key_file.as_deref()))
}

/// The password, where it is not one that only the operator knows.
fn shown<'a>(
    program: &Program,
    request: &'a SetupRequest,
    outcome: &'a SetupOutcome,
) -> Option<&'a SecretString> {
    let demo = program.config.setup.demo && program.config.setup.operator_password.is_none();
    outcome
        .generated_password
        .as_ref()
        .or_else(|| request.operator_password.as_ref().filter(|_| demo))
}

fn domains(request: &SetupRequest) -> Vec<&str> {
    std::iter::once(&request.domain)
        .chain(&request.more_domains)
        .map(|domain| domain.slug.as_str())
        .collect()
}

fn report(
    program: &Program,
    request: &SetupRequest,
    outcome: &SetupOutcome,
    key_file: Option<&str>,
) -> String {
    let mut text = format!(
        "Plinth is set up.\n\n  operator  {}, in the domain platform\n",
        request.operator_email
    );
    if let Some(password) = shown(program, request, outcome) {
        let why = if outcome.generated_password.is_some() {
            "shown only here: keep it, and change it"
        } else {
            "of every demo account; everybody knows it"
        };
        text.push_str(&format!("  password  {}  ({why})\n", password.expose_secret()));
    }
    text.push_str(&format!(
        "  domain    {} ({}), its Admin is the operator\n",
        request.domain.slug, request.domain.name
    ));
    for domain in &request.more_domains {
        text.push_str(&format!(
            "  domain    {0} ({1}), its Admin is admin@{0}.test\n",
            domain.slug, domain.name
        ));
    }
    if let Some(file) = key_file {
        text.push_str(&format!(
            "  key       {file} is new. Keep it safe, apart from the database and its backups:\n            \
             without it everything encrypted is lost.\n"
        ));
    }
    text
}
