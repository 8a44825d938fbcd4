//! The SQL inside of DO blocks, of functions that the same file calls, and of EXECUTE, each piece at the byte where it stands.

use std::collections::BTreeSet;
use std::ops::Range;

use squawk_syntax::SourceFile;

use crate::plpgsql::cut;
use crate::script::{Statement, Word, words};

/// How deep DO may stand in EXECUTE in DO. What is deeper is called unseen.
const DEEPEST: usize = 5;

/// What stands in bodies.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// The file with each body in place of the statement that runs it, and blanks where neither is: as many bytes as the file has.
    pub(crate) text: String,
    /// Expressions of plpgsql, as the SELECT that they are run as.
    pub(crate) expressions: Vec<Statement>,
    /// What runs SQL that cannot be read here.
    pub(crate) unseen: Vec<(Range<usize>, String)>,
}

/// A file with the pieces that were found so far.
pub(crate) struct Page {
    bytes: Vec<u8>,
    pub(crate) expressions: Vec<Statement>,
    pub(crate) unseen: Vec<(Range<usize>, String)>,
}

impl Page {
    /// Writes a piece where it stands in the file. What was escaped there is shorter here.
    pub(crate) fn write(&mut self, at: usize, piece: &str) {
        for (place, byte) in self.bytes.iter_mut().skip(at).zip(piece.bytes()) {
            *place = byte;
        }
    }

    /// Runs as `SELECT` what is no statement by itself.
    pub(crate) fn expression(&mut self, at: usize, text: &str) {
        let mut all = words(text, at);
        let Some(first) = all.first() else { return };
        let start = first.range.start;
        let end = all.last().map_or(start, |last| last.range.end);
        let select = Word {
            text: "select".to_owned(),
            range: start..start,
        };
        all.insert(0, select);
        self.expressions.push(Statement {
            range: start..end,
            words: all,
        });
    }

    pub(crate) fn unseen(&mut self, range: Range<usize>, message: &str) {
        self.unseen.push((range, message.to_owned()));
    }
}

impl Bodies {
    /// Opens the bodies, and those inside of them.
    pub(crate) fn open(text: &str, statements: &[Statement]) -> Option<Self> {
        let mut bodies = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        let mut statements = statements.to_vec();
        for round in 0..DEEPEST {
            let called = called(&bodies.text, &statements, &bodies.expressions);
            let opened: Vec<&Statement> = statements.iter().filter(|one| runs(one, &called)).collect();
            if opened.is_empty() {
                return (round > 0).then_some(bodies);
            }
            let blank = |byte| if matches!(byte, b'\n' | b'\r') { byte } else { b' ' };
            let mut page = Page {
                bytes: bodies.text.bytes().map(blank).collect(),
                expressions: std::mem::take(&mut bodies.expressions),
                unseen: std::mem::take(&mut bodies.unseen),
            };
            for statement in &statements {
                if runs(statement, &called) {
                    open(&bodies.text, statement, &mut page);
                } else {
                    let range = statement.range.clone();
                    page.write(range.start, bodies.text.get(range.clone()).unwrap_or_default());
                    let rest = bodies.text.get(range.end..).unwrap_or_default();
                    let blanks = rest.len() - rest.trim_start().len();
                    if rest.trim_start().starts_with(';') {
                        page.write(range.end + blanks, ";");
                    }
                }
            }
            for (range, comment) in crate::script::comments_of(&SourceFile::parse(&bodies.text)) {
                // Those of the file itself stand around its own statements.
                if round > 0 {
                    page.write(range.start, &comment);
                }
            }
            bodies = Self {
                text: String::from_utf8(page.bytes).unwrap_or_default(),
                expressions: page.expressions,
                unseen: page.unseen,
            };
            statements = crate::script::statements_of(&SourceFile::parse(&bodies.text));
        }
        let deeper = statements.iter().filter(|one| one.verb() == "do");
        bodies
            .unseen
            .extend(deeper.map(|one| (one.range.clone(), "DO, too deep inside of others".to_owned())));
        Some(bodies)
    }
}

/// Whether it runs a body: DO, or CREATE of a function that is called.
fn runs(statement: &Statement, called: &BTreeSet<String>) -> bool {
    statement.verb() == "do" || defined(statement).is_some_and(|name| called.contains(name))
}

/// The function that it defines.
fn defined(statement: &Statement) -> Option<&str> {
    let is_function = matches!(statement.kind(), "function" | "procedure");
    (statement.verb() == "create" && is_function)
        .then(|| statement.names().first().copied())
        .flatten()
}

