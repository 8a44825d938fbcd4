//! On what a permission is wanted, out of the path: types for the signatures of handlers.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use db_core::Target;

use crate::problem::Problem;

/// Finds the target of a permission in a request.
pub trait Scope {
    /// The target.
    ///
    /// # Errors
    /// 404 when the path holds no id.
    fn target(request: &HttpRequest) -> Result<Target, Problem>;
}

/// The domain itself.
pub struct InDomain;
/// Wherever the permission is held; the query shows what the caller may see.
pub struct Anywhere;
/// The installation: platform operators only.
pub struct OnPlatform;

impl Scope for InDomain {
    fn target(_: &HttpRequest) -> Result<Target, Problem> {
        Ok(Target::Domain)
    }
}

impl Scope for Anywhere {
    fn target(_: &HttpRequest) -> Result<Target, Problem> {
        Ok(Target::Anywhere)
    }
}

impl Scope for OnPlatform {
    fn target(_: &HttpRequest) -> Result<Target, Problem> {
        Ok(Target::Platform)
    }
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $target:ident from $parameter:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Scope for $name {
            fn target(request: &HttpRequest) -> Result<Target, Problem> {
                parameter(request, $parameter).map(Target::$target)
            }
        }
    )*};
}

scopes! {
    /// The organization that the path names.
    InOrganization = Organization from "organization_id";
    /// The project that the path names.
    InProject = Project from "project_id";
    /// The project of the board that the path names.
    InBoard = Board from "board_id";
    /// The project of the column that the path names.
    InColumn = Column from "column_id";
    /// The project of the card that the path names.
    InCard = Card from "card_id";
    /// The project of the tag that the path names.
    InTag = Tag from "tag_id";
}

/// An id out of the path. What is no UUID does not exist: 404, like any other unknown id.
fn parameter<Id: FromStr>(request: &HttpRequest, name: &str) -> Result<Id, Problem> {
    request
        .match_info()
        .get(name)
        .and_then(|text| text.parse().ok())
        .ok_or_else(Problem::not_found)
}

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
