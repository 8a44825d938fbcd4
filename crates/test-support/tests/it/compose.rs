//! The Compose files, images and PgBouncer settings that are shipped: valid, closed, in order, and understood by the
//! server's own configuration.

mod mistakes;
mod model;
mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use app_config::{Environment, Loader, LocalPostgres};
use model::{Compose, Condition, Service};

const DEVELOPMENT: &str = "docker-compose.yml";
const PRODUCTION: &str = "docker-compose.prod.yaml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn parse(yaml: &str) -> Result<Compose, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn compose(file: &str) -> Compose {
    parse(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The settings of an INI or PostgreSQL file: `key = value`, without comments, sections and quotes.
fn settings(file: &str) -> BTreeMap<String, String> {
    text(file)
        .lines()
        .filter(|line| !line.starts_with([';', '#', '[', '%']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches('\'').to_owned()))
        .collect()
}

fn waits_for(service: &Service, other: &str) -> Option<Condition> {
    service
        .depends_on
        .get(other)
        .map(|dependency| dependency.condition)
}

#[test]
fn both_files_keep_the_rules() {
    for file in [DEVELOPMENT, PRODUCTION] {
        assert_eq!(
            rules::breaches(&compose(file), &root()),
            Vec::<String>::new(),
            "{file}"
        );
    }
    assert_eq!(
        rules::production_breaches(&compose(PRODUCTION)),
        Vec::<String>::new()
    );
}

#[test]
fn development_postgres_is_17_5_and_stands_alone() {
    let compose = compose(DEVELOPMENT);
    let postgres = &compose.services["postgres"];
    assert_eq!(postgres.image.as_deref(), Some("postgres:17.5"));
    assert!(postgres.build.is_none() && postgres.depends_on.is_empty() && postgres.profiles.is_empty());
    let image_variables = [
        ("POSTGRES_USER", "DBUSERNAME"),
        ("POSTGRES_PASSWORD", "DBPASSWORD"),
        ("POSTGRES_DB", "DBNAME"),
    ];
    for (image, ours) in image_variables {
        assert_eq!(postgres.environment[image], format!("${{{ours}:-plinth}}"));
    }
    for (name, service) in &compose.services {
        let behind_profile = service.profiles == ["kratos"];
        assert_eq!(behind_profile, name.starts_with("kratos"), "{name}");
    }
    assert_eq!(
        waits_for(&compose.services["kratos"], "kratos-migrate"),
        Some(Condition::Completed)
    );
    assert_eq!(
        waits_for(&compose.services["pgbouncer"], "postgres"),
        Some(Condition::Healthy)
    );
}

#[test]
fn postgres_keeps_parameters_out_of_its_log() {
    let quiet = [
        ("log_parameter_max_length", "0"),
        ("log_parameter_max_length_on_error", "0"),
        ("log_error_verbosity", "terse"),
    ];
    let configured = settings("deploy/postgres/plinth.conf");
    let development = compose(DEVELOPMENT);
    let production = compose(PRODUCTION);
    for (key, value) in quiet {
        assert_eq!(configured[key], value, "plinth.conf");
        assert!(
            development.services["postgres"]
                .command
                .contains(&format!("{key}={value}")),
            "{DEVELOPMENT}: {key}"
        );
    }
    assert!(!configured["shared_preload_libraries"].contains("auto_explain"));
    let postgres = &production.services["postgres"];
    let (_, target, _) = postgres
        .mounts()
        .find(|(source, ..)| *source == "./deploy/postgres/plinth.conf")
        .expect("plinth.conf is mounted");
    assert!(postgres.command.contains(&format!("config_file={target}")));
}

#[test]
fn production_migrates_before_it_serves_and_seeds_once() {
    let compose = compose(PRODUCTION);
    let service = |name: &str| &compose.services[name];
    assert_eq!(service("migrate").command, ["plinth-ops", "migrate", "run"]);
    assert_eq!(service("seeder").command, ["plinth-seeder", "apply"]);
    for step in ["migrate", "seeder"] {
        assert!(service(step).is_step(), "{step}");
        assert!(service(step).profiles.is_empty(), "{step} runs at every `up`");
        assert_eq!(
            service(step).environment["DATABASE_URL_FILE"],
            "/run/secrets/database_direct_url",
            "{step}"
        );
    }
    for later in ["seeder", "api", "worker"] {
        assert_eq!(
            waits_for(service(later), "migrate"),
            Some(Condition::Completed),
            "{later}"
        );
    }
    for client in ["api", "worker"] {
        assert_eq!(
            waits_for(service(client), "pgbouncer"),
            Some(Condition::Healthy),
            "{client}"
        );
    }
    for client in ["migrate", "pgbouncer"] {
        assert_eq!(
            waits_for(service(client), "postgres"),
            Some(Condition::Healthy),
            "{client}"
        );
    }
    assert_eq!(service("api").environment["PLINTH_MIGRATE_ON_START"], "false");
}

/// The environment of every container of ours, read as the container would read it.
#[test]
fn production_configuration_is_what_the_server_reads() {
    let compose = compose(PRODUCTION);
    let secrets = tempfile::tempdir().expect("a directory");
    let contents = [
        (
            "database_url",
            "postgresql://plinth_api:s3cret@/plinth?host=/run/pgbouncer&port=6432",
        ),
        (
            "database_direct_url",
            "postgresql://plinth:s3cret@postgres:5432/plinth",
        ),
        (
            "encryption_key",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
        (
            "password_pepper",
            "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
        ),
        ("setup_token", "00112233445566778899aabbccddeeff"),
    ];
    for (name, content) in contents {
        fs::write(secrets.path().join(name), content).expect("a secret");
    }
    let load = |name: &str| {
        let mut variables = image_environment();
        for (variable, value) in &compose.services[name].environment {
            // Compose's `${NAME:-default}`, with nothing set.
            let value = match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
                Some(inner) => inner.split_once(":-").map_or("", |(_, default)| default),
                None => value,
            };
            let value = value.replace("/run/secrets", &secrets.path().display().to_string());
            variables.insert(variable.clone(), value);
        }
        let environment: Environment = variables.into_iter().collect();
        let loaded = Loader::new(secrets.path(), environment).load();
        loaded.unwrap_or_else(|error| panic!("{name}: {error}")).config
    };

    let api = load("api");
    let pooled = api.database.address.clone().expect("the pooled address");
    assert_eq!(
        (pooled.user.as_str(), pooled.host.as_str(), pooled.port),
        ("plinth_api", "/run/pgbouncer", 6432)
    );
    let direct = api.database.direct.clone().expect("the direct address");
    assert_eq!(
        (direct.user.as_str(), direct.host.as_str(), direct.port),
        ("plinth", "postgres", 5432)
    );
    assert_eq!(pooled.database, direct.database);
    assert!(!api.database.migrate_on_start);
    assert!(
        api.security.encryption_key.is_some()
            && api.security.password_pepper.is_some()
            && api.setup.token.is_some()
    );
    assert_eq!(api.database.local, LocalPostgres::Never);
    assert_eq!(api.server.bind.to_string(), "0.0.0.0:8080");
    assert_eq!(api.paths.persistent_dir, Path::new("/data"));
    let grace = &compose.services["api"].stop_grace_period;
    assert_eq!(grace.as_deref(), Some("30s"));
    assert!(
        api.server.shutdown_grace.as_secs() < 30,
        "Docker kills before the server has ended"
    );
    let worker = load("worker");
    assert!(
        u64::from(api.database.pool_size) + u64::from(worker.database.pool_size)
            <= number("default_pool_size"),
        "requests would queue at the pool"
    );
    assert!(!api.jobs.worker, "the worker does it");
    let addresses = |database: &app_config::DatabaseConfig| {
        let address = database.address.as_ref().expect("the pooled address");
        let direct = database.direct.as_ref().expect("the direct address");
        (address.host.clone(), direct.host.clone())
    };
    assert_eq!(addresses(&worker.database), addresses(&api.database));
    assert!(worker.security.encryption_key.is_some() && worker.security.password_pepper.is_some());
    assert_eq!(worker.jobs.metrics_bind.to_string(), "0.0.0.0:9465");
    assert_eq!(
        compose.services["worker"].stop_grace_period.as_deref(),
        Some("1m")
    );
    assert!(
        worker.jobs.shutdown_grace.as_secs() < 60,
        "Docker kills before the jobs have ended"
    );
    // Where the worker makes backups, the commands by hand find them: below the volume that both mount.
    for name in ["worker", "ops"] {
        let url = load(name).backup.url.expect("a place for backups");
        let mut mounts = compose.services[name].mounts();
        assert!(
            mounts.any(|mount| mount == ("backups", url.as_str(), "")),
            "{name}: {url}"
        );
    }

    for step in ["migrate", "seeder", "ops"] {
        let database = load(step).database;
        let owner = database.owner_address().expect("the owner's address");
        assert_eq!(
            (owner.user.as_str(), owner.host.as_str()),
            ("plinth", "postgres"),
            "{step}"
        );
        assert_eq!(database.local, LocalPostgres::Never, "{step}");
    }
}

fn number(pool_setting: &str) -> u64 {
    settings("deploy/pgbouncer/pool.ini")[pool_setting]
        .parse()
        .expect("a number")
}

#[test]
fn pool_is_in_transaction_mode_and_only_api_and_worker_reach_it() {
    let pool = settings("deploy/pgbouncer/pool.ini");
    let expected = [
        ("pool_mode", "transaction"),
        ("max_prepared_statements", "200"),
        ("ignore_startup_parameters", "extra_float_digits"),
        ("auth_type", "scram-sha-256"),
    ];
    for (key, value) in expected {
        assert_eq!(pool[key], value, "{key}");
    }

    let sidecar = settings("deploy/pgbouncer/pgbouncer.ini");
    assert!(
        !sidecar.contains_key("listen_addr"),
        "the sidecar must not listen on TCP"
    );
    assert_eq!(
        (
            sidecar["unix_socket_dir"].as_str(),
            sidecar["listen_port"].as_str()
        ),
        ("/run/pgbouncer", "6432")
    );
    for file in ["pgbouncer", "development"] {
        let whole = text(&format!("deploy/pgbouncer/{file}.ini"));
        // At a second [pgbouncer], PgBouncer puts every setting back to its default, and says nothing.
        assert_eq!(
            whole
                .matches("\n[pgbouncer]\n%include /etc/pgbouncer/pool.ini\n")
                .count(),
            1,
            "{file}.ini"
        );
        assert_eq!(whole.matches("\n[pgbouncer]").count(), 1, "{file}.ini");
        let own = settings(&format!("deploy/pgbouncer/{file}.ini"));
        let repeated: Vec<&String> = own.keys().filter(|key| pool.contains_key(*key)).collect();
        assert_eq!(repeated, Vec::<&String>::new(), "{file}.ini overrides pool.ini");
    }
    assert!(
        !text("deploy/pgbouncer/pool.ini")
            .lines()
            .any(|line| line.starts_with('[')),
        "pool.ini starts a section"
    );

    let compose = compose(PRODUCTION);
    let with_socket: Vec<&String> = compose
        .services
        .iter()
        .filter(|(_, service)| {
            service
                .mounts()
                .any(|mount| mount == ("pool_socket", "/run/pgbouncer", ""))
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(with_socket, ["api", "pgbouncer", "worker"]);
    let (api, pgbouncer) = (&compose.services["api"], &compose.services["pgbouncer"]);
    let group = |service: &Service| {
        service
            .user
            .as_ref()
            .and_then(|user| user.split(':').nth(1).map(str::to_owned))
    };
    for client in [api, &compose.services["worker"]] {
        assert_eq!(
            group(client),
            group(pgbouncer),
            "the socket's directory is entered through its group"
        );
    }
    let options = &compose.volumes["pool_socket"]
        .as_ref()
        .expect("options")
        .driver_opts["o"];
    assert!(options.contains("uid=10002,gid=10001,mode=0750"), "{options}");
    assert!(pgbouncer.ports.is_empty());
}

#[test]
fn data_and_backups_are_apart() {
    let compose = compose(PRODUCTION);
    let users = |volume: &str| -> Vec<&str> {
        let uses = |service: &Service| service.mounts().any(|(source, ..)| source == volume);
        compose
            .services
            .iter()
            .filter(|(_, service)| uses(service))
            .map(|(name, _)| name.as_str())
            .collect()
    };
    assert_eq!(users("postgres_data"), ["postgres"]);
    assert_eq!(users("backups"), ["ops", "worker"]);
    assert_eq!(
        compose.services["postgres"].networks.iter().collect::<Vec<_>>(),
        ["database"]
    );
    assert!(
        compose.networks["database"]
            .as_ref()
            .is_some_and(|network| network.internal)
    );
    assert!(compose.services["postgres"].ports.is_empty());
}

/// The `ENV` of the release image.
fn image_environment() -> BTreeMap<String, String> {
    let dockerfile = text("deploy/Dockerfile").replace("\\\n", " ");
    dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ENV "))
        .flat_map(str::split_whitespace)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn release_image_has_no_compiler_no_root_and_no_private_postgres() {
    let dockerfile = text("deploy/Dockerfile");
    let (build, release) = dockerfile.rsplit_once("\nFROM ").expect("two stages");
    let manifest = text("Cargo.toml");
    let rust = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("a version");
    assert!(
        build.contains(&format!("FROM rust:{}-slim-", rust.trim_matches('"'))),
        "not built by Rust {rust}"
    );
    assert!(build.contains("cargo build --release --locked"));
    assert!(release.starts_with("debian:") && release.contains("-slim\n"));
    // As new as any server that we support, and as the bundled one.
    let client: u32 = release
        .split_once("postgresql-client-18")
        .map(|_| 18)
        .expect("pg_dump, for backups");
    let bundled = compose(PRODUCTION).services["postgres"]
        .image
        .clone()
        .expect("an image");
    let bundled: u32 = bundled
        .trim_start_matches("postgres:")
        .parse()
        .expect("a version");
    assert!(
        client >= bundled,
        "pg_dump {client} cannot dump PostgreSQL {bundled}"
    );
    assert!(release.contains("--mode 0700 /data /backups"));
    for instruction in [
        "USER 10001:10001\n",
        "VOLUME /data\n",
        "CMD [\"plinth-api\", \"healthcheck\"]\n",
        "STOPSIGNAL SIGTERM\n",
    ] {
        assert!(release.contains(instruction), "no {instruction:?}");
    }
    assert!(!release.contains("curl") && !release.contains("gcc") && !release.contains("cargo"));
    assert_eq!(image_environment()["PLINTH_DATABASE_LOCAL"], "never");
    let ignored = text(".dockerignore");
    for kept_out in [
        "/deploy/secrets/",
        "/persistent_data/",
        "**/.env",
        "/.git/",
        "/target/",
    ] {
        assert!(
            ignored.lines().any(|line| line == kept_out),
            "{kept_out} would reach the image's build"
        );
    }
}
