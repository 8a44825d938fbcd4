//! Section `setup`: setting up a new installation without a browser.

use secrecy::{ExposeSecret, SecretString};

use crate::reader::Reader;

/// What `POST /api/db/setup` would be told, given ahead of time.
#[derive(Clone, Debug, Default)]
pub struct SetupConfig {
    /// The one-time token of `POST /api/db/setup`, instead of the one printed in the log: `PLINTH_SETUP_TOKEN`.
    pub token: Option<SecretString>,
    /// Set up at start with the defaults for whatever is not given: `PLINTH_SETUP_AUTO`, default false.
    pub auto: bool,
    /// E-mail of the first platform operator: `PLINTH_SETUP_OPERATOR_EMAIL`; setup's default is `admin@localhost`.
    pub operator_email: Option<String>,
    /// Password of the first platform operator: `PLINTH_SETUP_OPERATOR_PASSWORD`; setup's default is a
    /// random one, printed once in the log.
    pub operator_password: Option<SecretString>,
    /// Slug of the first domain: `PLINTH_SETUP_DOMAIN_SLUG`; setup's default is `default`.
    pub domain_slug: Option<String>,
    /// Name of the first domain: `PLINTH_SETUP_DOMAIN_NAME`; setup's default is made from the slug.
    pub domain_name: Option<String>,
    /// Make two demo domains, acme and globex, each with an Admin: `PLINTH_SETUP_DEMO`, default false.
    pub demo: bool,
}

impl SetupConfig {
    /// Whether the server sets itself up at start: asked for by `auto`, or by naming an operator, a domain or
    /// the demo. A token alone only replaces the printed one.
    pub fn at_start(&self) -> bool {
        self.auto
            || self.demo
            || self.operator_email.is_some()
            || self.operator_password.is_some()
            || self.domain_slug.is_some()
            || self.domain_name.is_some()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let section = Self {
            token: reader.secret("setup.token"),
            auto: reader.required("setup.auto")?,
            operator_email: reader.optional("setup.operator_email"),
            operator_password: reader.secret("setup.operator_password"),
            domain_slug: reader.optional("setup.domain_slug"),
            domain_name: reader.optional("setup.domain_name"),
            demo: reader.required("setup.demo")?,
        };
        if section
            .token
            .as_ref()
            .is_some_and(|token| token.expose_secret().len() < 16)
        {
            let name = reader.named("setup.token");
            reader.warning(format!(
                "{name} is shorter than 16 characters: until set up, whoever guesses it owns the server"
            ));
        }
        Some(section)
    }
}
