//! Migrations and what is said of them.

mod allow;
mod bad;
mod catalogue;
mod good;
mod reports;
mod rules;
mod support;