/// The functions of the file that it calls itself, those that these call among them.
fn called(text: &str, statements: &[Statement], expressions: &[Statement]) -> BTreeSet<String> {
    let defined: BTreeSet<&str> = statements.iter().filter_map(defined).collect();
    let mut called = BTreeSet::new();
    let calls = |words: &[Word], called: &mut BTreeSet<String>| {
        for pair in words.windows(2) {
            if let [name, bracket] = pair
                && bracket.text == "("
                && defined.contains(name.text.as_str())
            {
                called.insert(name.text.clone());
            }
        }
    };
    for statement in statements.iter().chain(expressions) {
        let runs = match statement.verb() {
            "comment" | "grant" | "revoke" | "drop" => false,
            "create" => matches!(statement.kind(), "table" | "view"),
            "alter" => statement.kind() == "table",
            _ => true,
        };
        if runs {
            calls(&statement.words, &mut called);
        }
        if statement.verb() == "do"
            && let Some((content, at)) = body(text, statement)
        {
            calls(&words(&content, at), &mut called);
        }
    }
    loop {
        let before = called.len();
        for statement in statements {
            if crate::bodies::defined(statement).is_some_and(|name| called.contains(name))
                && let Some((content, at)) = body(text, statement)
            {
                calls(&words(&content, at), &mut called);
            }
        }
        if called.len() == before {
            return called;
        }
    }
}

fn open(text: &str, statement: &Statement, page: &mut Page) {
    let language = statement
        .find(&["language"])
        .and_then(|index| statement.words.get(index + 1))
        .and_then(|word| text.get(word.range.clone()))
        .map(|name| name.trim_matches(['\'', '"']).to_lowercase());
    let read = body(text, statement);
    match (language.as_deref(), read) {
        (Some("plpgsql"), Some((content, at))) => cut(&content, at, page),
        (None, Some((content, at))) if statement.verb() == "do" => cut(&content, at, page),
        (Some("sql") | None, Some((content, at))) => {
            page.write(at, &content);
            page.write(at + content.len(), ";");
        }
        // One expression, which CREATE FUNCTION shows whole.
        (Some("sql") | None, None) if statement.has(&["return"]) => {}
        _ => page.unseen(
            statement.range.clone(),
            "code in a language that is not read here",
        ),
    }
}

/// The body and where it begins.
fn body(text: &str, statement: &Statement) -> Option<(String, usize)> {
    if let Some(index) = statement.find(&["begin", "atomic"]) {
        let start = statement.words.get(index + 1)?.range.end;
        let end = statement.words.iter().rev().find(|word| word.text == "end")?;
        return Some((text.get(start..end.range.start)?.to_owned(), start));
    }
    let from = match statement.verb() {
        "do" => 0,
        // A default or a setting may be a string too.
        _ => (0..statement.words.len()).rev().find(|index| {
            statement.word(*index) == "as"
                && statement
                    .words
                    .get(index + 1)
                    .is_some_and(|word| is_string(text.get(word.range.clone()).unwrap_or_default()))
        })?,
    };
    let previous = |index: usize| index.checked_sub(1).map(|index| statement.word(index));
    let (_, word) = statement
        .words
        .iter()
        .enumerate()
        .skip(from)
        .find(|(index, word)| {
            is_string(text.get(word.range.clone()).unwrap_or_default())
                && previous(*index) != Some("language")
        })?;
    unquoted(text.get(word.range.clone())?, word.range.start)
}

fn is_string(token: &str) -> bool {
    token.starts_with(['\'', '$']) || token.to_lowercase().starts_with("e'")
}

/// What a string says, and where that begins. `None` for one that is not read here.
pub(crate) fn unquoted(token: &str, at: usize) -> Option<(String, usize)> {
    if token.starts_with('$') {
        let tag = token.get(..=token.get(1..)?.find('$')? + 1)?;
        let content = token.get(tag.len()..)?.strip_suffix(tag)?;
        return Some((content.to_owned(), at + tag.len()));
    }
    let (prefix, rest) = token.split_once('\'')?;
    let rest = rest.strip_suffix('\'')?;
    let content = rest.replace("''", "'");
    match prefix {
        "" => Some((content, at + 1)),
        "e" | "E" if !content.contains('\\') => Some((content, at + 2)),
        "e" | "E" => {
            let mut said = String::new();
            let mut characters = content.chars();
            while let Some(c) = characters.next() {
                match (c, c == '\\') {
                    (_, true) => match characters.next()? {
                        'n' => said.push('\n'),
                        't' => said.push('\t'),
                        c if c.is_alphanumeric() => return None,
                        c => said.push(c),
                    },
                    (c, false) => said.push(c),
                }
            }
            Some((said, at + 2))
        }
        _ => None,
    }
}
