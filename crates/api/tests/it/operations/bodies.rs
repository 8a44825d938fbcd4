//! A body for each operation that takes one; `{name_id}` stands for an id of the fixture.

use serde_json::{Value, json};
use test_support::PASSWORD;

/// A body that the operation accepts.
pub fn body(operation: &str) -> Option<Value> {
    let unique = || db_core::Clock::System.uuid().simple().to_string();
    Some(match operation {
        "create_session" => json!({"domain": "acme", "email": "operator@plinth.test", "password": PASSWORD}),
        "create_organization" => json!({"slug": format!("x-{}", unique()), "name": "New"}),
        "update_organization" | "update_project" | "update_board" | "update_column" => {
            json!({"name": "Changed"})
        }
        "create_project" => {
            let key: String = unique().to_uppercase().chars().rev().take(8).collect();
            json!({"key": format!("N{key}"), "name": "New"})
        }
        "create_board" | "create_column" => json!({"name": "New"}),
        "move_column" => json!({"before": "{other_column_id}"}),
        "create_card" => json!({"title": "New", "assignee_id": "{user_id}"}),
        "update_card" => json!({"title": "Changed", "assignee_id": "{user_id}"}),
        "move_card" => json!({"column_id": "{column_id}", "after": "{other_card_id}"}),
        "create_tag" => json!({"name": format!("New {}", unique()), "color": "#00ff00"}),
        "update_tag" => json!({"color": "#0000ff"}),
        "create_role" => json!({"name": format!("New {}", unique()), "permissions": ["card:read"]}),
        "update_role" => json!({"description": "Changed"}),
        "assign_role" | "assign_organization_role" | "assign_project_role" => assign(operation),
        "add_member" => json!({"user_id": "{other_user_id}", "role_id": "{role_id}"}),
        "create_user" => {
            json!({"email": format!("{}@acme.test", unique()), "name": "New", "password": PASSWORD})
        }
        "update_user" => json!({"name": "Changed"}),
        "create_api_key" => json!({"name": "New"}),
        "update_api_key" => json!({"name": "Changed"}),
        "change_password" => json!({"old_password": PASSWORD, "new_password": PASSWORD}),
        "create_domain" => json!({
            "slug": format!("n-{}", unique()), "name": "New",
            "admin": {"email": "admin@new.test", "name": "Admin", "password": PASSWORD},
        }),
        "update_domain" => json!({"name": "Changed"}),
        _ => return None,
    })
}

fn assign(operation: &str) -> Value {
    if operation == "assign_role" {
        json!({"role_id": "{role_id}"})
    } else {
        json!({"user_id": "{user_id}", "role_id": "{role_id}"})
    }
}

/// The id of the fixture that stands for the parameter in this operation: deletes want what nothing depends on.
pub fn stand_in(operation: &str, parameter: &'static str) -> &'static str {
    match (operation, parameter) {
        ("delete_organization", "organization_id") => "empty_organization_id",
        ("delete_project", "project_id") => "empty_project_id",
        ("delete_board", "board_id") => "empty_board_id",
        ("delete_column", "column_id") => "empty_column_id",
        ("retry_job" | "discard_job", "job_id") => "dead_job_id",
        // The schedule of the fixture is the domain's own.
        ("pause_job_schedule" | "resume_job_schedule", "domain_id") => "domain_id",
        // Suspending the domain of the other actors would lock them out.
        (_, "domain_id") => "spare_domain_id",
        ("revoke_organization_role", "assignment_id") => "organization_assignment_id",
        ("revoke_project_role", "assignment_id") => "project_assignment_id",
        _ => parameter,
    }
}
