//! What has to be there, as statements: each with a question whether it is there already.

use std::collections::BTreeSet;

use super::wanted::Wanted;

/// One statement, and when it is not needed.
#[derive(Clone, Debug)]
pub struct Step {
    /// `role kratos`, `database kratos`.
    pub subject: String,
    /// What the statement does, in words.
    pub what: String,
    /// An SQL condition: true where it is there already. Also where the database it is about does not exist, it raises nothing.
    pub there: String,
    /// The statement. Holds no password.
    pub sql: String,
    /// To be run in this database; else in any.
    pub inside: Option<String>,
    /// The setting that only a superuser may set, or who was granted it.
    pub guarded_by: Option<&'static str>,
}

/// What is not changed by itself, because something may depend on it.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub subject: String,
    /// An SQL expression: text that says what is different, NULL where nothing is.
    pub difference: String,
    /// What to do about it.
    pub cure: String,
    /// The role that the cure takes rights from. It is no cure for the login at work, which may be the only administrator.
    pub weakens: Option<String>,
}

/// What one login needs. Its password is dealt with apart.
pub struct Role {
    pub name: String,
    /// The statement that makes it.
    pub made: Step,
    /// What is set behind it.
    pub steps: Vec<Step>,
    pub expectations: Vec<Expectation>,
    /// The file of its password, where one is named.
    pub password_file: Option<std::path::PathBuf>,
}

/// Settings of the role that keep parameters, rows and statements out of the server's log.
const SETTINGS: [(&str, &str, bool); 3] = [
    ("log_parameter_max_length_on_error", "0", false),
    ("log_parameter_max_length", "0", true),
    ("log_error_verbosity", "terse", true),
];

/// The owners, each once.
pub fn roles(all: &[Wanted]) -> Vec<Role> {
    let names: BTreeSet<&str> = all.iter().map(|wanted| wanted.owner.as_str()).collect();
    names
        .into_iter()
        .map(|name| {
            let of: Vec<&Wanted> = all.iter().filter(|wanted| wanted.owner == name).collect();
            role(name, &of)
        })
        .collect()
}

fn role(name: &str, of: &[&Wanted]) -> Role {
    let subject = format!("role {name}");
    let create_roles = of.iter().any(|wanted| wanted.create_roles());
    let create_databases = of.iter().any(|wanted| wanted.create_databases);
    let step = |what: &str, there: String, sql: String| Step {
        subject: subject.clone(),
        what: what.to_owned(),
        there,
        sql,
        inside: None,
        guarded_by: None,
    };
    let (role, literal) = (quoted(name), literal(name));
    let has = |column: &str| format!("EXISTS (SELECT FROM pg_roles WHERE rolname = {literal} AND {column})");
    let there = format!("EXISTS (SELECT FROM pg_roles WHERE rolname = {literal})");
    let made = step("made", there, format!("CREATE ROLE {role} LOGIN"));
    let mut steps = vec![step(
        "may log in",
        has("rolcanlogin"),
        format!("ALTER ROLE {role} LOGIN"),
    )];
    if create_roles {
        steps.push(step(
            "may make roles",
            has("(rolcreaterole OR rolsuper)"),
            format!("ALTER ROLE {role} CREATEROLE"),
        ));
    }
    if create_databases {
        steps.push(step(
            "may make databases",
            has("(rolcreatedb OR rolsuper)"),
            format!("ALTER ROLE {role} CREATEDB"),
        ));
    }
    for (setting, value, guarded) in SETTINGS {
        steps.push(Step {
            guarded_by: guarded.then_some(setting),
            ..step(
                &format!("{setting} = {value}"),
                format!(
                    "EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE r.rolname = {literal} AND \
                     s.setdatabase = 0 AND '{setting}={value}' = ANY (s.setconfig))"
                ),
                format!("ALTER ROLE {role} SET {setting} = '{value}'"),
            )
        });
    }
    // CREATE DATABASE … OWNER wants it of everybody but a superuser.
    steps.push(step(
        "is at the administrator's disposal",
        format!(
            "NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal}) OR (SELECT pg_has_role(oid, 'USAGE') FROM pg_roles WHERE \
             rolname = {literal})"
        ),
        format!("GRANT {role} TO CURRENT_USER"),
    ));
    let excess = [
        ("rolsuper", "SUPERUSER", true),
        ("rolbypassrls", "BYPASSRLS", true),
        ("rolreplication", "REPLICATION", true),
        ("rolcreaterole", "CREATEROLE", !create_roles),
        ("rolcreatedb", "CREATEDB", !create_databases && !create_roles),
    ];
    let words: Vec<String> = excess
        .iter()
        .filter(|(_, _, wrong)| *wrong)
        .map(|(column, word, _)| format!("CASE WHEN {column} THEN '{word}' END"))
        .collect();
    let less: Vec<String> = excess
        .iter()
        .filter(|(_, _, wrong)| *wrong)
        .map(|(_, word, _)| format!("NO{word}"))
        .collect();
    let expectations = vec![Expectation {
        subject,
        difference: format!(
            "(SELECT 'it has more rights than it needs: ' || nullif(concat_ws(', ', {}), '') FROM pg_roles WHERE rolname = {literal})",
            words.join(", ")
        ),
        cure: format!("ALTER ROLE {role} {}", less.join(" ")),
        weakens: Some(name.to_owned()),
    }];
    Role {
        name: name.to_owned(),
        made,
        steps,
        expectations,
        password_file: of.iter().find_map(|wanted| wanted.password_file.clone()),
    }
}

