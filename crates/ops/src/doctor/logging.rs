//! Settings by which secrets reach the server's log: bind parameters, failed rows, plans.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Error};

use super::catalogue::{
    LOG_AUTO_EXPLAIN, LOG_ERRORS, LOG_PARAMETERS, LOG_ROLES, LOG_STAT_STATEMENTS, LOG_STATEMENTS,
};
use super::check::{Findings, Trouble};
use super::rights::AppLogin;

/// Those that matter. What is not loaded, or may not be seen, is not in the map.
const NAMES: [&str; 14] = [
    "log_statement",
    "log_min_duration_statement",
    "log_min_duration_sample",
    "log_transaction_sample_rate",
    "log_parameter_max_length",
    "log_parameter_max_length_on_error",
    "log_error_verbosity",
    "debug_print_plan",
    "debug_print_parse",
    "debug_print_rewritten",
    "auto_explain.log_min_duration",
    "auto_explain.log_parameter_max_length",
    "pg_stat_statements.track_utility",
    "session_preload_libraries",
];

type Settings = BTreeMap<String, String>;

/// The settings that one login works under.
pub struct View {
    login: String,
    settings: Settings,
}

/// As a session sees them.
pub async fn view(client: &Client) -> Result<View, Error> {
    let rows = client
        .query(
            "SELECT name, setting, current_user::text FROM pg_settings WHERE name = ANY ($1)",
            &[&NAMES.as_slice()],
        )
        .await?;
    Ok(View {
        login: rows.first().map_or_else(String::new, |row| row.get(2)),
        settings: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
    })
}

/// What is set for a role, for a database, or for one in the other.
struct Own {
    role: Option<String>,
    name: String,
    value: String,
}

/// All of it: the owner's session, that of requests where there is one, and what is set for the other logins.
pub async fn look(
    findings: &mut Findings,
    client: &Client,
    requests: Option<View>,
    logins: &[AppLogin],
) -> Result<(), Error> {
    let owner = view(client).await?;
    let rows = client
        .query(
            "SELECT r.rolname::text, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
               FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c
              WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
              ORDER BY s.setrole <> 0, s.setdatabase <> 0",
            &[],
        )
        .await?;
    let own: Vec<Own> = rows
        .iter()
        .map(|row| Own {
            role: row.get(0),
            name: row.get(1),
            value: row.get(2),
        })
        .collect();
    let seen: Vec<String> = [Some(&owner), requests.as_ref()]
        .into_iter()
        .flatten()
        .map(|view| view.login.clone())
        .collect();
    let mut views = vec![owner];
    views.extend(requests);
    for login in logins.iter().filter(|login| !seen.contains(&login.name)) {
        views.push(predicted(&views, &own, &login.name));
    }
    statements(findings, &views);
    parameters(findings, &views);
    errors(findings, &views);
    auto_explain(findings, &views);
    stat_statements(findings, &views);
    roles(findings, &own, logins);
    Ok(())
}

/// The owner's, without what is set for the owner, with what is set for the login.
fn predicted(views: &[View], own: &[Own], login: &str) -> View {
    let mut settings = views
        .first()
        .map(|view| {
            let mut settings = view.settings.clone();
            // What is the owner's own may hide the server's value; then nothing can be said of another login.
            for set in own
                .iter()
                .filter(|set| set.role.as_deref() == Some(view.login.as_str()))
            {
                settings.remove(&set.name);
            }
            settings
        })
        .unwrap_or_default();
    for set in own
        .iter()
        .filter(|set| set.role.as_deref().is_none_or(|role| role == login))
    {
        if NAMES.contains(&set.name.as_str()) {
            settings.insert(set.name.clone(), set.value.clone());
        }
    }
    View {
        login: login.to_owned(),
        settings,
    }
}

impl View {
    fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }

    /// Why statements of this login are logged, if they are.
    fn logged_by(&self) -> Option<String> {
        if let Some(which @ ("mod" | "all")) = self.get("log_statement") {
            return Some(format!("log_statement = {which}"));
        }
        for name in ["log_min_duration_statement", "log_min_duration_sample"] {
            if let Some(value) = self.number(name).filter(|value| *value >= 0.0) {
                return Some(format!("{name} = {value}ms"));
            }
        }
        self.number("log_transaction_sample_rate")
            .filter(|rate| *rate > 0.0)
            .map(|rate| format!("log_transaction_sample_rate = {rate}"))
    }
}

