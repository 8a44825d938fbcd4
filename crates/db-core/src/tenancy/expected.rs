//! What the catalogue must say: policies, functions, grants. A new tenant table needs an entry in `app_grants` alone.

const OWN_DOMAIN: &str = "(domain_id = ( SELECT current_domain_id() AS current_domain_id))";
const PLATFORM_ACTS: &str = "(( SELECT current_domain_id() AS current_domain_id) = platform_domain_id())";

/// Functions that run with the rights of plinth_system: the ways into a domain.
pub(super) const DEFINER_FUNCTIONS: &[&str] = &[
    "authenticate",
    "domain_create",
    "enter",
    "enter_for_refusal",
    "enter_job",
    "verify_api_key",
    "verify_own_password",
];

/// The policies of a table that holds tenant data, in the catalogue's words.
pub(super) fn policies(table: &str) -> Vec<String> {
    let policy = |name: &str, command: &str, role: &str, using: &str, check: &str| {
        format!("permissive {name} on {table} for {command} to {role} using {using} with check {check}")
    };
    let mut policies = vec![policy("system", "ALL", "plinth_system", "true", "true")];
    match table {
        // A domain sees itself, the platform domain sees and changes them all.
        "domains" => {
            let seen = "((id = ( SELECT current_domain_id() AS current_domain_id)) OR (( SELECT current_domain_id() AS current_domain_id) = platform_domain_id()))";
            policies.push(policy("tenant", "ALL", "plinth_app", seen, PLATFORM_ACTS));
        }
        "domain_hosts" => {
            let seen = "((domain_id = ( SELECT current_domain_id() AS current_domain_id)) OR (( SELECT current_domain_id() AS current_domain_id) = platform_domain_id()))";
            policies.push(policy("tenant", "ALL", "plinth_app", seen, PLATFORM_ACTS));
        }
        // Operators see and steer the jobs of every domain.
        "queue_jobs" | "queue_job_batches" | "queue_job_batch_deltas" | "queue_schedules" => {
            let seen = "((domain_id = ( SELECT current_domain_id() AS current_domain_id)) OR (( SELECT current_domain_id() AS current_domain_id) = platform_domain_id()))";
            policies.push(policy("tenant", "ALL", "plinth_app", seen, seen));
        }
        // System roles belong to the platform domain, and nobody writes them through the API.
        "roles" | "role_permissions" => {
            let own = "((domain_id = ( SELECT current_domain_id() AS current_domain_id)) AND (domain_id <> platform_domain_id()))";
            policies.push(policy("tenant", "ALL", "plinth_app", own, own));
        }
        _ => policies.push(policy("tenant", "ALL", "plinth_app", OWN_DOMAIN, OWN_DOMAIN)),
    }
    // System roles stand once and are read by everybody inside of a domain; so do queues.
    if matches!(table, "roles" | "role_permissions" | "queue_queues") {
        let shared = "((domain_id = platform_domain_id()) AND (( SELECT current_domain_id() AS current_domain_id) IS NOT NULL))";
        policies.push(policy("shared", "SELECT", "plinth_app", shared, "-"));
    }
    policies
}

/// What plinth_app may do with whole tables; where columns are granted one by one, that privilege is not here.
pub(super) fn app_grants(table: &str) -> Option<&'static str> {
    match table {
        "domains" | "installation" | "permissions" | "backup_runs" => Some("SELECT"),
        "queue_queues" | "queue_workers" | "queue_jobs" | "queue_job_batches" | "queue_schedules" => {
            Some("SELECT")
        }
        "activity_stream" | "queue_job_batch_deltas" => Some("INSERT,SELECT"),
        "domain_hosts" | "role_permissions" | "organization_members" | "card_tags" => {
            Some("DELETE,INSERT,SELECT")
        }
        "roles" | "user_roles" | "organizations" | "projects" | "boards" | "board_columns" | "cards"
        | "tags" => Some("DELETE,INSERT,SELECT"),
        // Column by column: users, sessions, api_keys. Nothing at all: installation_secrets, the histories.
        _ => None,
    }
}
