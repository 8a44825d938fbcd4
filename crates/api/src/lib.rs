//! Plinth's HTTP API on actix-web.
//!
//! Start reading at [`routes`], the table of contents. A handler reads as a paragraph: extractors say who may call and on
//! what (`extract`), one named transaction runs model functions of `db_core`, and the answer follows (`answer`).
//! Everything else than a success is a [`problem`].

pub mod answer;
mod deadline;
mod drift;
pub mod extract;
mod fair_share;
mod gate;
mod jobs;
mod limits;
pub mod openapi;
pub mod problem;
pub mod request_id;
pub mod routes;
mod send_timeout;
pub mod server;
pub mod start;
pub mod state;