/// The logins of the views for which this gives a word, with the first word.
fn those<T>(views: &[View], word: impl Fn(&View) -> Option<T>) -> Option<(String, T)> {
    let mut found: Vec<(&str, T)> = views
        .iter()
        .filter_map(|view| Some((view.login.as_str(), word(view)?)))
        .collect();
    let logins: Vec<&str> = found.iter().map(|(login, _)| *login).collect();
    let logins = logins.join(", ");
    (!found.is_empty()).then(|| (logins, found.swap_remove(0).1))
}

const RELOAD: &str = "as an administrator: ALTER SYSTEM SET";

fn statements(findings: &mut Findings, views: &[View]) {
    let every = |view: &View| match view.get("log_statement") {
        Some(which @ ("mod" | "all")) => Some(which.to_owned()),
        _ => None,
    };
    match those(views, every) {
        Some((logins, which)) => findings.warning(
            LOG_STATEMENTS,
            Trouble::new(
                format!("log_statement = {which} (for {logins})"),
                "every statement goes to the log, with what stands in it as a literal; the log grows with the traffic",
                format!("{RELOAD} log_statement = 'none' (or 'ddl'); SELECT pg_reload_conf(); to see slow ones: log_min_duration_statement"),
            ),
        ),
        None => findings.ok(
            LOG_STATEMENTS,
            format!(
                "log_statement = {}",
                views.first().and_then(|view| view.get("log_statement")).unwrap_or("none")
            ),
        ),
    }
    if let Some((logins, name)) = those(views, |view| {
        ["debug_print_plan", "debug_print_parse", "debug_print_rewritten"]
            .into_iter()
            .find(|name| view.get(name) == Some("on"))
    }) && !findings.has(LOG_AUTO_EXPLAIN)
    {
        findings.failed(
            LOG_AUTO_EXPLAIN,
            Trouble::new(
                format!("{name} = on (for {logins})"),
                "the trees of statements go to the log, constants and all",
                format!("{RELOAD} {name} = off; SELECT pg_reload_conf()"),
            ),
        );
    }
}

fn parameters(findings: &mut Findings, views: &[View]) {
    let cut = |view: &View| view.number("log_parameter_max_length") == Some(0.0);
    let cure = format!("{RELOAD} log_parameter_max_length = 0; SELECT pg_reload_conf()");
    if let Some((logins, by)) = those(views, |view| view.logged_by().filter(|_| !cut(view))) {
        findings.failed(
            LOG_PARAMETERS,
            Trouble::new(
                format!("{by}, and log_parameter_max_length is not 0 (for {logins})"),
                "bind parameters go to the log: derived keys, hashes, and the plain text of secrets as they are encrypted",
                cure,
            ),
        );
    } else if let Some((logins, ())) = those(views, |view| (!cut(view)).then_some(())) {
        findings.warning(
            LOG_PARAMETERS,
            Trouble::new(
                format!("log_parameter_max_length is not 0 (for {logins})"),
                "nothing is logged now; the first who turns statements or slow ones on puts secrets into the log",
                cure,
            ),
        );
    } else {
        findings.ok(LOG_PARAMETERS, "log_parameter_max_length = 0");
    }
}

fn errors(findings: &mut Findings, views: &[View]) {
    let reset = "log_parameter_max_length_on_error";
    if let Some((logins, value)) = those(views, |view| view.number(reset).filter(|value| *value != 0.0)) {
        findings.failed(
            LOG_ERRORS,
            Trouble::new(
                format!("{reset} = {value} (for {logins})"),
                "a statement that fails is logged with its bind parameters",
                format!("{RELOAD} {reset} = 0; SELECT pg_reload_conf(); or ALTER ROLE … SET {reset} = 0"),
            ),
        );
    } else if let Some((_, verbosity)) = those(views, |view| {
        view.get("log_error_verbosity")
            .filter(|verbosity| *verbosity != "terse")
            .map(ToOwned::to_owned)
    }) {
        findings.warning(
            LOG_ERRORS,
            Trouble::new(
                format!("log_error_verbosity = {verbosity}"),
                "the DETAIL line of a failed statement quotes the row: an e-mail address that is taken, a whole row that breaks a CHECK",
                format!("{RELOAD} log_error_verbosity = 'terse'; SELECT pg_reload_conf()"),
            ),
        );
    } else {
        findings.ok(LOG_ERRORS, "without parameters and rows");
    }
}

