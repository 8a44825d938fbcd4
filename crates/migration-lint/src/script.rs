//! A file of SQL, cut into statements and words.

use std::ops::Range;

use squawk_lexer::{TokenKind, tokenize};
use squawk_syntax::ast::AstNode as _;
use squawk_syntax::{Parse, SourceFile, SyntaxKind, SyntaxNode};

use crate::bodies::Bodies;

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
    bodies: Option<Bodies>,
    /// Statements and comments of the bodies.
    inner: Vec<Statement>,
    inner_comments: Vec<(Range<usize>, String)>,
    line_starts: Vec<usize>,
}

impl Script {
    /// Reads the text. `path` is only shown; `transactional` is what `metadata.toml` says.
    pub fn new(path: impl Into<String>, text: impl Into<String>, side: Side, transactional: bool) -> Self {
        let text = text.into();
        let parse = SourceFile::parse(&text);
        let statements = statements_of(&parse);
        let comments = comments_of(&parse);
        let bodies = Bodies::open(&text, &statements);
        let (mut inner, mut inner_comments) = (Vec::new(), Vec::new());
        if let Some(bodies) = &bodies {
            let parse = SourceFile::parse(&bodies.text);
            inner = statements_of(&parse);
            inner.retain(|one| {
                statements
                    .iter()
                    .all(|outer| outer.range.start != one.range.start)
            });
            inner.extend(bodies.expressions.iter().cloned());
            inner.sort_by_key(|one| one.range.start);
            inner_comments = comments_of(&parse);
        }
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
            bodies,
            inner,
            inner_comments,
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

    /// The statement at a byte: the one inside of a body before the one that has the body.
    pub(crate) fn statement_at(&self, offset: usize) -> Option<&Statement> {
        self.inner
            .iter()
            .chain(&self.statements)
            .find(|statement| statement.range.start <= offset && offset < statement.range.end)
    }

    /// The statements inside of bodies that this file runs.
    pub(crate) fn inner_statements(&self) -> &[Statement] {
        &self.inner
    }

    /// The comments inside of these bodies.
    pub(crate) fn inner_comments(&self) -> &[(Range<usize>, String)] {
        &self.inner_comments
    }

    pub(crate) fn bodies(&self) -> Option<&Bodies> {
        self.bodies.as_ref()
    }

    /// Comments outside and inside of statements, as written.
    pub(crate) fn comments(&self) -> &[(Range<usize>, String)] {
        &self.comments
    }

    /// Whether a statement before this byte makes the object, and none drops it again: nobody can be waiting for it, and nobody knows
    /// it yet. What a body makes does not count: whether it does is known when it runs.
    pub(crate) fn makes_before(&self, offset: usize, kind: &str, name: &Name<'_>) -> bool {
        let elsewhere = |one: &Statement| one.verb() == "set" && one.has(&["search_path"]);
        if name.schema.is_none() && (self.statements.iter().chain(&self.inner).any(elsewhere)) {
            return false;
        }
        let mut made = false;
        for statement in self
            .statements
            .iter()
            .take_while(|statement| statement.range.end <= offset)
            .filter(|statement| statement.kind() == kind)
        {
            match statement.verb() {
                "create" if !statement.may_find_one() => {
                    made |= statement.made().is_some_and(|other| name.means(&other));
                }
                "drop" => made &= !statement.qualified_names().iter().any(|other| name.means(other)),
                _ => {}
            }
        }
        made
    }
}

impl Script {
    /// The same for what holds rows.
    pub(crate) fn makes_table_before(&self, offset: usize, name: &Name<'_>) -> bool {
        self.makes_before(offset, "table", name) || self.makes_before(offset, "view", name)
    }
}

/// Name of an object, and the schema that it is said to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) schema: Option<&'a str>,
    pub(crate) name: &'a str,
}

impl Name<'_> {
    /// Whether this name means that object. Temporary tables come before all others, and `public` is what stands in the path.
    fn means(&self, made: &Name<'_>) -> bool {
        self.name == made.name
            && match (self.schema, made.schema) {
                (None, Some("pg_temp")) => true,
                (one, other) => one.unwrap_or("public") == other.unwrap_or("public"),
            }
    }
}

/// The statements of a file.
pub(crate) fn statements_of(parse: &Parse<SourceFile>) -> Vec<Statement> {
    parse
        .tree()
        .stmts()
        .filter_map(|statement| Statement::new(statement.syntax()))
        .collect()
}

/// The comments of a file, as written.
pub(crate) fn comments_of(parse: &Parse<SourceFile>) -> Vec<(Range<usize>, String)> {
    tokens(&parse.syntax_node())
        .filter(|(kind, ..)| *kind == SyntaxKind::COMMENT)
        .map(|(_, range, text)| (range, text))
        .collect()
}

