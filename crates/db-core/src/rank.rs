//! Ranks: text that always has room for another between any two, compared byte by byte.
//!
//! A rank is an integer part, whose first character says how long it is, and a fraction in base 62 without a trailing
//! zero. Putting things at either end counts the integer up or down, so that ranks stay short; putting them between two
//! others takes the middle of their fractions. Source: David Greenspan, "Implementing Fractional Indexing" (2020).

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const FIRST: &str = "a0";

/// Longest rank that is given out; a column whose gap needs a longer one is spread anew.
pub(crate) const MAX_RANK: usize = 64;

/// A rank between `low` and `high`; `None` stands for the beginning or the end of the list.
///
/// `None` comes back when the two are not in order or not ranks: the caller read them under different locks.
pub(crate) fn between(low: Option<&str>, high: Option<&str>) -> Option<String> {
    match (low, high) {
        (None, None) => Some(FIRST.to_owned()),
        (Some(low), None) => {
            let (integer, fraction) = split(low)?;
            match increment(integer) {
                Some(next) => Some(next),
                None => Some(format!("{integer}{}", middle(fraction, None)?)),
            }
        }
        (None, Some(high)) => {
            let (integer, fraction) = split(high)?;
            if !fraction.is_empty() {
                // The integer alone comes before the integer with a fraction.
                return Some(integer.to_owned());
            }
            decrement(integer)
        }
        (Some(low), Some(high)) if low < high => {
            let (low_integer, low_fraction) = split(low)?;
            let (high_integer, high_fraction) = split(high)?;
            if low_integer == high_integer {
                return Some(format!(
                    "{low_integer}{}",
                    middle(low_fraction, Some(high_fraction))?
                ));
            }
            match increment(low_integer) {
                Some(next) if next.as_str() < high => Some(next),
                _ => Some(format!("{low_integer}{}", middle(low_fraction, None)?)),
            }
        }
        _ => None,
    }
}

/// `count` ranks in order, as short as they can be.
pub(crate) fn spread(count: usize) -> Vec<String> {
    let mut ranks: Vec<String> = Vec::with_capacity(count);
    while ranks.len() < count {
        match between(ranks.last().map(String::as_str), None) {
            Some(next) => ranks.push(next),
            None => break,
        }
    }
    ranks
}

fn digit(character: u8) -> Option<usize> {
    DIGITS.iter().position(|&d| d == character)
}

/// How many characters the integer part has, its first included: `a` to `z` count up from 2, `Z` to `A` likewise down.
fn integer_length(head: u8) -> Option<usize> {
    match head {
        b'a'..=b'z' => Some(usize::from(head - b'a') + 2),
        b'A'..=b'Z' => Some(usize::from(b'Z' - head) + 2),
        _ => None,
    }
}

fn split(rank: &str) -> Option<(&str, &str)> {
    let length = integer_length(*rank.as_bytes().first()?)?;
    rank.split_at_checked(length)
}

/// The next integer; `None` after the largest.
fn increment(integer: &str) -> Option<String> {
    let (&head, digits) = integer.as_bytes().split_first()?;
    let mut digits = digits.to_vec();
    for place in digits.iter_mut().rev() {
        let value = digit(*place)? + 1;
        if let Some(&next) = DIGITS.get(value) {
            *place = next;
            return join(head, &digits);
        }
        *place = b'0';
    }
    match head {
        b'Z' => Some(FIRST.to_owned()),
        b'z' => None,
        // 'z' has its own arm above.
        b'a'..=b'y' => {
            digits.push(b'0');
            join(head + 1, &digits)
        }
        _ => {
            digits.pop();
            join(head + 1, &digits)
        }
    }
}

/// The integer before; `None` before the smallest.
fn decrement(integer: &str) -> Option<String> {
    let (&head, digits) = integer.as_bytes().split_first()?;
    let mut digits = digits.to_vec();
    for place in digits.iter_mut().rev() {
        match digit(*place)? {
            0 => *place = b'z',
            value => {
                *place = *DIGITS.get(value - 1)?;
                return join(head, &digits);
            }
        }
    }
    match head {
        b'a' => Some("Zz".to_owned()),
        b'A' => None,
        b'B'..=b'Z' => {
            digits.push(b'z');
            join(head - 1, &digits)
        }
        _ => {
            digits.pop();
            join(head - 1, &digits)
        }
    }
}

fn join(head: u8, digits: &[u8]) -> Option<String> {
    let mut bytes = vec![head];
    bytes.extend_from_slice(digits);
    String::from_utf8(bytes).ok()
}

/// A fraction between two, without a trailing zero; `None` for `high` stands for 1.
fn middle(low: &str, high: Option<&str>) -> Option<String> {
    let (low, high) = (low.as_bytes(), high.map(str::as_bytes));
    let mut out = Vec::new();
    let mut place = 0;
    // From the first place where `out` is already below `high`, only `low` binds.
    let mut below_high = high.is_none();
    loop {
        let a = low.get(place).copied().map_or(Some(0), digit)?;
        let b = match high {
            Some(high) if !below_high => high.get(place).copied().map_or(Some(0), digit)?,
            _ => DIGITS.len(),
        };
        if b > a + 1 {
            out.push(*DIGITS.get(usize::midpoint(a, b))?);
            return String::from_utf8(out).ok();
        }
        if b < a {
            return None;
        }
        if b == a + 1 {
            below_high = true;
        }
        out.push(*DIGITS.get(a)?);
        place += 1;
        if place > low.len() + high.map_or(0, <[u8]>::len) + 1 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_and_prepending_keep_ranks_short() {
        let ranks = spread(100_000);
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ranks.iter().all(|rank| rank.len() <= 5));
        let mut first = FIRST.to_owned();
        for _ in 0..100_000 {
            let before = between(None, Some(&first)).unwrap();
            assert!(before < first && before.len() <= 5, "{before} {first}");
            first = before;
        }
    }

    #[test]
    fn there_is_always_room_between() {
        // Whichever side the next one goes to, the list stays in order; a fixed walk through all the turns.
        let mut list = vec![FIRST.to_owned(), between(Some(FIRST), None).unwrap()];
        let mut seed = 12_345_u64;
        for _ in 0..5_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let gap = usize::try_from(seed >> 33).unwrap() % (list.len() + 1);
            let low = gap.checked_sub(1).map(|index| list[index].as_str());
            let high = list.get(gap).map(String::as_str);
            let new = between(low, high).unwrap();
            assert!(low.is_none_or(|low| low < new.as_str()), "{low:?} {new}");
            assert!(high.is_none_or(|high| new.as_str() < high), "{new} {high:?}");
            list.insert(gap, new);
        }
    }

    #[test]
    fn one_gap_takes_hundreds_before_it_is_too_narrow() {
        let (low, mut high) = ("a0".to_owned(), "a1".to_owned());
        let mut count = 0;
        while high.len() <= MAX_RANK {
            high = between(Some(&low), Some(&high)).unwrap();
            assert!(low < high);
            count += 1;
        }
        assert!(count > 300, "{count}");
    }

    #[test]
    fn what_is_out_of_order_has_no_between() {
        assert_eq!(between(Some("a1"), Some("a0")), None);
        assert_eq!(between(Some("a0"), Some("a0")), None);
        assert_eq!(between(Some(""), None), None);
    }
}
