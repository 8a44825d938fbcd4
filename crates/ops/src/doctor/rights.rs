//! What the owner may do, and that row level security holds the logins of requests.

use tokio_postgres::{Client, Error};

use super::catalogue::{APP_LOGIN, OPEN_DOOR, OWNER_RIGHTS, ROLE_RIGHTS, SCRATCH};
use super::check::{Findings, Trouble};

/// A login that requests run as, or may run as.
pub struct AppLogin {
    /// Its name.
    pub name: String,
    /// Why row level security would not hold it, if so.
    pub fault: Option<String>,
    /// Whether it is a member of `plinth_app`.
    pub member: bool,
}

/// All of it. `login` is the user of `DATABASE_URL` where that is another than the owner's.
pub async fn look(
    findings: &mut Findings,
    client: &Client,
    login: Option<&str>,
) -> Result<Vec<AppLogin>, Error> {
    owner(findings, client).await?;
    let logins = app_logins(client, login).await?;
    app_login(findings, client, &logins, login).await?;
    open_door(findings, client).await?;
    Ok(logins)
}

async fn owner(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT r.rolname::text, d.datname::text, pg_has_role(d.datdba, 'USAGE'),
                    has_database_privilege(d.datname, 'CREATE'), has_schema_privilege('public', 'CREATE'),
                    r.rolsuper, r.rolcreaterole, r.rolcreatedb,
                    to_regrole('plinth_app') IS NOT NULL AND to_regrole('plinth_system') IS NOT NULL,
                    coalesce(pg_has_role(to_regrole('plinth_system'), 'MEMBER'), false),
                    coalesce(pg_has_role(to_regrole('plinth_app'), 'MEMBER WITH ADMIN OPTION'), false),
                    current_setting('server_version_num')::int >= 160000, pg_get_userbyid(d.datdba)::text
               FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()",
            &[],
        )
        .await?;
    let flag = |index: usize| -> bool { row.get(index) };
    let (name, database): (String, String) = (row.get(0), row.get(1));
    let superuser = flag(5);
    if superuser {
        findings.ok(OWNER_RIGHTS, format!("{name} is a superuser"));
    } else if !flag(3) || !flag(4) {
        let missing: Vec<&str> = [
            (flag(3), "CREATE on the database"),
            (flag(4), "CREATE on schema public"),
        ]
        .into_iter()
        .filter_map(|(held, right)| (!held).then_some(right))
        .collect();
        findings.failed(
            OWNER_RIGHTS,
            Trouble::new(
                format!("{name} has no {}", missing.join(" and no ")),
                format!(
                    "the owner's login makes tables and extensions; {database} belongs to {}",
                    row.get::<_, String>(12)
                ),
                format!(
                    "as an administrator: ALTER DATABASE {database} OWNER TO {name}; and, connected to it, GRANT CREATE ON SCHEMA \
                     public TO {name}; or correct DATABASE_DIRECT_URL (DATABASE_URL)"
                ),
            ),
        );
    } else {
        findings.ok(
            OWNER_RIGHTS,
            format!(
                "{name} {}",
                if flag(2) {
                    "owns the database"
                } else {
                    "may make schemas and tables"
                }
            ),
        );
    }
    let (made, system, admin) = (flag(8), flag(9), flag(10));
    if superuser || (made && system && (flag(6) && (admin || !flag(11)))) {
        findings.ok(
            ROLE_RIGHTS,
            if made {
                "plinth_app and plinth_system are there, and the owner may grant them"
            } else {
                "the owner may make plinth_app and plinth_system"
            },
        );
    } else if !made && flag(6) {
        findings.ok(ROLE_RIGHTS, "the owner may make plinth_app and plinth_system");
    } else if !made {
        findings.failed(
            ROLE_RIGHTS,
            Trouble::new(
                format!("{name} may not make roles, and plinth_app and plinth_system are not there"),
                "requests run as plinth_app, which row level security holds, and the installation's own work as plinth_system",
                format!(
                    "as an administrator: ALTER ROLE {name} CREATEROLE; or CREATE ROLE plinth_app; CREATE ROLE plinth_system; GRANT \
                     plinth_app, plinth_system TO {name} WITH ADMIN OPTION"
                ),
            ),
        );
    } else if !system || !admin {
        let trouble = Trouble::new(
            format!("{name} may not act as plinth_system, or not grant plinth_app"),
            "another login made these roles (another installation on this server, say), and CREATEROLE gives no say over them",
            format!("as an administrator: GRANT plinth_app, plinth_system TO {name} WITH ADMIN OPTION"),
        );
        // Without the system role nothing of the installation works; without the grant no new login is made.
        if system {
            findings.warning(ROLE_RIGHTS, trouble);
        } else {
            findings.failed(ROLE_RIGHTS, trouble);
        }
    } else {
        findings.ok(
            ROLE_RIGHTS,
            "plinth_app and plinth_system are there, and the owner may grant them",
        );
    }
    if superuser || flag(7) {
        findings.ok(SCRATCH, "the owner may make databases");
    } else {
        findings.warning(
            SCRATCH,
            Trouble::new(
                format!("{name} has no CREATEDB"),
                "backup drills, restores and migrate verify work in a database of their own",
                format!(
                    "as an administrator: ALTER ROLE {name} CREATEDB; or drill on another server (docs/BACKUPS.md)"
                ),
            ),
        );
    }
    Ok(())
}