/// What one database needs, once its owner is there.
pub fn database(wanted: &Wanted) -> (Vec<Step>, Vec<Expectation>) {
    let subject = format!("database {}", wanted.name);
    let step = |what: String, there: String, sql: String| Step {
        subject: subject.clone(),
        what,
        there,
        sql,
        inside: None,
        guarded_by: None,
    };
    let (name, name_literal) = (quoted(&wanted.name), literal(&wanted.name));
    let (owner, owner_literal) = (quoted(&wanted.owner), literal(&wanted.owner));
    let has = |condition: &str| {
        format!("EXISTS (SELECT FROM pg_database d WHERE d.datname = {name_literal} AND {condition})")
    };
    let how = if wanted.c_collation() {
        " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    } else {
        ""
    };
    let mut steps = vec![step(
        format!(
            "made, of {}{}",
            wanted.owner,
            if wanted.c_collation() {
                ", sorted by bytes"
            } else {
                ""
            }
        ),
        format!("EXISTS (SELECT FROM pg_database WHERE datname = {name_literal})"),
        format!("CREATE DATABASE {name} OWNER {owner}{how}"),
    )];
    steps.push(step(
        "closed to everybody else's logins".to_owned(),
        has("NOT EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE a.grantee = 0 AND \
             a.privilege_type IN ('CONNECT', 'TEMPORARY'))"),
        format!("REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC"),
    ));
    if let Some(limit) = wanted.connection_limit {
        steps.push(step(
            format!("at most {limit} connections"),
            has(&format!("d.datconnlimit = {limit}")),
            format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}"),
        ));
    }
    let inside = |what: String, there: String, sql: String| Step {
        inside: Some(wanted.name.clone()),
        ..step(what, there, sql)
    };
    // Up to PostgreSQL 14 everybody may make tables in the schema public, and it belongs to the superuser.
    steps.push(inside(
        format!("{} makes tables in schema public", wanted.owner),
        format!(
            "coalesce((SELECT has_schema_privilege(oid, 'public', 'CREATE') FROM pg_roles WHERE rolname = {owner_literal}), false)"
        ),
        format!("GRANT USAGE, CREATE ON SCHEMA public TO {owner}"),
    ));
    steps.push(inside(
        "nobody else makes tables in schema public".to_owned(),
        "NOT EXISTS (SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE n.nspname = \
         'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')"
            .to_owned(),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
    ));
    for extension in wanted.extensions() {
        steps.push(inside(
            format!("extension {extension}"),
            format!(
                "EXISTS (SELECT FROM pg_extension WHERE extname = {})",
                literal(&extension)
            ),
            format!("CREATE EXTENSION {}", quoted(&extension)),
        ));
    }
    (steps, expectations(wanted, &subject))
}

fn expectations(wanted: &Wanted, subject: &str) -> Vec<Expectation> {
    let (name, name_literal) = (quoted(&wanted.name), literal(&wanted.name));
    let (owner, owner_literal) = (quoted(&wanted.owner), literal(&wanted.owner));
    let expect = |difference: String, cure: String| Expectation {
        subject: subject.to_owned(),
        difference: format!("(SELECT {difference} FROM pg_database d WHERE d.datname = {name_literal})"),
        cure,
        weakens: None,
    };
    let again = format!(
        "dump it, drop it, run this again and restore: a database keeps what it was made with (CREATE DATABASE {name} …)"
    );
    let mut all = vec![
        expect(
            format!(
                "CASE WHEN pg_get_userbyid(d.datdba) <> {owner_literal} THEN 'it belongs to ' || pg_get_userbyid(d.datdba) END"
            ),
            format!("ALTER DATABASE {name} OWNER TO {owner}, and its tables with it: REASSIGN OWNED"),
        ),
        expect(
            "CASE WHEN d.encoding <> 6 THEN 'its encoding is ' || pg_encoding_to_char(d.encoding) END"
                .to_owned(),
            again.clone(),
        ),
    ];
    if wanted.c_collation() {
        all.push(expect(
            "CASE WHEN d.datcollate <> 'C' OR d.datctype <> 'C' THEN 'it sorts by ' || d.datcollate || ' and not by C' END"
                .to_owned(),
            again,
        ));
    }
    all
}

/// As an identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As a string.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
