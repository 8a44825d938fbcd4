//! What kind of statement one is, as far as its words tell: whether it can be in a transaction, and run again.
//!
//! The build script includes this file too.

use super::split::{Statement, Token};

/// How a statement of a file without a transaction is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It can be in a transaction of its own, together with its row in the journal: done exactly once.
    Inside,
    /// It sets something for the session: said again by whoever resumes.
    Setting,
    /// `CREATE INDEX CONCURRENTLY`: what a broken-off one leaves is found and mended.
    CreateIndex(NewIndex),
    /// It cannot be in a transaction, or ends transactions itself: whoever resumes runs it again.
    Outside {
        /// `VACUUM`, `DO`.
        name: &'static str,
        /// Whether it waits for other transactions while nobody waits for it.
        patient: bool,
    },
}

/// The index that a `CREATE INDEX CONCURRENTLY` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIndex {
    /// Its name, as it is in the catalogue.
    pub name: String,
    /// The table as written, with its schema where one is given.
    pub table: String,
    /// The same index on an empty copy of the table, `pg_temp.<table>`: how the server is asked what it would look like.
    pub probe: String,
    /// The table's name without its schema, as written.
    pub bare_table: String,
}

/// What is done with a statement.
pub fn kind(statement: &Statement<'_>) -> Result<Kind, String> {
    let words = Words::of(statement);
    let concurrently = words.any("CONCURRENTLY");
    let outside = |name, patient| Ok(Kind::Outside { name, patient });
    match words.start() {
        ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX", ..] if concurrently => {
            new_index(statement).map(Kind::CreateIndex)
        }
        ["DROP", "INDEX", ..] if concurrently => outside("DROP INDEX CONCURRENTLY", true),
        ["SET" | "RESET", ..] => Ok(Kind::Setting),
        ["VACUUM", ..] => outside("VACUUM", !words.everywhere("FULL")),
        ["DO", ..] => outside("DO", false),
        ["CALL", ..] => outside("CALL", false),
        ["CLUSTER", "", ..] => outside("CLUSTER", false),
        ["ALTER", "SYSTEM", ..] => outside("ALTER SYSTEM", false),
        _ => Ok(Kind::Inside),
    }
}

/// Whether the statement begins or ends a transaction.
pub fn controls_transaction(statement: &Statement<'_>) -> bool {
    matches!(
        Words::of(statement).start(),
        [
            "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE",
            ..
        ] | ["START" | "PREPARE", "TRANSACTION", ..]
    )
}

/// The rows would come over a connection that is ours.
fn refuse_copy(words: &Words<'_>) -> Result<(), String> {
    if words.start()[0] == "COPY" && (words.any("STDIN") || words.any("STDOUT")) {
        return Err("COPY from or to the client is not possible in a migration; use INSERT".to_owned());
    }
    Ok(())
}

