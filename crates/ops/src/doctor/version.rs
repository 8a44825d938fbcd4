//! Which versions of PostgreSQL are good enough.

/// Oldest major version that the schema works on.
const OLDEST: i32 = 14;

/// First minor release of each major version without CVE-2026-14663: before it, pgcrypto decrypts what was encrypted with
/// bf or cast5 under any key.
const SECURE: [(i32, i32); 4] = [(15, 19), (16, 15), (17, 11), (18, 6)];

/// How a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It will do.
    Good,
    /// Plinth does not work on it.
    TooOld,
    /// The first release with the fix, as `15.19`.
    Insecure {
        /// Major version.
        major: i32,
        /// First good minor release; `None` where there is none: 14 gets no more releases.
        minor: Option<i32>,
    },
}

/// Judges `server_version_num`: 150018 is 15.18.
pub fn standing(version_num: i32) -> Standing {
    let (major, minor) = (version_num / 10_000, version_num % 10_000);
    if major < OLDEST {
        return Standing::TooOld;
    }
    match SECURE.iter().find(|(fixed, _)| *fixed == major) {
        Some((_, fixed)) if minor < *fixed => Standing::Insecure {
            major,
            minor: Some(*fixed),
        },
        None if major == OLDEST => Standing::Insecure { major, minor: None },
        _ => Standing::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors() {
        for (major, fixed) in SECURE {
            let below = Standing::Insecure {
                major,
                minor: Some(fixed),
            };
            assert_eq!(standing(major * 10_000 + fixed - 1), below);
            assert_eq!(standing(major * 10_000), below);
            assert_eq!(standing(major * 10_000 + fixed), Standing::Good);
            assert_eq!(standing(major * 10_000 + fixed + 1), Standing::Good);
        }
        assert_eq!(standing(190_000), Standing::Good);
    }

    #[test]
    fn thirteen_is_too_old_and_fourteen_has_no_fix() {
        assert_eq!(standing(130_022), Standing::TooOld);
        assert_eq!(standing(90_624), Standing::TooOld);
        assert_eq!(
            standing(140_023),
            Standing::Insecure {
                major: 14,
                minor: None
            }
        );
    }
}
