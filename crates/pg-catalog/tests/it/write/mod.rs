//! The corpus of edits: each planned, applied, compared, undone and compared, with rows in every table.

mod behaviour;
mod columns;
mod combined;
mod constraints;
mod found;
mod others;
mod proof;
mod relations;
mod together;
