# `make` lists the targets. Each is a line or two around a script or one of our programs, so it can be run without make too.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-versions lint fmt update migrate-create migrate-run migrate-revert migrate-redo migrate-show migrate-generate migrate-verify migrate-lint migrate-swarm queue-chaos seed bench bench-queue bench-migrate bench-backup backup-kills check-boundaries clean

TARGET := $(or $(CARGO_TARGET_DIR),target)
OPS := cargo run --quiet --package ops --bin plinth-ops --
SEEDER := cargo run --quiet --package seeder --bin plinth-seeder --

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and run the server on a private PostgreSQL: migrated, seeded, with two demo domains
	@scripts/ensure-tools
	@scripts/ensure-postgres --unless-configured
	@cargo build --package api --bin plinth-api
	@PLINTH_SETUP_DEMO="$${PLINTH_SETUP_DEMO:-true}" exec $(TARGET)/debug/plinth-api

test: ## Run all tests, also beside a running server (args='-p api cards' for a part of them)
	@scripts/ensure-tools
	@scripts/ensure-postgres
	@scripts/ensure-nextest
	@scripts/check-boundaries
	@scripts/check-migrations
	@scripts/test $(args)

test-versions: ## Run the tests that depend on it against PostgreSQL 14 to 18 (versions='14 18' for some of them)
	@scripts/ensure-tools
	@scripts/ensure-nextest
	@scripts/test-versions $(versions)

lint: ## Check formatting, lints, crate boundaries, and licences where cargo-deny is installed
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@scripts/check-boundaries
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check bans licenses sources; \
	else echo "lint: cargo-deny is not installed: licences and sources not checked (CI does)"; fi
	@if command -v shellcheck >/dev/null; then shellcheck --severity=warning -x scripts/ensure-* scripts/check-* scripts/migrate-create scripts/test scripts/test-versions scripts/update scripts/bench* .ci/run; \
	else echo "lint: shellcheck is not installed: scripts not checked (CI does)"; fi

fmt: ## Format the code
	@cargo fmt --all

update: ## Regenerate what is generated: openapi.json, schema.rs, snapshots
	@scripts/update

migrate-create: ## Make an empty migration: make migrate-create name=add_card_color (transaction=off for an index build or backfill)
	@scripts/migrate-create '$(subst ','\'',$(name))' $(if $(filter off,$(transaction)),--no-transaction)

migrate-generate: ## Write the migration that leads to the schema in schema/: make migrate-generate name=add_card_color (args='--rename column:public.t.a=b')
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate generate --name '$(subst ','\'',$(name))' --schema-rs crates/db-core/src/schema.rs $(args)

migrate-run: ## Apply pending migrations to the configured database, or to the private one
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate run

migrate-revert: ## Revert the last migration, or the last n: make migrate-revert n=2 (args=--yes without a question)
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate revert $(n) $(args)

migrate-redo: ## Revert the last migration, or the last n, and apply it again: make migrate-redo n=2 (args=--yes without a question)
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate redo $(n) $(args)

migrate-show: ## List migrations and whether they are applied
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate show

migrate-verify: ## Apply, revert and apply the new migrations on a scratch database with rows in it (args=--all for all of them)
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate verify $(args)

migrate-lint: ## Look at the new migrations for what would lock, lose or leak (args=--all for all of them)
	@scripts/ensure-postgres --unless-configured
	@$(OPS) migrate lint $(args)

migrate-swarm: ## Fifty processes migrate at once, most of them killed, in twenty rounds (swarm=20x3 for less)
	@scripts/ensure-postgres
	@scripts/ensure-nextest
	@cargo nextest run --workspace --cargo-quiet --no-run
	@# Not by nextest, which would end it after three minutes.
	@PLINTH_TEST_SWARM=$(or $(swarm),50x20) $(TARGET)/debug/with-postgres -- cargo test --quiet --workspace --test it -- swarm:: --nocapture

queue-chaos: ## 100,000 jobs while workers are killed and PostgreSQL restarts (jobs=10000 restarts=1 seed=7 for others)
	@scripts/ensure-postgres
	@scripts/ensure-nextest
	@cargo nextest run --workspace --cargo-quiet --no-run
	@# Not by nextest, which would end it after three minutes.
	@PLINTH_TEST_CHAOS_JOBS=$(or $(jobs),100000) PLINTH_TEST_CHAOS_RESTARTS=$(or $(restarts),2) PLINTH_TEST_CHAOS_SEED=$(seed) \
		cargo test --quiet --workspace --test it -- chaos::nothing_is_lost --nocapture

backup-kills: ## Backups, drills, restores, rotations and erasures, each killed at 20 random moments (kills=50 for more)
	@scripts/ensure-postgres
	@scripts/ensure-nextest
	@cargo nextest run --workspace --cargo-quiet --no-run
	@# Not by nextest, which would end it after three minutes.
	@PLINTH_TEST_KILLS=$(or $(kills),20) $(TARGET)/debug/with-postgres -- cargo test --quiet --workspace --test it -- _kills:: keys::killed --nocapture

seed: ## Bring roles and permissions up to date in the database
	@scripts/ensure-postgres --unless-configured
	@$(SEEDER) apply

bench: ## Measure the server against what PostgreSQL alone can do
	@scripts/ensure-tools
	@scripts/ensure-postgres
	@scripts/bench $(args)

bench-migrate: ## Measure plinth-ops migrate run beside psql: readers behind a blocked ALTER TABLE, 200 migrations
	@scripts/ensure-tools
	@scripts/ensure-postgres
	@scripts/bench-migrate $(args)

bench-backup: ## Measure backups and restores beside pg_dump | gzip and psql, on a database of about 1 GB
	@scripts/ensure-tools
	@scripts/ensure-postgres
	@scripts/bench-backup $(args)

bench-queue: ## Measure the job queue beside graphile-worker and pg-boss (args='--waiting 100000 --held 30' for less)
	@scripts/ensure-tools
	@scripts/ensure-postgres
	@scripts/bench-queue $(args)

check-boundaries: ## Check which crate depends on which
	@scripts/check-boundaries

clean: ## Remove what was built (never data)
	@cargo clean
	@find . -name '*.snap.new' -not -path './target/*' -delete