fn auto_explain(findings: &mut Findings, views: &[View]) {
    if findings.has(LOG_AUTO_EXPLAIN) {
        return;
    }
    let duration = "auto_explain.log_min_duration";
    let cure = "take auto_explain out of shared_preload_libraries (a restart) and session_preload_libraries, or set \
                auto_explain.log_min_duration = -1";
    if let Some((logins, value)) = those(views, |view| view.number(duration).filter(|value| *value >= 0.0)) {
        findings.failed(
            LOG_AUTO_EXPLAIN,
            Trouble::new(
                format!("{duration} = {value}ms (for {logins})"),
                "auto_explain prints bind parameters into the log, also where log_parameter_max_length is 0",
                cure,
            ),
        );
    } else if those(views, |view| view.number(duration)).is_some()
        || those(views, |view| {
            view.get("session_preload_libraries")
                .filter(|libraries| libraries.contains("auto_explain"))
                .map(ToOwned::to_owned)
        })
        .is_some()
    {
        findings.warning(
            LOG_AUTO_EXPLAIN,
            Trouble::new(
                "auto_explain is loaded, and prints nothing now",
                "once it prints plans it prints bind parameters with them",
                cure,
            ),
        );
    } else {
        findings.ok(LOG_AUTO_EXPLAIN, "not loaded");
    }
}

fn stat_statements(findings: &mut Findings, views: &[View]) {
    let name = "pg_stat_statements.track_utility";
    match those(views, |view| view.get(name).map(ToOwned::to_owned)) {
        Some((_, value)) if value == "on" => findings.warning(
            LOG_STAT_STATEMENTS,
            Trouble::new(
                format!("{name} = on"),
                "SET, ALTER ROLE … PASSWORD and COPY are kept word for word, and everyone in pg_read_all_stats reads them",
                format!("{RELOAD} {name} = off; SELECT pg_reload_conf(); SELECT pg_stat_statements_reset()"),
            ),
        ),
        Some(_) => findings.ok(LOG_STAT_STATEMENTS, "keeps no utility statements"),
        None => findings.ok(LOG_STAT_STATEMENTS, "not loaded"),
    }
}

/// What every login of requests should have of its own: it holds behind a pooler, whatever the server's settings become.
fn roles(findings: &mut Findings, own: &[Own], logins: &[AppLogin]) {
    if logins.is_empty() {
        return findings.skipped(LOG_ROLES, "there is no login for requests yet");
    }
    let mut missing = Vec::new();
    for login in logins {
        let has = |name: &str| {
            own.iter()
                .rev()
                .find(|set| set.role.as_deref() == Some(&login.name) && set.name == name)
                .map(|set| set.value.as_str())
        };
        if has("log_parameter_max_length_on_error") != Some("0") {
            missing.push(format!(
                "ALTER ROLE {} SET log_parameter_max_length_on_error = 0",
                login.name
            ));
        }
        if has("idle_in_transaction_session_timeout").is_none_or(|value| value == "0") {
            missing.push(format!(
                "ALTER ROLE {} SET idle_in_transaction_session_timeout = '15s'",
                login.name
            ));
        }
    }
    if missing.is_empty() {
        let names: Vec<&str> = logins.iter().map(|login| login.name.as_str()).collect();
        return findings.ok(LOG_ROLES, format!("{} has its own", names.join(", ")));
    }
    findings.warning(
        LOG_ROLES,
        Trouble::new(
            format!("{} missing on the logins of requests", crate::output::count(missing.len(), "setting")),
            "settings of a session do not survive PgBouncer; those of the role do, and keep parameters out of the log whatever the \
             server's are",
            missing.join("; "),
        ),
    );
}
