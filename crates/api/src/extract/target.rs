//! On what a permission is wanted, out of the path: types for the signatures of handlers.

use std::str::FromStr;

use actix_web::HttpRequest;
use db_core::Target;

use crate::problem::Problem;

/// Finds the target of a permission in a request.
pub trait FindTarget {
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

impl FindTarget for InDomain {
    fn target(_: &HttpRequest) -> Result<Target, Problem> {
        Ok(Target::Domain)
    }
}

impl FindTarget for Anywhere {
    fn target(_: &HttpRequest) -> Result<Target, Problem> {
        Ok(Target::Anywhere)
    }
}

impl FindTarget for OnPlatform {
    fn target(_: &HttpRequest) -> Result<Target, Problem> {
        Ok(Target::Platform)
    }
}

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident = $target:ident from $parameter:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl FindTarget for $name {
            fn target(request: &HttpRequest) -> Result<Target, Problem> {
                parameter(request, $parameter).map(Target::$target)
            }
        }
    )*};
}

targets! {
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
