//! Whom a statement waits for, when it does not get a lock.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

/// How long after a refused lock the next refusal may be awaited: a pause and a try.
const TRYING: Duration = Duration::from_millis(1200);

/// How many holders a message names.
const NAMED: i64 = 3;

/// What is known of the locks that a statement asks for again and again.
#[derive(Debug, Default)]
pub(super) struct Waits {
    refused_at: Cell<Option<Instant>>,
    holders: RefCell<Option<Holders>>,
}

/// The sessions that were in the way when they were last looked for.
#[derive(Clone, Debug)]
pub(super) struct Holders {
    /// Process id, login, application, state, for how long, its query; the oldest first.
    who: String,
    /// SQL that ends the oldest.
    end: String,
}

impl Waits {
    /// A try to get a lock was given up.
    pub fn refused(&self) {
        self.refused_at.set(Some(Instant::now()));
    }

    /// Whether locks are being refused: then it is worth to look often, for the statement waits only for a moment each time.
    pub fn trying(&self) -> bool {
        self.refused_at.get().is_some_and(|at| at.elapsed() < TRYING)
    }

    /// Notes who is in the way.
    pub async fn note(&self, client: &Client, pids: &[i32]) -> Result<(), tokio_postgres::Error> {
        if !pids.is_empty()
            && let Some(holders) = holders(client, pids).await?
        {
            self.holders.replace(Some(holders));
        }
        Ok(())
    }

    /// For a message: who holds the lock, and what to do about it.
    pub fn advice(&self) -> String {
        match &*self.holders.borrow() {
            Some(Holders { who, end }) => format!(
                "it is held by {who}; wait until that is over, or end it with {end}, and run the migration again"
            ),
            None => "who holds it could not be seen: look for the oldest xact_start in pg_stat_activity, wait until that is \
                     over, or end it with SELECT pg_terminate_backend(pid), and run the migration again"
                .to_owned(),
        }
    }
}

/// A prepared transaction is nobody's session, and has process id 0:
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION>. What others run is only shown to a login that may
/// read all statistics, or is a member of theirs.
async fn holders(client: &Client, pids: &[i32]) -> Result<Option<Holders>, tokio_postgres::Error> {
    let row = client
        .query_one(
            "WITH them AS (
                 SELECT a.xact_start AS since, format('SELECT pg_terminate_backend(%s)', a.pid) AS cure,
                        format('pid %s (%s)', a.pid, concat_ws(', ',
                            coalesce('login ' || a.usename, a.backend_type),
                            'application ' || coalesce(nullif(a.application_name, ''), 'without a name'),
                            a.state, 'its transaction open for ' || date_trunc('second', clock_timestamp() - a.xact_start),
                            'query: ' || left(regexp_replace(nullif(a.query, ''), '\\s+', ' ', 'g'), 100)
                                      || CASE WHEN length(a.query) > 100 THEN '…' ELSE '' END)) AS who
                   FROM pg_stat_activity a WHERE a.pid = ANY ($1)
                 UNION ALL
                 SELECT x.prepared, format('ROLLBACK PREPARED %L', x.gid),
                        format('the prepared transaction %L (login %s, since %s)', x.gid, x.owner, date_trunc('second', x.prepared))
                   FROM pg_prepared_xacts x WHERE 0 = ANY ($1) AND x.database = current_database()),
             sorted AS (SELECT *, row_number() OVER (ORDER BY since, who) AS place, count(*) OVER () AS count FROM them)
             SELECT string_agg(who, ' and ' ORDER BY place) FILTER (WHERE place <= $2)
                    || CASE WHEN max(count) > $2 THEN format(', and %s more', max(count) - $2) ELSE '' END,
                    min(cure) FILTER (WHERE place = 1)
               FROM sorted",
            &[&pids, &NAMED],
        )
        .await?;
    let (who, end): (Option<String>, Option<String>) = (row.get(0), row.get(1));
    Ok(who.zip(end).map(|(who, end)| Holders { who, end }))
}
