//! The schema of a snapshot or a restored database, and what has to be there beside it: roles, and who owns what.

use db_core::tenancy;
use db_migrate::MIGRATIONS;
use pg_catalog::{Catalog, Options, quote_ident};
use tokio_postgres::Client;

use super::BackupError;
use super::frame::Frame;
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

/// How a restored schema differs from the one that was backed up; empty when it does not. And why its fingerprint was not compared, where
/// it was not.
pub(super) async fn differences(
    program: &Program,
    client: &Client,
    owner: &Owner,
    manifest: &Manifest,
    server_major: u32,
) -> Result<(Vec<String>, Option<&'static str>), BackupError> {
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
    // Another version of PostgreSQL prints some definitions otherwise. What belongs to the database's owner is compared as his, whatever
    // he is called; what belongs to the login that dumped, and is not his, has that login's name.
    let same_server = u32::try_from(manifest.server_version_num / 10_000) == Ok(server_major);
    let same_login = manifest.owner == program.owner.address().user;
    let same_owner = same_login || (was.symbolic_owner && manifest.frame.owner.is_none());
    let not_compared = if !same_server {
        Some("the server has another major version")
    } else if !same_owner {
        Some("the login is another than the one that made the backup, and that one did not own the database")
    } else if schema.symbolic_owner != was.symbolic_owner {
        Some("the tables and the database belonged to one owner, and do not here, or the other way round")
    } else {
        None
    };
    if not_compared.is_none() && schema.fingerprint != was.fingerprint {
        differences.push(format!(
            "the schema is another: its fingerprint is {}, and was {}",
            schema.fingerprint, was.fingerprint
        ));
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
    Ok((differences, not_compared))
}

/// Roles that own something in the database, or the database; that something is granted to, or a setting of it made for.
pub(super) async fn roles(client: &Client) -> Result<Vec<String>, BackupError> {
    let rows = client
        .query(
            "SELECT r.rolname::text FROM pg_roles r, pg_database d
              WHERE d.datname = current_database() AND r.rolname !~ '^pg_' AND r.rolname <> current_user
                AND (r.oid = d.datdba
                     OR EXISTS (SELECT FROM aclexplode(d.datacl) g WHERE g.grantee = r.oid)
                     OR EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole = r.oid)
                     OR EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.dbid = d.oid))
              ORDER BY 1",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Objects that belong to somebody else than the login that dumps. What an extension has comes with it.
pub(super) async fn others_objects(client: &Client) -> Result<Vec<OthersObject>, BackupError> {
    let others = "SELECT classid AS class, objid AS oid, refobjid AS owner FROM pg_shdepend
                   WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND refobjid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
                     AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_type'::regclass)";
    objects(client, others).await
}

/// Of the objects that `owned` gives (`class`, `oid`, `owner`) those that have an owner of their own.
async fn objects(client: &Client, owned: &str) -> Result<Vec<OthersObject>, BackupError> {
    let rows = client
        .query(
            &format!(
                "SELECT i.type, i.identity, r.rolname::text
                   FROM ({owned}) o JOIN pg_roles r ON r.oid = o.owner
                  CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
                  WHERE i.type IN ('table', 'view', 'materialized view', 'sequence', 'function', 'procedure', 'aggregate', 'schema', 'type')
                    -- Partitions depend on their table and on themselves, and are somebody's all the same. Sequences of columns are not.
                    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid
                                       AND (d.deptype = 'e' OR d.deptype IN ('i', 'a')
                                            AND NOT (o.class = 'pg_class'::regclass AND i.type IN ('table', 'view', 'materialized view'))))
                  ORDER BY 1, 2"
            ),
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

/// Takes from everybody the right to make things in the schema public of a new database, which has it before PostgreSQL 15. From 15
/// on `pg_dump` says of its privileges only what differs from there: without this, what the installation revoked would be back.
pub(super) async fn shut_public(client: &Client) -> Result<(), BackupError> {
    let sql = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    Ok(client.batch_execute(sql).await?)
}

/// Who is to own a restored database, where it is not the login: the owner of the one that it replaces, else the owner that the backup
/// names, where the login may act as him.
///
/// # Errors
/// The one that it replaces is somebody's as whom the login may not act.
pub(super) async fn heir(
    client: &Client,
    replaced: Option<&Frame>,
    manifest: &Manifest,
) -> Result<Option<String>, BackupError> {
    let wanted = match replaced {
        Some(frame) => &frame.owner,
        None => &manifest.frame.owner,
    };
    let Some(wanted) = wanted else { return Ok(None) };
    let row = client
        .query_opt(
            "SELECT m.rolsuper OR (pg_has_role(r.oid, 'USAGE')
                                   AND pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END))
               FROM pg_roles r, pg_roles m WHERE r.rolname = $1 AND m.rolname = current_user",
            &[wanted],
        )
        .await?;
    match row {
        Some(row) if row.get(0) => Ok(Some(wanted.clone())),
        _ if replaced.is_none() => {
            tracing::warn!(
                owner = wanted,
                "the database was this role's, as which the login may not act: it becomes the login's"
            );
            Ok(None)
        }
        _ => Err(BackupError::Failed(format!(
            "the database that is to be replaced belongs to {wanted}, and this login may not act as {wanted}: restore as that role \
             or as a superuser, or into another database (--into)"
        ))),
    }
}

/// Gives objects back to whom they belonged; the restore made them all the login's. What belonged to the owner of the database belongs
/// to its owner again, who may be another: `heir`, or the login where there is none. Then the database itself becomes his.
pub(super) async fn give_back(
    client: &Client,
    manifest: &Manifest,
    database: &str,
    heir: Option<&str>,
) -> Result<(), BackupError> {
    let former = manifest.frame.owner.as_deref();
    if let (None, Some(heir)) = (former, heir) {
        for object in own_objects(client).await? {
            give(client, manifest, &object, heir).await?;
        }
    }
    for object in &manifest.others_objects {
        let owner = if former == Some(object.owner.as_str()) {
            heir
        } else {
            Some(object.owner.as_str())
        };
        if let Some(owner) = owner {
            give(client, manifest, object, owner).await?;
        }
    }
    if let Some(heir) = heir {
        let sql = format!(
            "ALTER DATABASE {} OWNER TO {}",
            quote_ident(database),
            quote_ident(heir)
        );
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// What belongs to the login, in the same form as what belongs to others. Asked of the catalogues themselves: what the first superuser
/// has stands in no list of dependencies.
async fn own_objects(client: &Client) -> Result<Vec<OthersObject>, BackupError> {
    let own = "SELECT a.class, a.oid, a.owner
                 FROM (SELECT 'pg_class'::regclass::oid AS class, oid, relnamespace AS space, relowner AS owner FROM pg_class
                       UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
                       UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace, typowner FROM pg_type
                       UNION ALL SELECT 'pg_namespace'::regclass, oid, oid, nspowner FROM pg_namespace) a
                 JOIN pg_namespace n ON n.oid = a.space
                WHERE a.owner = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
    objects(client, own).await
}

async fn give(
    client: &Client,
    manifest: &Manifest,
    object: &OthersObject,
    owner: &str,
) -> Result<(), BackupError> {
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
    let sql = format!("ALTER {kind} {} OWNER TO {}", object.identity, quote_ident(owner));
    client.batch_execute(&sql).await.map_err(|error| {
        BackupError::Failed(format!(
            "{kind} {} cannot be given to {owner}: {}",
            object.identity,
            BackupError::from(error)
        ))
    })?;
    Ok(())
}
