//! Values at the edges of a type: what a careless migration cuts off, rounds or takes for another.

/// The value of row number `at`, where it is the turn of such a row. Two of five are: long and short text, capitals, letters beyond
/// ASCII, blanks around it; fractions; times long ago and far off; JSON with several keys.
pub(super) fn boundary(base: &str, column: &str, at: usize, day: usize) -> Option<String> {
    let odd = match at % 5 {
        1 => true,
        3 => false,
        _ => return None,
    };
    let (name, size) = base.split_once('(').unwrap_or((base, ""));
    let text = match (name.trim(), odd) {
        ("text" | "character varying" | "citext" | "public.citext", true) => {
            let limit = size.trim_end_matches(')').parse().unwrap_or(usize::MAX);
            let long = format!(
                " {at} Größe, ÉTÉ, Mixed Case: {column} {}\t",
                "0123456789".repeat(12)
            );
            long.chars().take(limit).collect()
        }
        ("text" | "character varying" | "citext" | "public.citext", false) => format!("Ä{at}"),
        ("numeric" | "real" | "double precision", true) => format!("{at}.123456789012345"),
        ("numeric" | "real" | "double precision", false) => format!("-{at}.5"),
        ("date", true) => format!("2019-03-{day:02}"),
        ("date", false) => format!("2087-11-{day:02}"),
        ("json" | "jsonb", _) => {
            format!(
                "{{\"{column}\": {at}, \"Key\": \"Ä \\\" x\", \"secret\": true, \"nested\": {{\"a\": [1, 2.50, null]}}}}"
            )
        }
        (time, true) if time.starts_with("timestamp") => format!("2019-03-{day:02} 23:59:59.987654"),
        (time, false) if time.starts_with("timestamp") => format!("2087-11-{day:02} 00:00:00.000001"),
        (time, true) if time.starts_with("time") => format!("23:59:{:02}.987654", at % 60),
        ("interval", true) => format!("{at} months 3 days 0.5 seconds"),
        _ => return None,
    };
    Some(text)
}