/// The words of a piece of a file that begins at this byte.
pub(crate) fn words(text: &str, at: usize) -> Vec<Word> {
    let mut start = 0;
    let mut words = Vec::new();
    for token in tokenize(text) {
        let end = start + token.len as usize;
        if !matches!(
            token.kind,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. }
        ) {
            words.push(Word {
                text: normal(text.get(start..end).unwrap_or_default()),
                range: at + start..at + end,
            });
        }
        start = end;
    }
    words
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
        self.qualified_names().iter().map(|name| name.name).collect()
    }

    /// The names that it makes, alters or drops.
    pub(crate) fn qualified_names(&self) -> Vec<Name<'_>> {
        let mut names = Vec::new();
        let mut index = self.name_index();
        loop {
            let (name, behind) = self.name_at(index);
            let Some(name) = name else { return names };
            names.push(name);
            index = behind;
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

    /// The name at a word, and the index behind it.
    pub(crate) fn name_at(&self, mut index: usize) -> (Option<Name<'_>>, usize) {
        let mut schema = None;
        while self.word(index + 1) == "." {
            schema = Some(self.word(index));
            index += 2;
        }
        let name = self.words.get(index).map(|word| Name {
            schema,
            name: word.text.as_str(),
        });
        (name, index + 1)
    }

    /// What it makes; of what is temporary the schema is `pg_temp`.
    fn made(&self) -> Option<Name<'_>> {
        let made = self.qualified_names().first().copied()?;
        let temporary = self
            .words
            .iter()
            .take(self.kind_index())
            .any(|word| matches!(word.text.as_str(), "temp" | "temporary"));
        Some(Name {
            schema: if temporary { Some("pg_temp") } else { made.schema },
            ..made
        })
    }

    /// The arguments of a function, each in its words.
    pub(crate) fn arguments(&self) -> Vec<Vec<&str>> {
        let (_, behind) = self.name_at(self.name_index());
        let mut arguments = vec![Vec::new()];
        let mut depth = 0_usize;
        for word in self.words.iter().skip(behind) {
            match word.text.as_str() {
                "(" => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                ")" => {
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
            match word.text.as_str() {
                _ if depth == 0 => break,
                "," if depth == 1 => arguments.push(Vec::new()),
                word => {
                    if let Some(last) = arguments.last_mut() {
                        last.push(word);
                    }
                }
            }
        }
        arguments.retain(|argument: &Vec<&str>| !argument.is_empty());
        arguments
    }

    /// Whether it leaves or replaces what is there under the name.
    fn may_find_one(&self) -> bool {
        self.has(&["if", "not", "exists"])
            || self
                .words
                .iter()
                .take(self.kind_index())
                .any(|word| word.text == "replace")
    }

    /// The table that it is about: its own name, or what stands behind ON.
    pub(crate) fn table(&self) -> Option<&str> {
        self.qualified_table().map(|table| table.name)
    }

    /// The same, with the schema.
    pub(crate) fn qualified_table(&self) -> Option<Name<'_>> {
        let behind = match (self.verb(), self.kind()) {
            ("create" | "alter" | "drop", "table") => return self.qualified_names().first().copied(),
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
        self.name_at(index).0
    }

    /// The UPDATEs and DELETEs in it, those of a WITH among them: the verb, the table, and whether WHERE chooses among the rows.
    pub(crate) fn writes(&self) -> Vec<(&str, Option<Name<'_>>, bool)> {
        let mut writes = Vec::new();
        for (index, word) in self.words.iter().enumerate() {
            let before = index.checked_sub(1).map_or("", |index| self.word(index));
            let begins = matches!(
                before,
                "" | "(" | ")" | "analyze" | "verbose" | "explain" | "select"
            );
            let mut target = match word.text.as_str() {
                "update" if begins => index + 1,
                "delete" if begins && self.word(index + 1) == "from" => index + 2,
                _ => continue,
            };
            while self.word(target) == "only" {
                target += 1;
            }
            let mut depth = 0_usize;
            let mut chooses = false;
            for (at, word) in self.words.iter().enumerate().skip(target) {
                match word.text.as_str() {
                    "(" => depth += 1,
                    ")" if depth == 0 => break,
                    ")" => depth -= 1,
                    ";" => break,
                    "where" if depth == 0 => {
                        let always = matches!(self.word(at + 1), "true")
                            && matches!(self.word(at + 2), "" | ";" | ")" | "returning");
                        chooses = !always;
                        break;
                    }
                    _ => {}
                }
            }
            writes.push((word.text.as_str(), self.name_at(target).0, chooses));
        }
        writes
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
