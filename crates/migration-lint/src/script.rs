//! A file of SQL, cut into statements and words.

use std::ops::Range;

use squawk_syntax::ast::AstNode as _;
use squawk_syntax::{Parse, SourceFile, SyntaxKind, SyntaxNode};

/// Which way the script leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Applies the migration.
    Up,
    /// Reverts it: that it drops what `up.sql` made is its purpose.
    Down,
}

/// A keyword, name, or sign.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// As PostgreSQL understands it: in lower case, or what stands between the quotes. Empty for a string.
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
}

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// Without what stands around it: comments, blanks.
    pub(crate) range: Range<usize>,
    pub(crate) words: Vec<Word>,
}

/// A file of a migration.
#[derive(Debug)]
pub struct Script {
    path: String,
    text: String,
    side: Side,
    transactional: bool,
    parse: Parse<SourceFile>,
    statements: Vec<Statement>,
    comments: Vec<(Range<usize>, String)>,
    line_starts: Vec<usize>,
}

impl Script {
    /// Reads the text. `path` is only shown; `transactional` is what `metadata.toml` says.
    pub fn new(path: impl Into<String>, text: impl Into<String>, side: Side, transactional: bool) -> Self {
        let text = text.into();
        let parse = SourceFile::parse(&text);
        let statements = parse
            .tree()
            .stmts()
            .filter_map(|statement| Statement::new(statement.syntax()))
            .collect();
        let comments = tokens(&parse.syntax_node())
            .filter(|(kind, ..)| *kind == SyntaxKind::COMMENT)
            .map(|(_, range, text)| (range, text))
            .collect();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(index, _)| index + 1))
            .collect();
        Self {
            path: path.into(),
            text,
            side,
            transactional,
            parse,
            statements,
            comments,
            line_starts,
        }
    }

    /// The path that it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The SQL.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it runs in one transaction.
    pub fn transactional(&self) -> bool {
        self.transactional
    }

    /// Each statement and where it begins, in bytes: for those who have to send them one by one.
    pub fn statement_texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.statements
            .iter()
            .filter_map(|statement| Some((statement.range.start, self.text.get(statement.range.clone())?)))
    }

    /// Line and column of a byte.
    pub fn position(&self, offset: usize) -> crate::Position {
        let line = self.line(offset);
        let start = self.line_starts.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        crate::Position {
            line: line + 1,
            column: before.chars().count() + 1,
        }
    }

    /// Line of a byte, from 0.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    pub(crate) fn parse(&self) -> &Parse<SourceFile> {
        &self.parse
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    pub(crate) fn statement_at(&self, offset: usize) -> Option<&Statement> {
        self.statements
            .iter()
            .find(|statement| statement.range.start <= offset && offset < statement.range.end)
    }

    /// Comments outside and inside of statements, as written.
    pub(crate) fn comments(&self) -> &[(Range<usize>, String)] {
        &self.comments
    }

    /// Whether a statement before this byte makes the object: nobody can be waiting for it, and nobody knows it yet.
    pub(crate) fn makes_before(&self, offset: usize, name: &str) -> bool {
        self.statements
            .iter()
            .take_while(|statement| statement.range.end <= offset)
            .any(|statement| {
                statement.verb() == "create"
                    && !statement.has(&["if", "not", "exists"])
                    && statement.names().first().is_some_and(|made| *made == name)
            })
    }
}

/// Words that may stand between CREATE and what is made.
const MODIFIERS: &[&str] = &[
    "or",
    "replace",
    "temp",
    "temporary",
    "unlogged",
    "global",
    "local",
    "unique",
    "materialized",
    "recursive",
    "foreign",
    "constraint",
    "default",
    "event",
];

/// Words that may stand between what is made and its name.
const BEFORE_NAME: &[&str] = &["concurrently", "if", "not", "exists", "only"];

impl Statement {
    fn new(node: &SyntaxNode) -> Option<Self> {
        let words: Vec<Word> = tokens(node)
            .filter(|(kind, ..)| !matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
            .map(|(_, range, text)| Word {
                text: normal(&text),
                range,
            })
            .collect();
        let range = words.first()?.range.start..words.last()?.range.end;
        Some(Self { range, words })
    }

    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| word.text.as_str())
    }

    /// The first word: create, alter, drop, …
    pub(crate) fn verb(&self) -> &str {
        self.word(0)
    }

    fn kind_index(&self) -> usize {
        (1..self.words.len())
            .find(|index| !MODIFIERS.contains(&self.word(*index)))
            .unwrap_or_default()
    }

    /// What the verb is about: table, index, function, …
    pub(crate) fn kind(&self) -> &str {
        self.word(self.kind_index())
    }

    /// Index of the word behind the kind and what may stand before a name.
    pub(crate) fn name_index(&self) -> usize {
        (self.kind_index() + 1..self.words.len())
            .find(|index| !BEFORE_NAME.contains(&self.word(*index)))
            .unwrap_or(self.words.len())
    }

    /// The names that it makes, alters or drops, without their schema.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut index = self.name_index();
        loop {
            while self.word(index + 1) == "." {
                index += 2;
            }
            if index >= self.words.len() {
                return names;
            }
            names.push(self.word(index));
            index += 1;
            // Arguments of a function.
            if self.verb() == "drop" && self.word(index) == "(" {
                while index < self.words.len() && self.word(index) != ")" {
                    index += 1;
                }
                index += 1;
            }
            if self.verb() != "drop" || self.word(index) != "," {
                return names;
            }
            index += 1;
        }
    }

    /// The table that it is about: its own name, or what stands behind ON.
    pub(crate) fn table(&self) -> Option<&str> {
        let behind = match (self.verb(), self.kind()) {
            ("create" | "alter" | "drop", "table") => return self.names().first().copied(),
            ("create" | "alter" | "drop", "index" | "policy" | "trigger") => "on",
            ("update", _) => "update",
            ("delete", _) => "from",
            ("insert", _) => "into",
            _ => return None,
        };
        let mut index = self.words.iter().position(|word| word.text == behind)? + 1;
        while self.word(index) == "only" {
            index += 1;
        }
        while self.word(index + 1) == "." {
            index += 2;
        }
        self.words.get(index).map(|word| word.text.as_str())
    }

    /// Whether these words stand in it, one behind the other.
    pub(crate) fn has(&self, sequence: &[&str]) -> bool {
        self.find(sequence).is_some()
    }

    /// Where these words stand in it.
    pub(crate) fn find(&self, sequence: &[&str]) -> Option<usize> {
        self.words.windows(sequence.len()).position(|words| {
            words
                .iter()
                .zip(sequence)
                .all(|(word, wanted)| word.text == *wanted)
        })
    }
}

fn tokens(node: &SyntaxNode) -> impl Iterator<Item = (SyntaxKind, Range<usize>, String)> + use<> {
    node.descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .map(|token| {
            let range = token.text_range();
            (
                token.kind(),
                usize::from(range.start())..usize::from(range.end()),
                token.text().to_owned(),
            )
        })
}

fn normal(text: &str) -> String {
    match text.chars().next() {
        Some('"') => text.trim_matches('"').replace("\"\"", "\""),
        Some('\'' | '$') => String::new(),
        _ => text.to_lowercase(),
    }
}
