//! What handlers are given: who may call and on what, the body, the query, the version that the client has.

mod body;
pub(crate) mod body_arrival;
mod can;
mod client;
mod credential;
mod if_match;
mod params;
mod path;
mod target;

pub use body::{Body, Check, Checker, nullable, secret};
pub use can::{Caller, Can, Own, SignedIn};
pub use client::Client;
pub use credential::{SECURE_SESSION_COOKIE, session_cookie};
pub use if_match::IfMatch;
pub use params::{Cursor, Listing, Params, page};
pub use path::Path;
pub use target::{
    Anywhere, FindTarget, InBoard, InCard, InColumn, InDomain, InOrganization, InProject, InTag, OnPlatform,
};
