//! The configuration from outside: directories, environments and flags in, a configuration or its problems out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod contradictions;
mod defaults;
mod document;
mod layers;
mod secrets;
mod support;
mod systems;
mod urls;
mod validation;