/// What a statement leaves in the session alone.
fn of_the_session(words: &Words<'_>) -> Option<&'static str> {
    match words.start() {
        ["CREATE", "TEMP" | "TEMPORARY", ..] | ["CREATE", "LOCAL" | "GLOBAL", "TEMP" | "TEMPORARY", ..] => {
            Some("a temporary table")
        }
        ["PREPARE", ..] => Some("a prepared statement"),
        ["DECLARE", ..] => Some("a cursor"),
        ["SELECT", ..] if words.everywhere("SET_CONFIG") => Some("a setting"),
        _ => None,
    }
}

/// For a statement of a file that is run in one transaction.
///
/// # Errors
/// What the statement would break, and what to do.
pub fn check_inside(statement: &Statement<'_>) -> Result<(), String> {
    let words = Words::of(statement);
    if controls_transaction(statement) {
        return Err(format!(
            "{} may not be in a migration: each is one transaction already, its row in the history included",
            words.name(1)
        ));
    }
    refuse_copy(&words)?;
    let name = match kind(statement)? {
        Kind::CreateIndex(_) => "CREATE INDEX CONCURRENTLY",
        Kind::Outside {
            name: name @ ("DROP INDEX CONCURRENTLY" | "VACUUM" | "CLUSTER" | "ALTER SYSTEM"),
            ..
        } => name,
        _ => return Ok(()),
    };
    Err(format!(
        "{name} cannot run in a transaction: put it into a migration of its own, with a metadata.toml that says \
         run_in_transaction = false"
    ))
}

/// For a statement of a file that is run without a transaction, forwards or (`down`) back.
///
/// # Errors
/// Why it could not be resumed when the process is killed, and what to do.
pub fn check_outside(statement: &Statement<'_>, down: bool) -> Result<(), String> {
    let words = Words::of(statement);
    if controls_transaction(statement) {
        return Err(format!(
            "{} may not be in a file with run_in_transaction = false: each statement stands by itself, and is resumed by \
             itself; use a DO block that commits, or a migration in a transaction",
            words.name(1)
        ));
    }
    refuse_copy(&words)?;
    if let Some(what) = of_the_session(&words) {
        return Err(format!(
            "{what} is gone when the process is killed, and whoever resumes does without: use a table, a DO block, or a \
             migration in a transaction"
        ));
    }
    match (words.start(), kind(statement)?) {
        (["SET", "LOCAL" | "TRANSACTION" | "CONSTRAINTS", ..], _) => Err(format!(
            "{} has no effect without a transaction: say it inside of a DO block, or set it for the session",
            words.name(2)
        )),
        (
            ["SET" | "RESET", "ROLE" | "SEARCH_PATH", ..]
            | ["SET" | "RESET", "SESSION", ..]
            | ["RESET", "ALL", ..],
            _,
        ) => Err(format!(
            "{} would reach the runner's own journal: take on a role with SET LOCAL ROLE inside of a DO block, and name \
             things with their schema",
            words.name(2)
        )),
        (["REINDEX", ..], _) if words.everywhere("CONCURRENTLY") => Err(
            "REINDEX CONCURRENTLY cannot be resumed: a broken-off one leaves an index of a made-up name; make a new index \
             with CREATE INDEX CONCURRENTLY and drop the old one"
                .to_owned(),
        ),
        (["ALTER", "TABLE", ..], _) if words.any("DETACH") && words.any("CONCURRENTLY") => {
            Err("DETACH PARTITION … CONCURRENTLY cannot be resumed: run it by hand".to_owned())
        }
        (["CREATE" | "DROP", "DATABASE" | "TABLESPACE" | "SUBSCRIPTION", ..], _) => {
            Err(format!("{} is nothing for a migration", words.name(2)))
        }
        (["DROP", ..], Kind::Outside { .. }) => words.require(&["IF", "EXISTS"]),
        _ if down => repeatable(&words),
        _ => Ok(()),
    }
}

/// The way back may find the way there half done, so that what it undoes may not be there.
fn repeatable(words: &Words<'_>) -> Result<(), String> {
    match words.start() {
        ["DROP", "OWNED", ..] => Ok(()),
        ["DROP", ..] => words.require(&["IF", "EXISTS"]),
        ["CREATE", "OR", "REPLACE", ..] => Ok(()),
        ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX", ..] if words.any("CONCURRENTLY") => Ok(()),
        ["CREATE", ..] => words.require(&["IF", "NOT", "EXISTS"]),
        ["ALTER", "TABLE", ..] => {
            for (action, wanted) in [("DROP", &["IF", "EXISTS"][..]), ("ADD", &["IF", "NOT", "EXISTS"])] {
                words.require_behind(action, wanted)?;
            }
            for action in ["RENAME", "ATTACH", "DETACH"] {
                if words.any(action) {
                    return Err(format!(
                        "ALTER TABLE … {action} fails when it is run twice, or when the way there was only half done: \
                         put it into a DO block that looks first"
                    ));
                }
            }
            Ok(())
        }
        ["INSERT", ..] if !words.follow(&["ON", "CONFLICT"]) && !words.everywhere("EXISTS") => {
            Err("INSERT in a down.sql without a transaction needs ON CONFLICT".to_owned())
        }
        _ => Ok(()),
    }
}

/// The words of a statement outside of parentheses, in capitals.
struct Words<'a> {
    outer: Vec<String>,
    all: &'a [Token<'a>],
}

impl<'a> Words<'a> {
    fn of(statement: &'a Statement<'a>) -> Self {
        let outer = statement.tokens.iter().filter(|token| token.depth == 0);
        Self {
            outer: outer
                .map(|token| {
                    if token.word {
                        token.text.to_ascii_uppercase()
                    } else {
                        // Anything else only keeps its place: a quoted name is no keyword.
                        "?".to_owned()
                    }
                })
                .collect(),
            all: &statement.tokens,
        }
    }

