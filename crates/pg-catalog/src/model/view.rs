use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, facts};
use super::grant::Grants;
use super::table::{Column, Index, Trigger};

/// A view or materialized view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// `MATERIALIZED`.
    pub materialized: bool,
    /// Role that owns it.
    pub owner: String,
    /// `pg_get_viewdef`, without the semicolon.
    pub query: String,
    /// `security_invoker=true`, `check_option=local` and the like, sorted.
    pub options: Vec<String>,
    /// Access method of a materialized view where it is not `heap`.
    pub access_method: Option<String>,
    /// Tablespace of a materialized view where it is not the database's.
    pub tablespace: Option<String>,
    /// `COMMENT ON VIEW`.
    pub comment: Option<String>,
    /// Its columns. Names and types are told by the query; comments, defaults and grants are compared.
    pub columns: Vec<Column>,
    /// Indexes by name, of a materialized view.
    pub indexes: BTreeMap<String, Index>,
    /// Triggers by name.
    pub triggers: BTreeMap<String, Trigger>,
    /// Grants on the whole view.
    pub grants: Grants,
}

impl View {
    pub(crate) fn facts(&self) -> Facts {
        facts!(View of self;
            compared: materialized, owner, query, options, access_method, tablespace, comment;
            not: columns, indexes, triggers, grants)
    }
}
