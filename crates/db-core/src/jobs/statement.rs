//! Statements of the queue, run by Diesel in our own transactions.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, Double, Integer, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use job_queue::{Param, Statement};
use uuid::Uuid;

use crate::error::Result;

/// A statement whose text is the same for every call, so that it is prepared once.
struct QueueStatement(Statement);

impl QueryId for QueueStatement {
    type QueryId = ();
    // The cache then goes by SQL text and bind types.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for QueueStatement {
    type SqlType = Untyped;
}

impl<C> diesel::query_dsl::RunQueryDsl<C> for QueueStatement {}

impl QueryFragment<Pg> for QueueStatement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0.sql);
        for param in &self.0.params {
            match param {
                Param::Uuid(value) => out.push_bind_param_value_only::<Nullable<SqlUuid>, _>(value)?,
                Param::Uuids(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<SqlUuid>>, _>(values)?
                }
                Param::Text(value) => out.push_bind_param_value_only::<Nullable<Text>, _>(value)?,
                Param::Texts(values) => out.push_bind_param_value_only::<Array<Nullable<Text>>, _>(values)?,
                Param::Int(value) => out.push_bind_param_value_only::<Nullable<Integer>, _>(value)?,
                Param::Ints(values) => out.push_bind_param_value_only::<Array<Integer>, _>(values)?,
                Param::Real(value) => out.push_bind_param_value_only::<Double, _>(value)?,
                Param::Reals(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<Double>>, _>(values)?
                }
                Param::Times(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<Timestamptz>>, _>(values)?;
                }
            }
        }
        Ok(())
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Runs the statement and returns the column `id` of its rows.
pub(crate) async fn run(mut conn: &AsyncPgConnection, statement: Statement) -> Result<Vec<Uuid>> {
    let rows: Vec<Row> = QueueStatement(statement).load(&mut conn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// One of our connections, for the functions of the queue that want an executor.
pub(crate) struct Connection<'a>(pub(crate) &'a AsyncPgConnection);

impl job_queue::Executor for Connection<'_> {
    async fn ids(
        &mut self,
        statement: Statement,
    ) -> Result<Vec<Uuid>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(run(self.0, statement).await?)
    }
}

impl From<job_queue::Error> for crate::Error {
    fn from(error: job_queue::Error) -> Self {
        match error {
            job_queue::Error::Executor(source) => match source.downcast::<crate::Error>() {
                Ok(own) => *own,
                Err(other) => Self::Internal(other.to_string()),
            },
            job_queue::Error::BatchClosed(_) => Self::conflict("batch_closed", error.to_string()),
            job_queue::Error::LeaseLost(_) => Self::conflict("lease_lost", error.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}
