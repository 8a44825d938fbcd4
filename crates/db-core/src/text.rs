//! Rules for what people write; the API and setup share them, and CHECK constraints repeat them.

use chrono::{DateTime, Datelike as _, Utc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

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

/// One line of 1 to `max` characters, not only blanks, and none that is not seen: what looks alike is alike.
///
/// # Errors
/// Says what is wrong.
pub fn check_line(line: &str, max: usize) -> Result<(), String> {
    check_text(line, 1, max)?;
    if line.contains(['\n', '\r', '\u{2028}', '\u{2029}']) {
        return Err("must be one line".to_owned());
    }
    if let Some(character) = line
        .chars()
        .find(|c| c.is_control() || (is_format(*c) && !is_joiner(*c)))
    {
        return Err(format!(
            "must not contain the invisible character U+{:04X}",
            u32::from(character)
        ));
    }
    if line.chars().all(|c| c.is_whitespace() || is_joiner(c)) {
        return Err("must not be blank".to_owned());
    }
    Ok(())
}

/// A character that only says how others are shown, such as U+202E, which turns the rest of a line round: Unicode's
/// general category Cf, but for the signs in it that are seen (`Prepended_Concatenation_Mark`).
pub(crate) fn is_format(character: char) -> bool {
    let is_seen = matches!(character,
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}');
    !character.is_ascii() && !is_seen && character.general_category() == GeneralCategory::Format
}

/// Emoji, Persian and the scripts of India cannot be written without these two. Source: UAX #31, section 2.3.
fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
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

#[cfg(test)]
mod tests {
    use super::check_line;

    #[test]
    fn a_line_has_nothing_in_it_that_is_not_seen() {
        for line in [
            "Ops",
            "Straße 7",
            "👩\u{200d}💻 dev",
            "می\u{200c}خواهم",
            "\u{600}12",
            "a\u{a0}b",
        ] {
            assert_eq!(check_line(line, 200), Ok(()), "{line:?}");
        }
        for hidden in [
            '\u{202e}',
            '\u{2066}',
            '\u{200b}',
            '\u{200e}',
            '\u{feff}',
            '\u{ad}',
            '\u{e0041}',
            '\t',
            '\u{1b}',
            '\0',
            '\u{85}',
        ] {
            let told = check_line(&format!("ad{hidden}min"), 200).unwrap_err();
            assert!(told.contains(&format!("U+{:04X}", u32::from(hidden))), "{told}");
        }
        for line in ["a\nb", "a\u{2028}b", "", " ", "\u{200d}", "\u{3000}"] {
            assert!(check_line(line, 200).is_err(), "{line:?}");
        }
    }
}