    fn start(&self) -> [&str; 4] {
        [0, 1, 2, 3].map(|index| self.outer.get(index).map_or("", String::as_str))
    }

    fn name(&self, words: usize) -> String {
        self.outer
            .iter()
            .take(words)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn any(&self, word: &str) -> bool {
        self.outer.iter().any(|each| each == word)
    }

    fn everywhere(&self, word: &str) -> bool {
        self.all.iter().any(|token| token.is(word))
    }

    fn follow(&self, words: &[&str]) -> bool {
        self.outer.windows(words.len()).any(|window| window == words)
    }

    fn require(&self, words: &[&str]) -> Result<(), String> {
        if self.follow(words) {
            return Ok(());
        }
        Err(format!(
            "{} needs {} here: when the process is killed, it may be run again",
            self.name(2),
            words.join(" ")
        ))
    }

    /// Each `ADD` or `DROP` of an ALTER TABLE takes off or puts on a column or a constraint, or something of a column
    /// (`ALTER COLUMN x DROP DEFAULT`), which may be repeated.
    fn require_behind(&self, action: &str, wanted: &[&str]) -> Result<(), String> {
        for (index, _) in self.outer.iter().enumerate().filter(|(_, word)| *word == action) {
            let behind = self.outer.get(index + 1..).unwrap_or_default();
            let next = behind.first().map_or("", String::as_str);
            if matches!(next, "DEFAULT" | "NOT" | "IDENTITY" | "EXPRESSION") {
                continue;
            }
            let skip = usize::from(matches!(next, "COLUMN" | "CONSTRAINT"));
            let guarded = behind
                .get(skip..)
                .is_some_and(|rest| rest.iter().zip(wanted).filter(|(a, b)| a == b).count() == wanted.len());
            if !guarded {
                return Err(format!(
                    "ALTER TABLE … {action} needs {} here: the way there may have been only half done (where PostgreSQL has \
                     no such form, use a DO block that looks first)",
                    wanted.join(" ")
                ));
            }
        }
        Ok(())
    }
}

/// `NAMEDATALEN` less the closing NUL.
const LONGEST_NAME: usize = 63;

/// Reads `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name ON [ONLY] [schema.]table …`.
fn new_index(statement: &Statement<'_>) -> Result<NewIndex, String> {
    let tokens = &statement.tokens;
    let position = |keyword: &str| {
        tokens
            .iter()
            .position(|token| token.depth == 0 && token.is(keyword))
    };
    let unnamed = || {
        "CREATE INDEX CONCURRENTLY needs a name here: what a broken-off one leaves is found by it".to_owned()
    };
    let on = position("ON").ok_or_else(unnamed)?;
    let name = match tokens.get(on.wrapping_sub(1)) {
        Some(token) if !token.is("CONCURRENTLY") && !token.is("EXISTS") => catalogue_name(token)?,
        _ => return Err(unnamed()),
    };
    let unique = position("UNIQUE").is_some_and(|at| at < on);

    let mut at = on + 1;
    at += usize::from(tokens.get(at).is_some_and(|token| token.is("ONLY")));
    let mut parts = Vec::new();
    while let Some(token) = tokens.get(at) {
        catalogue_name(token)?;
        parts.push(token.text);
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != ".") {
            break;
        }
        at += 1;
    }
    let rest = tokens.get(at).and_then(|token| statement.sql.get(token.start..));
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "the index's name {name} is longer than {LONGEST_NAME} bytes, and PostgreSQL would cut it; give it a shorter one"
        ));
    }
    let (Some(bare_table), Some(rest)) = (parts.last(), rest) else {
        return Err("CREATE INDEX CONCURRENTLY is not complete".to_owned());
    };
    let unique = if unique { "UNIQUE " } else { "" };
    Ok(NewIndex {
        probe: format!("CREATE {unique}INDEX plinth_probe ON pg_temp.{bare_table} {rest}"),
        name,
        table: parts.join("."),
        bare_table: (*bare_table).to_owned(),
    })
}

fn catalogue_name(token: &Token<'_>) -> Result<String, String> {
    if token.word {
        return Ok(token.text.to_ascii_lowercase());
    }
    let inner = token
        .text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner
        .map(|text| text.replace("\"\"", "\""))
        .ok_or_else(|| format!("{} is no name that is understood here", token.text))
}