/// Members of `plinth_app` that were let into this database by name, and the configured one: where everybody may connect, the
/// logins of other installations are none of ours.
async fn app_logins(client: &Client, login: Option<&str>) -> Result<Vec<AppLogin>, Error> {
    let rows = client
        .query(
            "SELECT r.rolname::text, r.rolsuper, r.rolbypassrls,
                    coalesce(pg_has_role(r.oid, to_regrole('plinth_system'), 'MEMBER'), false),
                    EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = 'public'::regnamespace),
                    coalesce(pg_has_role(r.oid, to_regrole('plinth_app'), 'MEMBER'), false)
               FROM pg_roles r
              WHERE r.rolname = $1
                 OR (r.rolcanlogin AND r.rolname <> current_user AND NOT r.rolsuper
                     AND EXISTS (SELECT FROM pg_database d, aclexplode(d.datacl) a
                                  WHERE d.datname = current_database() AND a.grantee = r.oid AND a.privilege_type = 'CONNECT')
                     AND EXISTS (SELECT FROM pg_auth_members m
                                  WHERE m.member = r.oid AND m.roleid = to_regrole('plinth_app'))
                     AND NOT pg_has_role(r.oid, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'MEMBER'))
              ORDER BY 1",
            &[&login.unwrap_or_default()],
        )
        .await?;
    let faults = [
        (1, "is a superuser"),
        (2, "has BYPASSRLS"),
        (3, "is a member of plinth_system"),
        (4, "owns tables of Plinth"),
    ];
    Ok(rows
        .iter()
        .map(|row| AppLogin {
            name: row.get(0),
            fault: faults
                .iter()
                .find(|(index, _)| row.get(*index))
                .map(|(_, fault)| (*fault).to_owned()),
            member: row.get(5),
        })
        .collect())
}

async fn app_login(
    findings: &mut Findings,
    client: &Client,
    logins: &[AppLogin],
    configured: Option<&str>,
) -> Result<(), Error> {
    if let Some((login, fault)) = logins
        .iter()
        .find_map(|login| login.fault.as_ref().map(|fault| (login, fault)))
    {
        findings.failed(
            APP_LOGIN,
            Trouble::new(
                format!("the login {} {fault}", login.name),
                "row level security does not hold it: requests could see the rows of every domain, and the server refuses to start",
                format!(
                    "give requests a login of their own in DATABASE_URL, and the owner's in DATABASE_DIRECT_URL; or ALTER ROLE {} \
                     NOSUPERUSER NOBYPASSRLS, REVOKE plinth_system FROM {}",
                    login.name, login.name
                ),
            ),
        );
        return Ok(());
    }
    if let Some(login) = logins.iter().find(|login| !login.member) {
        findings.warning(
            APP_LOGIN,
            Trouble::new(
                format!("the login {} is no member of plinth_app yet", login.name),
                "it may do nothing with Plinth's tables",
                format!(
                    "the server grants it at start; by hand: GRANT plinth_app TO {}",
                    login.name
                ),
            ),
        );
        return Ok(());
    }
    let names: Vec<&str> = logins.iter().map(|login| login.name.as_str()).collect();
    if names.is_empty() {
        let super_or_role: bool = client
            .query_one(
                "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await?
            .get(0);
        if super_or_role || configured.is_some() {
            findings.ok(
                APP_LOGIN,
                "no login of requests yet; the server makes one when it starts",
            );
        } else {
            findings.warning(
                APP_LOGIN,
                Trouble::new(
                    "there is no login for requests, and the owner may not make one",
                    "requests will run as the owner, which takes on plinth_app in each transaction: FORCE ROW LEVEL SECURITY holds it, \
                     a login of their own is the better wall",
                    "as an administrator: plinth-ops provision --print shows the statements; or give a second login in DATABASE_URL",
                ),
            );
        }
    } else {
        findings.ok(
            APP_LOGIN,
            format!(
                "holds {}: no superuser, no BYPASSRLS, owner of nothing",
                names.join(", ")
            ),
        );
    }
    Ok(())
}

async fn open_door(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT has_database_privilege('public', current_database(), 'CONNECT'), current_database()::text",
            &[],
        )
        .await?;
    let database: String = row.get(1);
    if row.get(0) {
        findings.warning(
            OPEN_DOOR,
            Trouble::new(
                format!("every login of the server may connect to {database}"),
                "PostgreSQL's default; the login of another application has no business here",
                format!(
                    "the server and plinth-ops provision do it where they may: REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM \
                     PUBLIC"
                ),
            ),
        );
    } else {
        findings.ok(OPEN_DOOR, "only those that were told so");
    }
    Ok(())
}
