//! `plinth-ops` as a person or a container runs it: the program, its output, its exit codes, against real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod backfill;
mod backup;
mod backup_damage;
mod backup_failures;
mod backup_kills;
mod backup_owner;
mod backup_prune;
mod backup_s3;
mod baseline;
mod catalogue;
mod codes;
mod config;
mod crowd;
mod domains;
mod drift;
mod dry_run;
mod folders;
mod generate;
mod history;
mod lint;
mod lint_tenancy;
mod private;
mod refused;
mod setup;
mod split;
mod stepwise;
mod support;
mod swarm;
mod verify;
