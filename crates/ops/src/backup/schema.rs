//! The schema of a snapshot or a restored database, and what has to be there beside it: roles, and who owns what.

use db_core::tenancy;
use db_migrate::MIGRATIONS;
use pg_catalog::{Catalog, Options, quote_ident};
use tokio_postgres::Client;

use super::BackupError;
use super::manifest::{Manifest, OthersObject, Schema};
use crate::program::Program;
use db_core::Owner;

/// Reads it inside the client's transaction. `owner` leads to the same database.
pub(super) async fn read(client: &Client, owner: &Owner) -> Result<Schema, BackupError> {
    let symbolic_owner = owned_by_the_database_owner(client).await?;
    let options = Options {
        symbolic_owner,
        ..Options::default()
    };
    let catalog = Catalog::read_within(client, &options)
        .await
        .map_err(|error| BackupError::Failed(error.to_string()))?;
    let report = tenancy::examine(owner)
        .await
        .map_err(|error| BackupError::Failed(error.to_string()))?;
    let mut violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    violations.sort();
    Ok(Schema {
        fingerprint: catalog.fingerprint().to_string(),
        symbolic_owner,
        migrations: migrations(client).await?,
        violations,
    })
}

/// Whether what the migrations made belongs to the owner of the database: then it is compared as "the owner", else by name.
async fn owned_by_the_database_owner(client: &Client) -> Result<bool, BackupError> {
    let row = client
        .query_one(
            "SELECT coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('public.__diesel_schema_migrations')) = datdba, true)
               FROM pg_database WHERE datname = current_database()",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

async fn migrations(client: &Client) -> Result<Vec<String>, BackupError> {
    let there: bool = client
        .query_one(
            "SELECT to_regclass('public.__diesel_schema_migrations') IS NOT NULL",
            &[],
        )
        .await?
        .get(0);
    if !there {
        return Ok(Vec::new());
    }
    let rows = client
        .query(
            "SELECT version::text FROM public.__diesel_schema_migrations ORDER BY version",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A backup of a newer version of Plinth is refused: nobody here knows what its rows mean.
pub(super) fn require_known(manifest: &Manifest) -> Result<(), BackupError> {
    let unknown = manifest
        .schema
        .migrations
        .iter()
        .find(|version| !MIGRATIONS.iter().any(|known| known.version == **version));
    match unknown {
        None => Ok(()),
        Some(version) => Err(BackupError::NewerSchema {
            backup: manifest.backup.to_string(),
            version: version.clone(),
        }),
    }
}

/// Whether this version's rules can be held against the schema: it has all its migrations.
fn is_current(schema: &Schema) -> bool {
    schema.migrations.len() == MIGRATIONS.len()
}

/// How a restored schema differs from the one that was backed up; empty when it does not.
pub(super) async fn differences(
    program: &Program,
    client: &Client,
    owner: &Owner,
    manifest: &Manifest,
    server_major: u32,
) -> Result<Vec<String>, BackupError> {
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let schema = read(client, owner).await?;
    client.batch_execute("COMMIT").await?;
    let was = &manifest.schema;
    let mut differences = Vec::new();
    if schema.migrations != was.migrations {
        differences.push(format!(
            "the applied migrations are {}, and were {}",
            schema.migrations.join(", "),
            was.migrations.join(", ")
        ));
    }
    // Another version of PostgreSQL prints some definitions otherwise; a login of another name owns what is compared by name.
    let same_server = u32::try_from(manifest.server_version_num / 10_000) == Ok(server_major);
    let same_owner = was.symbolic_owner || manifest.owner == program.owner.address().user;
    if same_server && same_owner && schema.symbolic_owner == was.symbolic_owner {
        if schema.fingerprint != was.fingerprint {
            differences.push(format!(
                "the schema is another: its fingerprint is {}, and was {}",
                schema.fingerprint, was.fingerprint
            ));
        }
    } else {
        tracing::info!(
            "the schema's fingerprint is not compared: the server's version, or the owner, is another"
        );
    }
    if is_current(was) {
        differences.extend(
            schema
                .violations
                .iter()
                .filter(|violation| !was.violations.contains(violation))
                .map(|violation| format!("it breaks a rule of tenancy: {violation}")),
        );
    }
    Ok(differences)
}

/// Roles that own something in the database, or that something is granted to.
pub(super) async fn roles(client: &Client) -> Result<Vec<String>, BackupError> {
    let rows = client
        .query(
            "SELECT DISTINCT r.rolname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
              WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname !~ '^pg_' AND r.rolname <> current_user
                AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
              ORDER BY 1",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Objects that belong to somebody else than the login that dumps. What an extension has comes with it.
pub(super) async fn others_objects(client: &Client) -> Result<Vec<OthersObject>, BackupError> {
    let rows = client
        .query(
            "SELECT i.type, i.identity, r.rolname::text
               FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
               CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, 0) i
              WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND r.rolname <> current_user
                AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND s.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_type'::regclass)
                AND i.type IN ('table', 'view', 'materialized view', 'sequence', 'function', 'procedure', 'aggregate', 'schema', 'type')
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype IN ('e', 'i', 'a'))
              ORDER BY 1, 2",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| OthersObject {
            kind: row.get(0),
            identity: row.get(1),
            owner: row.get(2),
        })
        .collect())
}

/// Makes the roles that are missing. They cannot log in: logins are somebody's decision.
pub(super) async fn ensure_roles(client: &Client, manifest: &Manifest) -> Result<(), BackupError> {
    for role in &manifest.roles {
        let there: bool = client
            .query_one("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", &[role])
            .await?
            .get(0);
        if !there {
            let sql = format!("CREATE ROLE {} NOLOGIN", quote_ident(role));
            client.batch_execute(&sql).await.map_err(|error| {
                BackupError::Failed(format!(
                    "the role {role} is missing, and cannot be made: {}; as an administrator, {sql}",
                    BackupError::from(error)
                ))
            })?;
            tracing::warn!(role, "made the role, which cannot log in");
        }
    }
    // To give functions to plinth_system, and to read as it, one has to be a member.
    let sql = "DO $$ BEGIN
                   IF to_regrole('plinth_system') IS NOT NULL AND NOT pg_has_role(current_user, 'plinth_system', 'USAGE') THEN
                       GRANT plinth_system TO CURRENT_USER;
                   END IF;
               END $$";
    Ok(client.batch_execute(sql).await?)
}

/// Gives objects back to whom they belonged; the restore made them all the login's.
pub(super) async fn give_back(client: &Client, manifest: &Manifest) -> Result<(), BackupError> {
    for object in &manifest.others_objects {
        let kind = match object.kind.as_str() {
            known @ ("table" | "view" | "materialized view" | "sequence" | "function" | "procedure"
            | "aggregate" | "schema" | "type") => known,
            other => {
                return Err(BackupError::damaged(
                    &manifest.backup,
                    format!("it has an object of kind {other:?}"),
                ));
            }
        };
        let sql = format!(
            "ALTER {kind} {} OWNER TO {}",
            object.identity,
            quote_ident(&object.owner)
        );
        client.batch_execute(&sql).await.map_err(|error| {
            BackupError::Failed(format!(
                "{kind} {} cannot be given to {}: {}",
                object.identity,
                object.owner,
                BackupError::from(error)
            ))
        })?;
    }
    Ok(())
}
