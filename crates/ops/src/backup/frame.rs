//! What belongs to a database itself and is in no dump of it: encoding and locale, owner, settings, who may connect.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::BackupError;
use pg_catalog::{quote_ident, quote_literal};

/// A setting of the database, perhaps for one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrameSetting {
    /// `None` for everybody.
    pub role: Option<String>,
    pub name: String,
    pub value: String,
}

/// Somebody's privilege on the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrameGrant {
    /// `None` for PUBLIC.
    pub role: Option<String>,
    /// `CONNECT`, `CREATE`, `TEMPORARY`.
    pub privilege: String,
}

/// A database, as `CREATE DATABASE` and `ALTER DATABASE` make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frame {
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    /// `c`, `i` (ICU) or `b` (builtin); `c` before PostgreSQL 15.
    pub provider: String,
    /// Of ICU and the builtin provider.
    pub locale: Option<String>,
    /// Whose it is; `None` where it is the login's that looked.
    #[serde(default)]
    pub owner: Option<String>,
    /// How many sessions it takes at a time; -1 for any number. `None` where nobody looked.
    #[serde(default)]
    pub connection_limit: Option<i32>,
    /// Settings that PostgreSQL itself knows; those of extensions may be secrets and stay out.
    pub settings: Vec<FrameSetting>,
    pub grants: Vec<FrameGrant>,
}

impl Frame {
    /// That of a database of the server; `None` when there is none of that name.
    pub async fn of(client: &Client, database: &str) -> Result<Option<Self>, BackupError> {
        // By to_jsonb: which columns there are depends on the version.
        let Some(row) = client
            .query_opt(
                "SELECT pg_encoding_to_char(d.encoding), d.datcollate::text, d.datctype::text, to_jsonb(d) ->> 'datlocprovider',
                        coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), d.oid,
                        (SELECT r.rolname::text FROM pg_roles r WHERE r.oid = d.datdba AND r.rolname <> current_user), d.datconnlimit
                   FROM pg_database d WHERE d.datname = $1",
                &[&database],
            )
            .await?
        else {
            return Ok(None);
        };
        let oid: u32 = row.get(5);
        let settings = client
            .query(
                "SELECT r.rolname::text, split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)
                   FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) s
                   LEFT JOIN pg_roles r ON r.oid = d.setrole
                  WHERE d.setdatabase = $1 AND (d.setrole = 0 OR r.oid IS NOT NULL)
                    AND EXISTS (SELECT FROM pg_settings p WHERE p.name = split_part(s, '=', 1) AND p.name !~ '[.]')
                  ORDER BY 1, 2",
                &[&oid],
            )
            .await?;
        let grants = client
            .query(
                "SELECT r.rolname::text, g.privilege_type
                   FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) g
                   LEFT JOIN pg_roles r ON r.oid = g.grantee
                  WHERE d.oid = $1 AND g.grantee <> d.datdba AND (g.grantee = 0 OR r.oid IS NOT NULL)
                  ORDER BY 1, 2",
                &[&oid],
            )
            .await?;
        Ok(Some(Self {
            encoding: row.get(0),
            collate: row.get(1),
            ctype: row.get(2),
            provider: row.get::<_, Option<String>>(3).unwrap_or_else(|| "c".to_owned()),
            locale: row.get(4),
            owner: row.get(6),
            connection_limit: Some(row.get(7)),
            settings: settings
                .iter()
                .map(|row| FrameSetting {
                    role: row.get(0),
                    name: row.get(1),
                    value: row.get(2),
                })
                .collect(),
            grants: grants
                .iter()
                .map(|row| FrameGrant {
                    role: row.get(0),
                    privilege: row.get(1),
                })
                .collect(),
        }))
    }

    /// Makes an empty database like this one, which nobody but its owner may connect to.
    pub async fn create(
        &self,
        client: &Client,
        database: &str,
        server_major: u32,
    ) -> Result<(), BackupError> {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote_ident(database),
            quote_literal(&self.encoding),
            quote_literal(&self.collate),
            quote_literal(&self.ctype)
        );
        let locale = self.locale.as_deref().map(quote_literal);
        match (self.provider.as_str(), locale) {
            ("i", Some(locale)) => sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {locale}")),
            ("b", Some(locale)) => sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}")),
            // Before 15 there is no other, and no word for it.
            _ if server_major >= 15 => sql.push_str(" LOCALE_PROVIDER libc"),
            _ => {}
        }
        client.batch_execute(&sql).await?;
        let shut = format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", quote_ident(database));
        Ok(client.batch_execute(&shut).await?)
    }

    /// Gives a database the settings and grants. What could not be set, each with the reason.
    pub async fn apply(&self, client: &Client, database: &str) -> Vec<String> {
        let database = quote_ident(database);
        let mut statements = Vec::new();
        if let Some(limit) = self.connection_limit {
            statements.push(format!("ALTER DATABASE {database} CONNECTION LIMIT {limit}"));
        }
        for setting in &self.settings {
            let (name, value) = (quote_ident(&setting.name), quote_literal(&setting.value));
            statements.push(match &setting.role {
                None => format!("ALTER DATABASE {database} SET {name} TO {value}"),
                Some(role) => format!(
                    "ALTER ROLE {} IN DATABASE {database} SET {name} TO {value}",
                    quote_ident(role)
                ),
            });
        }
        for grant in &self.grants {
            let to = grant.role.as_deref().map_or_else(|| "PUBLIC".into(), quote_ident);
            let privilege = match grant.privilege.as_str() {
                known @ ("CONNECT" | "CREATE" | "TEMPORARY") => known,
                _ => continue,
            };
            statements.push(format!("GRANT {privilege} ON DATABASE {database} TO {to}"));
        }
        let mut not_set = Vec::new();
        for statement in statements {
            if let Err(error) = client.batch_execute(&statement).await {
                not_set.push(format!("{statement}: {}", BackupError::from(error)));
            }
        }
        not_set
    }
}
