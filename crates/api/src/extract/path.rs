//! The ids of a path.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::problem::Problem;

/// The ids of a path, in order: `Path((card,)): Path<(CardId,)>`.
pub struct Path<Ids>(pub Ids);

fn nth<Id: FromStr>(request: &HttpRequest, index: usize) -> Result<Id, Problem> {
    let parameter = request.match_info().iter().nth(index);
    parameter
        .and_then(|(_, text)| text.parse().ok())
        .ok_or_else(Problem::not_found)
}

/// What a path can be read as.
pub trait FromPath: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// 404 when a part is no id.
    fn from_path(request: &HttpRequest) -> Result<Self, Problem>;
}

impl<A: FromStr> FromPath for (A,) {
    fn from_path(request: &HttpRequest) -> Result<Self, Problem> {
        Ok((nth(request, 0)?,))
    }
}

impl<A: FromStr, B: FromStr> FromPath for (A, B) {
    fn from_path(request: &HttpRequest) -> Result<Self, Problem> {
        Ok((nth(request, 0)?, nth(request, 1)?))
    }
}

impl<Ids: FromPath> FromRequest for Path<Ids> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ids::from_path(request).map(Self))
    }
}
