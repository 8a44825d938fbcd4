//! Text that a regular expression matches: the shortest one, varied a little.

use regex_syntax::hir::{Class, Hir, HirKind};

/// A text that the expression matches, another one for another `variation` where the expression leaves a choice. `None` when
/// it is none that can be read: PostgreSQL knows a few forms of its own.
pub(super) fn sample(expression: &str, variation: usize) -> Option<String> {
    let expression = regex_syntax::parse(expression).ok()?;
    let mut sample = Sample {
        text: String::new(),
        left: variation,
    };
    sample.write(&expression)?;
    Some(sample.text)
}

struct Sample {
    text: String,
    /// What is left of the variation, as a number whose digits decide.
    left: usize,
}

impl Sample {
    /// One of so many.
    fn choose(&mut self, of: usize) -> usize {
        let choice = self.left.checked_rem(of).unwrap_or_default();
        self.left = self.left.checked_div(of).unwrap_or_default();
        choice
    }

    fn write(&mut self, expression: &Hir) -> Option<()> {
        match expression.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.text.push_str(std::str::from_utf8(&literal.0).ok()?),
            HirKind::Class(Class::Unicode(class)) => {
                let all: Vec<char> = class
                    .iter()
                    .flat_map(|range| (range.start()..=range.end()).take(64))
                    .collect();
                let choice = self.choose(all.len());
                self.text.push(*all.get(choice)?);
            }
            HirKind::Class(Class::Bytes(_)) => return None,
            HirKind::Repetition(repetition) => {
                // Long enough for many variations.
                let most = repetition.max.unwrap_or(u32::MAX);
                for _ in 0..repetition.min.max(6).min(most) {
                    self.write(&repetition.sub)?;
                }
            }
            HirKind::Capture(capture) => self.write(&capture.sub)?,
            HirKind::Concat(parts) => {
                for part in parts {
                    self.write(part)?;
                }
            }
            HirKind::Alternation(ways) => {
                let choice = self.choose(ways.len());
                self.write(ways.get(choice)?)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_is_of_the_form() {
        for (expression, length) in [
            ("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", 8),
            ("^#[0-9a-f]{6}$", 7),
            ("^[A-Z][A-Z0-9]{1,9}$", 7),
            (r"^\$2[aby]\$1[0-9]\$", 7),
            ("^(one|two):x+$", 10),
        ] {
            let first = sample(expression, 0).unwrap();
            assert_eq!(first.chars().count(), length, "{expression}: {first}");
            assert_ne!(first, sample(expression, 1).unwrap(), "{expression}");
        }
        assert_eq!(sample("^[A-Z][A-Z0-9]{1,9}$", 27).unwrap(), "B100000");
        assert_eq!(sample("(", 0), None);
    }
}
