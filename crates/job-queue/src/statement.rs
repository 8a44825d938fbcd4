//! Statements as values, so that the caller's own transaction can run them, whatever driver it speaks.

use std::future::Future;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::error::{BoxError, Error};

/// One parameter of a [`Statement`]. Each variant is one PostgreSQL type.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// `uuid`
    Uuid(Option<Uuid>),
    /// `uuid[]`
    Uuids(Vec<Option<Uuid>>),
    /// `text`
    Text(Option<String>),
    /// `text[]`
    Texts(Vec<Option<String>>),
    /// `integer`
    Int(Option<i32>),
    /// `integer[]`
    Ints(Vec<i32>),
    /// `double precision`
    Real(f64),
    /// `double precision[]`
    Reals(Vec<Option<f64>>),
    /// `timestamptz[]`
    Times(Vec<Option<DateTime<Utc>>>),
}

impl Param {
    pub(crate) fn as_sql(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Uuid(value) => (value, Type::UUID),
            Self::Uuids(value) => (value, Type::UUID_ARRAY),
            Self::Text(value) => (value, Type::TEXT),
            Self::Texts(value) => (value, Type::TEXT_ARRAY),
            Self::Int(value) => (value, Type::INT4),
            Self::Ints(value) => (value, Type::INT4_ARRAY),
            Self::Real(value) => (value, Type::FLOAT8),
            Self::Reals(value) => (value, Type::FLOAT8_ARRAY),
            Self::Times(value) => (value, Type::TIMESTAMPTZ_ARRAY),
        }
    }
}

/// SQL with its parameters, `$1` first. Its rows have a column `id` of type uuid, and may have others.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text; the same for every call, so that it can be prepared once.
    pub sql: &'static str,
    /// The values.
    pub params: Vec<Param>,
}

/// Something that runs a [`Statement`]: a transaction of the caller. Implemented here for `tokio_postgres`.
///
/// The statement must run in the transaction that it is to be committed with, as a role that may do what it says.
pub trait Executor {
    /// Runs the statement and returns the column `id` of its rows.
    ///
    /// # Errors
    /// Whatever the driver reports; the transaction is then to be rolled back.
    fn ids(&mut self, statement: Statement) -> impl Future<Output = Result<Vec<Uuid>, BoxError>> + Send;
}

async fn ids(
    client: &impl tokio_postgres::GenericClient,
    statement: &Statement,
) -> Result<Vec<Uuid>, BoxError> {
    let params: Vec<_> = statement.params.iter().map(Param::as_sql).collect();
    let rows = client.query_typed(statement.sql, &params).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

impl Executor for tokio_postgres::Transaction<'_> {
    async fn ids(&mut self, statement: Statement) -> Result<Vec<Uuid>, BoxError> {
        ids(self, &statement).await
    }
}

/// Each statement in a transaction of its own.
impl Executor for tokio_postgres::Client {
    async fn ids(&mut self, statement: Statement) -> Result<Vec<Uuid>, BoxError> {
        ids(self, &statement).await
    }
}

/// The same: each statement goes where the client's session is, a transaction that was begun by hand for example.
impl Executor for &tokio_postgres::Client {
    async fn ids(&mut self, statement: Statement) -> Result<Vec<Uuid>, BoxError> {
        ids(*self, &statement).await
    }
}

impl<E: Executor + Send> Executor for &mut E {
    async fn ids(&mut self, statement: Statement) -> Result<Vec<Uuid>, BoxError> {
        E::ids(self, statement).await
    }
}

pub(crate) async fn run(executor: &mut impl Executor, statement: Statement) -> Result<Vec<Uuid>, Error> {
    executor.ids(statement).await.map_err(Error::Executor)
}
