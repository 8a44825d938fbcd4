//! Query parameters: unknown ones are refused, pages are cut by a cursor.

use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use db_core::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};
use utoipa::ToSchema;

use super::body::field_of;
use crate::problem::Problem;

/// A request's query parameters. The struct behind it denies unknown fields.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Params<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = request.query_string();
        // PostgreSQL stores no NUL, and so finds none.
        if let Some((name, _)) = form_pairs(query).find(|(_, value)| value.contains('\0')) {
            let problem = Problem::bad_request("invalid_query", "a query parameter does not fit; see errors");
            return ready(Err(
                problem.field(name, "must not contain the control character U+0000")
            ));
        }

        let deserializer = serde_urlencoded::Deserializer::new(form_pairs(query));
        ready(
            serde_path_to_error::deserialize(deserializer)
                .map(Self)
                .map_err(|error| {
                    let path = error.path().to_string();
                    let message = error.into_inner().to_string();
                    let field = field_of(&path, &message).unwrap_or_else(|| "query".to_owned());
                    let problem =
                        Problem::bad_request("invalid_query", "a query parameter does not fit; see errors");
                    problem.field(field, message)
                }),
        )
    }
}

fn form_pairs(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// Where a page begins: the list it belongs to, and the key of the last row before it. Opaque to clients.
pub struct Cursor;

impl Cursor {
    fn encode(list: &str, key: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{list}:{key}"))
    }

    fn decode<Key: FromStr>(list: &str, cursor: &str) -> Result<Key, Problem> {
        let refuse = || {
            Problem::bad_request("invalid_query", "a query parameter does not fit; see errors").field(
                "cursor",
                "is not a cursor of this list; take next_cursor of the page before",
            )
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let text = bytes.ok_or_else(refuse)?;
        let (name, key) = text.split_once(':').ok_or_else(refuse)?;
        if name != list || key.contains(char::is_control) {
            return Err(refuse());
        }
        key.parse().ok().ok_or_else(refuse)
    }
}

/// The page that `limit` and `cursor` ask for, of the list of that name.
///
/// # Errors
/// 400 for a limit outside of 1 to 200, or a cursor that is not this list's.
pub fn page<Key: FromStr>(
    list: &str,
    limit: Option<u16>,
    cursor: Option<&str>,
) -> Result<PageRequest<Key>, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let problem = Problem::bad_request("invalid_query", "a query parameter does not fit; see errors");
        return Err(problem.field("limit", format!("must be 1 to {MAX_LIMIT}, is {limit}")));
    }
    let after = cursor.map(|cursor| Cursor::decode(list, cursor)).transpose()?;
    Ok(PageRequest { limit, after })
}

/// A page ends with the row with which it has so many bytes, however many were asked for.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Up to so many bytes a page is not looked at: no row that follows makes it too large.
const SMALL_PAGE: usize = 64 * 1024;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Goes into `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T: Serialize> Listing<T> {
    /// 200 with the page, written row by row and cut off where it gets too large; `key` is what the list is ordered by.
    ///
    /// # Errors
    /// A row cannot be written as JSON, which would be a fault of ours.
    pub fn answer<Row>(
        list: &str,
        page: Page<Row>,
        key: impl Fn(&Row) -> String,
    ) -> Result<HttpResponse, Problem>
    where
        T: From<Row>,
    {
        let body = write_page::<T, Row>(list, page, key, PAGE_BYTES).map_err(|error| {
            tracing::error!(%error, list, "a row cannot be written as JSON");
            Problem::internal()
        })?;
        Ok(HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type(header::ContentType::json())
            .body(body))
    }
}

/// The JSON of a [`Listing`], of about `most` bytes at most: the row that goes beyond it is the last.
fn write_page<T, Row>(
    list: &str,
    page: Page<Row>,
    key: impl Fn(&Row) -> String,
    most: usize,
) -> serde_json::Result<Vec<u8>>
where
    T: From<Row> + Serialize,
{
    let mut body = br#"{"items":["#.to_vec();
    let mut next_cursor = None;
    let mut rows = page.rows.into_iter();
    while let Some(row) = rows.next() {
        let is_last = rows.len() == 0;
        let key = (is_last || body.len() > SMALL_PAGE.min(most / 2)).then(|| key(&row));
        serde_json::to_writer(&mut body, &T::from(row))?;
        if let Some(key) = key
            && (is_last || body.len() > most)
        {
            if !is_last || page.more {
                next_cursor = Some(Cursor::encode(list, &key));
            }
            break;
        }
        body.push(b',');
    }
    body.extend_from_slice(br#"],"next_cursor":"#);
    serde_json::to_writer(&mut body, &next_cursor)?;
    body.push(b'}');
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: Vec<String>, more: bool, most: usize) -> (Vec<String>, Option<String>) {
        let body = write_page::<String, String>("names", Page { rows, more }, Clone::clone, most).unwrap();
        let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let after = page["next_cursor"]
            .as_str()
            .map(|cursor| Cursor::decode::<String>("names", cursor).unwrap());
        (serde_json::from_value(page["items"].clone()).unwrap(), after)
    }

    #[test]
    fn a_page_is_cut_where_it_gets_too_large_and_goes_on_there() {
        let rows: Vec<String> = (0..9)
            .map(|number| format!("{number}{}", "x".repeat(99)))
            .collect();
        assert_eq!(read(Vec::new(), false, 1_000), (Vec::new(), None));
        assert_eq!(read(rows.clone(), false, 10_000), (rows.clone(), None));
        assert_eq!(
            read(rows.clone(), true, 10_000),
            (rows.clone(), rows.last().cloned())
        );
        assert_eq!(
            read(rows.clone(), true, 250),
            (rows[..3].to_vec(), rows.get(2).cloned())
        );
        assert_eq!(
            read(rows.clone(), false, 1),
            (rows[..1].to_vec(), rows.first().cloned())
        );
        // The row that goes beyond is the last one anyway: nothing follows.
        assert_eq!(read(rows[..1].to_vec(), false, 1), (rows[..1].to_vec(), None));
    }
}
