//! Migrations and what is said of them.

mod allow;
mod bad;
mod bodies;
mod catalogue;
mod good;
mod reports;
mod rules;
mod support;
