//! What `plinth-ops backup` and `plinth-ops restore` print.

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::backup::Place;
use crate::backup::{BackupError, Drilled, Listed, Name, Pruned, Restored, Standing, Verified};
use crate::failure::Failure;
use crate::output::{self, Cell};

/// `3.1 MiB`
fn size(bytes: u64) -> String {
    crate::backup::size(bytes)
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

fn standing(listed: &Listed) -> Cell {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match listed.standing {
        Standing::Complete => Cell::from("complete"),
        Standing::Unfinished => Cell::styled("unfinished", color(AnsiColor::Yellow)),
        Standing::Damaged => Cell::styled(
            format!("damaged: {}", listed.problem.as_deref().unwrap_or_default()),
            color(AnsiColor::Red),
        ),
    }
}

fn proved(listed: &Listed) -> String {
    listed.proved_at.map_or_else(|| "never".to_owned(), output::time)
}

pub fn list(listed: &[Listed], place: &Place) -> Result<(), Failure> {
    if place.json.json {
        return output::json(&json!({ "backups": listed }));
    }
    if listed.is_empty() {
        return output::text("there are no backups yet\n");
    }
    let rows = listed.iter().map(|one| {
        vec![
            Cell::from(one.backup.to_string()),
            output::time(one.snapshot_at).into(),
            size(one.size_bytes).into(),
            proved(one).into(),
            standing(one),
        ]
    });
    output::text(&output::table(
        &["backup", "shows", "size", "proved", "state"],
        rows.collect(),
    ))
}

pub fn show(listed: &Listed, place: &Place) -> Result<(), Failure> {
    if place.json.json {
        return output::json(&listed.detailed());
    }
    let mut text = format!(
        "{}\n  state      {:?}{}\n  shows      {}\n  size       {}\n  proved     {}\n",
        listed.backup,
        listed.standing,
        listed
            .problem
            .as_ref()
            .map_or_else(String::new, |problem| format!(": {problem}")),
        output::time(listed.snapshot_at),
        size(listed.size_bytes),
        proved(listed),
    );
    for (label, value) in listed.facts() {
        text.push_str(&format!("  {label:<10} {value}\n"));
    }
    output::text(&text)
}

pub fn created(listed: &Listed, drilled: Option<&Drilled>, place: &Place) -> Result<(), Failure> {
    if place.json.json {
        return output::json(&json!({ "backup": listed, "drill": drilled }));
    }
    let mut text = format!(
        "made the backup {} ({})\n",
        listed.backup,
        size(listed.size_bytes)
    );
    match drilled {
        Some(drilled) => text.push_str(&proof(drilled)),
        None => text.push_str("not proved: run `plinth-ops backup drill`\n"),
    }
    output::text(&text)
}

pub fn drilled(drilled: &Drilled, place: &Place) -> Result<(), Failure> {
    if place.json.json {
        return output::json(&json!({ "drill": drilled }));
    }
    output::text(&proof(drilled))
}

fn proof(drilled: &Drilled) -> String {
    let secrets = match drilled.secrets {
        Some(count) => format!(
            "{} decrypted",
            output::count(usize::try_from(count).unwrap_or(usize::MAX), "secret")
        ),
        None => "secrets not tried, because there is no encryption key here".to_owned(),
    };
    let (said, but) = if drilled.counts {
        ("proved", "")
    } else {
        (
            "restored",
            "this is no proof, because nobody can tell here who wrote the backup: ",
        )
    };
    format!(
        "{but}{said} the backup {}: {} rows in {} tables restore as they were{}; {secrets} ({})\n",
        drilled.backup,
        drilled.rows,
        drilled.tables,
        schema(drilled.schema_not_compared.as_deref()),
        seconds(drilled.duration_ms)
    )
}

fn schema(not_compared: Option<&str>) -> String {
    not_compared.map_or_else(
        || ", and so does the schema".to_owned(),
        |why| format!("; the schema's fingerprint was not compared, because {why}"),
    )
}

pub fn verified(verified: Vec<(Name, Result<Verified, BackupError>)>, place: &Place) -> Result<(), Failure> {
    let (mut good, mut problems, mut last) = (Vec::new(), Vec::new(), None);
    let mut text = String::new();
    for (name, one) in verified {
        match one {
            Ok(one) => {
                let by = if one.authentic {
                    ""
                } else {
                    "; who made it is not told, because there is no encryption key here"
                };
                text.push_str(&format!(
                    "{} is as it was stored: {}, {}{by}\n",
                    one.backup,
                    output::count(one.files, "file"),
                    size(one.size_bytes)
                ));
                good.push(one);
            }
            // It is not the backup's fault, and nothing more is read.
            Err(error @ BackupError::Program(_)) => return Err(error.into()),
            Err(error) => {
                problems
                    .push(json!({ "backup": name, "problem": error.to_string(), "code": error.exit_code() }));
                // All but the last, which is the program's own last word.
                if let Some(earlier) = last.replace(error) {
                    text.push_str(&format!("{earlier}\n"));
                }
            }
        }
    }
    if place.json.json {
        output::json(&json!({ "verified": good, "problems": problems }))?;
    } else {
        output::text(&text)?;
    }
    last.map_or(Ok(()), |error| Err(error.into()))
}

pub fn pruned(pruned: &[Pruned], dry_run: bool, place: &Place) -> Result<(), Failure> {
    if place.json.json {
        return output::json(&json!({ "dry_run": dry_run, "backups": pruned }));
    }
    let verb = if dry_run { "would delete" } else { "deleted" };
    let rows = pruned.iter().map(|one| {
        [
            if one.deleted { verb } else { "kept" }.to_owned(),
            one.backup.to_string(),
            size(one.size_bytes),
            one.why.clone(),
        ]
        .map(Cell::from)
        .into()
    });
    output::text(&output::table(&["", "backup", "size", "why"], rows.collect()))
}

pub fn restored(restored: &Restored, place: &Place) -> Result<(), Failure> {
    if place.json.json {
        return output::json(&json!({ "restored": restored }));
    }
    let mut text = format!(
        "restored {} into the database {}, as it was at {}: {} rows in {} tables ({})\n",
        restored.backup,
        restored.database,
        output::time(restored.snapshot_at),
        restored.rows,
        restored.tables,
        seconds(restored.duration_ms)
    );
    if let Some(why) = restored.schema_not_compared {
        text.push_str(&format!(
            "the schema's fingerprint was not compared, because {why}\n"
        ));
    }
    for one in &restored.not_set {
        text.push_str(&format!("NOT SET, do it by hand: {one}\n"));
    }
    if let Some(replaced) = &restored.replaced {
        text.push_str(&format!(
            "the database that was there before is now {replaced}: drop it when it is no longer needed\n"
        ));
    }
    output::text(&text)
}
