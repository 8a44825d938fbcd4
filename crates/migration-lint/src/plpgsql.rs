//! A body in plpgsql, cut into the SQL that it runs.
//!
//! Tokens are squawk's; where a piece begins and ends follows PostgreSQL's `pl_gram.y`: at a semicolon, and at THEN and LOOP of the
//! constructs that have these.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use crate::bodies::{Page, unquoted};

/// What begins a statement of SQL in a body.
const SQL: &[&str] = &[
    "alter", "analyze", "call", "cluster", "comment", "copy", "create", "delete", "discard", "do", "drop",
    "explain", "grant", "import", "insert", "lock", "merge", "notify", "prepare", "reassign", "refresh",
    "reindex", "reset", "revoke", "security", "select", "set", "truncate", "update", "vacuum", "values",
    "with",
];

struct Token<'a> {
    text: &'a str,
    /// As a keyword: in lower case; empty when it can be none.
    word: String,
    range: Range<usize>,
    string: bool,
}

/// Cuts a body that begins at this byte of the file.
pub(crate) fn cut(body: &str, at: usize, page: &mut Page) {
    let mut tokens = Vec::new();
    let mut start = 0;
    for token in tokenize(body) {
        let end = start + token.len as usize;
        let text = body.get(start..end).unwrap_or_default();
        match token.kind {
            TokenKind::Whitespace => {}
            TokenKind::LineComment | TokenKind::BlockComment { .. } => page.write(at + start, text),
            kind => tokens.push(Token {
                text,
                word: match kind {
                    TokenKind::QuotedIdent { .. } | TokenKind::Literal { .. } => String::new(),
                    _ => text.to_lowercase(),
                },
                range: start..end,
                string: matches!(
                    kind,
                    TokenKind::Literal {
                        kind: LiteralKind::Str { .. }
                            | LiteralKind::EscStr { .. }
                            | LiteralKind::DollarQuotedString { .. }
                    }
                ),
            }),
        }
        start = end;
    }
    Cutter {
        body,
        at,
        tokens,
        page,
    }
    .all();
}

struct Cutter<'a, 'b> {
    body: &'a str,
    /// Where the body begins in the file.
    at: usize,
    tokens: Vec<Token<'a>>,
    page: &'b mut Page,
}

impl Cutter<'_, '_> {
    fn word(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| token.word.as_str())
    }

    /// Where the token begins; behind the last one, where the body ends.
    fn start(&self, index: usize) -> usize {
        self.tokens
            .get(index)
            .map_or(self.body.len(), |token| token.range.start)
    }

    /// The first token from there on that is one of these, outside of brackets and of CASE … END, or that ends the statement.
    fn find(&self, from: usize, wanted: &[&str]) -> usize {
        let (mut depth, mut cases) = (0_usize, 0_usize);
        for index in from..self.tokens.len() {
            match self.word(index) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => return index,
                word if depth == 0 && cases == 0 && wanted.contains(&word) => return index,
                "case" => cases += 1,
                "end" => cases = cases.saturating_sub(1),
                _ => {}
            }
        }
        self.tokens.len()
    }

    fn all(&mut self) {
        let mut index = 0;
        while index < self.tokens.len() {
            index = self.one(index).max(index + 1);
        }
    }

    /// Takes what begins at a token; gives the one behind.
    fn one(&mut self, index: usize) -> usize {
        let word = self.word(index).to_owned();
        let end = self.find(index, &[]);
        match word.as_str() {
            ";" | "begin" | "declare" | "else" | "exception" | "loop" | "then" => index + 1,
            "end" => end,
            // <<label>>
            "<" => self.find(index, &[">"]) + 2,
            "if" | "elsif" | "elseif" | "when" | "while" | "case" => {
                let stop = self.find(index + 1, &["then", "loop", "when"]);
                self.expression(index + 1, stop);
                // WHEN of a CASE begins the next piece.
                stop
            }
            "for" | "foreach" => {
                let stop = self.find(index, &["loop"]);
                let rows = self.find(index, &["in"]) + 1;
                self.query(rows, stop);
                stop
            }
            "return" if self.word(index + 1) == "query" => self.query(index + 2, end),
            "open" => {
                let rows = self.find(index, &["for"]) + 1;
                self.query(rows, end)
            }
            "perform" => {
                self.sql(index, end);
                let place = self.at + self.start(index);
                self.page.write(place, "SELECT ");
                end
            }
            "execute" => self.execute(index, end),
            verb if SQL.contains(&verb) && !matches!(self.word(index + 1), ":" | "=" | "." | "[" | ":=") => {
                self.sql(index, end);
                end
            }
            _ => {
                // An assignment, a declaration, RAISE, RETURN.
                self.expression(index, end);
                end
            }
        }
    }

    /// A query, or EXECUTE that gives one.
    fn query(&mut self, index: usize, end: usize) -> usize {
        if index >= end {
            return end;
        }
        match self.word(index) {
            "execute" => self.execute(index, end),
            word if SQL.contains(&word) => {
                self.sql(index, end);
                end
            }
            _ => {
                self.expression(index, end);
                end
            }
        }
    }

    fn sql(&mut self, index: usize, end: usize) {
        let (from, to) = (self.start(index), self.start(end));
        let text = self.body.get(from..to).unwrap_or_default();
        self.page.write(self.at + from, text);
        self.page.write(self.at + to, ";");
    }

    fn expression(&mut self, index: usize, end: usize) {
        let (from, to) = (self.start(index), self.start(end));
        let text = self.body.get(from..to).unwrap_or_default();
        self.page.expression(self.at + from, text);
    }

    /// A string alone is SQL too; what is put together is known when it runs.
    fn execute(&mut self, index: usize, end: usize) -> usize {
        let alone = index + 2 >= end || matches!(self.word(index + 2), "into" | "using");
        let said = self
            .tokens
            .get(index + 1)
            .filter(|token| token.string && alone && index + 1 < end)
            .and_then(|token| unquoted(token.text, self.at + token.range.start));
        match said {
            Some((sql, at)) => {
                self.page.write(at, &sql);
                self.page.write(at + sql.len(), ";");
            }
            None => {
                let last = self.tokens.get(end.saturating_sub(1));
                let to = last.map_or(self.body.len(), |token| token.range.end);
                let range = self.at + self.start(index)..self.at + to;
                self.page.unseen(range, "EXECUTE of what is put together");
                self.expression(index + 1, end);
            }
        }
        end
    }
}
