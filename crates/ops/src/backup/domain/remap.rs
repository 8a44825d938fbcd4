//! Fresh ids for everything that a domain has. An id keeps the time that it begins with and the twelve bits behind it, so that lists keep their order.
//!
//! Which values are ids, the catalogue says: those of the primary keys. Each is mapped wherever it stands: in a column of type
//! uuid or uuid[], whether or not a foreign key leads back, and in the text of a jsonb value. What is nobody's id in the domain,
//! such as that of a system role, stays.

use pg_catalog::{quote_ident, quote_literal};
use tokio_postgres::Client;
use uuid::Uuid;

use super::catalogue::{Column, Holds, Table};
use super::{DomainError, stage};

/// A table that is copied, and its number among those that are staged.
pub(super) type Staged = (usize, Table);

/// Ids that were, and those that they become; and the functions that need them. All of it goes with the transaction, or with the
/// connection.
const MAKE: &str = "CREATE TEMPORARY TABLE plinth_ids (old uuid PRIMARY KEY, new uuid NOT NULL) ON COMMIT DROP;
     GRANT SELECT, INSERT ON pg_temp.plinth_ids TO plinth_system;
     CREATE OR REPLACE FUNCTION pg_temp.plinth_fresh(old uuid) RETURNS uuid LANGUAGE sql VOLATILE AS $$
         SELECT encode(set_byte(b, 6, (get_byte(b, 6) & 15) | 112), 'hex')::uuid
           FROM (SELECT CASE WHEN substr(old::text, 15, 1) = '7'
                     THEN overlay(uuid_send(gen_random_uuid()) PLACING substring(uuid_send(old) FROM 1 FOR 8) FROM 1 FOR 8)
                     ELSE overlay(uuid_send(gen_random_uuid()) PLACING
                         substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3 FOR 6) FROM 1 FOR 6) END
                ) bytes (b)
     $$;
     CREATE OR REPLACE FUNCTION pg_temp.plinth_mapped(value text) RETURNS text LANGUAGE plpgsql STABLE AS $$
     DECLARE
         id record;
     BEGIN
         FOR id IN SELECT i.old::text AS old, i.new::text AS new FROM pg_temp.plinth_ids i
                    WHERE i.old = ANY (ARRAY(SELECT hit[1]::uuid FROM regexp_matches(value,
                        '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}', 'g') hit))
         LOOP
             value := regexp_replace(value, id.old, id.new, 'gi');
         END LOOP;
         RETURN value;
     END
     $$";

/// Makes an empty map. As the login.
pub(super) async fn make(client: &Client) -> Result<(), DomainError> {
    client.batch_execute(MAKE).await?;
    Ok(())
}

/// Fills the map with an id for each row that is staged.
pub(super) async fn fill(
    client: &Client,
    staged: &[Staged],
    from: Uuid,
    to: Uuid,
) -> Result<(), DomainError> {
    client
        .execute("INSERT INTO pg_temp.plinth_ids VALUES ($1, $2)", &[&from, &to])
        .await?;
    for (index, table) in staged {
        for column in ids(table) {
            let column = quote_ident(&column.name);
            let sql = format!(
                "INSERT INTO pg_temp.plinth_ids SELECT s.{column}, pg_temp.plinth_fresh(s.{column}) FROM {} s ON CONFLICT DO NOTHING",
                stage::name(*index)
            );
            client.execute(&sql, &[]).await?;
        }
    }
    Ok(())
}

/// Columns that hold ids of the table's own rows.
fn ids(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|column| {
        column.holds == Holds::Uuid
            && table.primary_key.contains(&column.name)
            && column.name != table.key
            && !table.refers_by(&column.name)
    })
}

/// What becomes of the domain's own row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renamed<'a> {
    pub slug: &'a str,
    pub name: &'a str,
}

/// Puts the staged rows into their table, each id mapped.
pub(super) async fn insert(
    client: &Client,
    (index, table): &Staged,
    renamed: Renamed<'_>,
) -> Result<u64, DomainError> {
    let values: Vec<String> = table
        .carried()
        .map(|column| match own_row(table, &column.name, renamed) {
            Some(value) => value,
            None => mapped(column),
        })
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} s",
        table.name,
        table.column_list(),
        values.join(", "),
        stage::name(*index)
    );
    Ok(client.execute(&sql, &[]).await?)
}

fn own_row(table: &Table, column: &str, renamed: Renamed<'_>) -> Option<String> {
    if !table.is_domains() {
        return None;
    }
    match column {
        "slug" => Some(quote_literal(renamed.slug)),
        "name" => Some(quote_literal(renamed.name)),
        "status" => Some("'active'".to_owned()),
        "version" => Some("1".to_owned()),
        "created_at" | "updated_at" => Some("now()".to_owned()),
        _ => None,
    }
}

fn mapped(column: &Column) -> String {
    let value = column.value_of("s");
    match column.holds {
        Holds::Uuid => format!("coalesce((SELECT i.new FROM pg_temp.plinth_ids i WHERE i.old = {value}), {value})"),
        Holds::Uuids => format!(
            "CASE WHEN {value} IS NOT NULL THEN ARRAY(SELECT coalesce(i.new, u.id) FROM unnest({value}) WITH ORDINALITY u (id, at)
                 LEFT JOIN pg_temp.plinth_ids i ON i.old = u.id ORDER BY u.at) END"
        ),
        Holds::Json => format!("pg_temp.plinth_mapped({value}::text)::{}", column.sql_type),
        Holds::Other => value,
    }
}

/// Ids of the original that stand in the copy, one line for each column: there has to be none.
pub(super) async fn left_over(
    client: &Client,
    staged: &[Staged],
    domain: Uuid,
) -> Result<Vec<String>, DomainError> {
    let mut left = Vec::new();
    for (_, table) in staged {
        for column in table.carried().filter(|column| column.holds == Holds::Uuid) {
            let sql = format!(
                "SELECT count(*) FILTER (WHERE (SELECT true FROM pg_temp.plinth_ids i WHERE i.old = t.{1})) FROM {0} t WHERE t.{2}",
                table.from(),
                quote_ident(&column.name),
                table.of(domain)
            );
            let count: i64 = client.query_one(&sql, &[]).await?.get(0);
            if count > 0 {
                left.push(format!(
                    "{} rows of {}, column {}",
                    count, table.name, column.name
                ));
            }
        }
    }
    Ok(left)
}
