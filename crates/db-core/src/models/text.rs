//! Rules for what people write; the API and setup share them, and CHECK constraints repeat them.

use chrono::{DateTime, Datelike as _, Utc};

/// Between `min` and `max` characters, none of them a control character other than line breaks and tabs.
///
/// # Errors
/// Says what is wrong.
pub fn check_text(text: &str, min: usize, max: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length < min || length > max {
        return Err(format!("must have {min} to {max} characters, has {length}"));
    }
    // PostgreSQL stores no NUL; other control characters have no business in what is shown to people.
    match text
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        Some(character) => Err(format!(
            "must not contain the control character U+{:04X}",
            u32::from(character)
        )),
        None => Ok(()),
    }
}

/// A name in one line: 1 to 200 characters, not only blanks.
///
/// # Errors
/// Says what is wrong.
pub fn check_name(name: &str) -> Result<(), String> {
    check_line(name, 200)
}

/// One line of 1 to `max` characters, not only blanks.
///
/// # Errors
/// Says what is wrong.
pub fn check_line(line: &str, max: usize) -> Result<(), String> {
    check_text(line, 1, max)?;
    if line.contains(['\n', '\r']) {
        return Err("must be one line".to_owned());
    }
    if line.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    Ok(())
}

/// A slug: 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end.
///
/// # Errors
/// Says what is wrong.
pub fn check_slug(slug: &str) -> Result<(), String> {
    let fits = (1..=63).contains(&slug.len())
        && slug
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-');
    if fits {
        Ok(())
    } else {
        Err("must be 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end".to_owned())
    }
}

/// A time that the database can store and that is no slip of the pen. Whether it is in the future only the database
/// clock can say.
///
/// # Errors
/// Says what is wrong.
pub fn check_time(time: DateTime<Utc>) -> Result<(), String> {
    if (1970..10_000).contains(&time.year()) {
        Ok(())
    } else {
        Err("must be in the years 1970 to 9999".to_owned())
    }
}
