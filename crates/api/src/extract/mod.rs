//! What handlers are given: who may call and on what, the body, the query, the version that the client has.

mod body;
mod can;
mod client;
mod credential;
mod if_match;
mod params;
mod scope;

pub use body::{Body, Check, Checker, nullable, secret};
pub use can::{Can, Own, SignedIn};
pub use client::Client;
pub use credential::SESSION_COOKIE;
pub use if_match::IfMatch;
pub use params::{Cursor, Listing, Params, page};
pub use scope::{
    Anywhere, InBoard, InCard, InColumn, InDomain, InOrganization, InProject, InTag, OnPlatform, Path, Scope,
};
