//! Query parameters: unknown ones are refused, pages are cut by a cursor.

use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
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

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Goes into `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Listing<T> {
    /// The page as the API shows it; `key` is what the list is ordered by.
    pub fn new<Row>(list: &str, page: Page<Row>, key: impl Fn(&Row) -> String) -> Self
    where
        T: From<Row>,
    {
        let next_cursor = if page.more {
            page.rows.last().map(|row| Cursor::encode(list, &key(row)))
        } else {
            None
        };
        Self {
            items: page.rows.into_iter().map(T::from).collect(),
            next_cursor,
        }
    }
}
