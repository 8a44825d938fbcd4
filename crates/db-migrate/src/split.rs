//! Cuts a file of SQL into its statements.
//!
//! The lexer is squawk's, which follows PostgreSQL's `scan.l`; where a statement ends is decided as psql does it
//! (`src/fe_utils/psqlscan.l`): a semicolon outside of parentheses and outside of `BEGIN ATOMIC … END`.
//! The build script includes this file too.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

/// One statement of a file, without the semicolon and without comments around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text, comments inside of it included.
    pub sql: &'a str,
    /// Line of the file on which it begins, from 1.
    pub line: usize,
    /// What it is made of, blanks and comments aside.
    pub(crate) tokens: Vec<Token<'a>>,
}

/// A piece of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub text: &'a str,
    /// Where it begins in the statement, in bytes.
    pub start: usize,
    /// In how many parentheses it stands.
    pub depth: usize,
    /// Whether it is a word: a keyword or a name that is not quoted.
    pub word: bool,
}

impl Token<'_> {
    /// Whether it is this keyword, given in capitals.
    pub fn is(&self, keyword: &str) -> bool {
        self.word && self.text.eq_ignore_ascii_case(keyword)
    }
}

/// Why a file cannot be cut into statements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SplitError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// The statements of a file, in order. Empty ones are left out.
///
/// # Errors
/// Something is opened and never closed, or the file uses one of the two forms that the lexer does not follow.
pub fn split(sql: &str) -> Result<Vec<Statement<'_>>, SplitError> {
    let mut splitter = Splitter::default();
    let (mut at, mut line) = (0, 1);
    for token in tokenize(sql) {
        let end = at + token.len as usize;
        let text = sql.get(at..end).unwrap_or_default();
        splitter
            .take(sql, token.kind, text, at, line)
            .map_err(|problem| SplitError { line, problem })?;
        line += text.matches('\n').count();
        at = end;
    }
    if let Some(&opened) = splitter.open.first() {
        return Err(SplitError {
            line: line_of(sql, opened),
            problem: "a parenthesis is opened here and never closed",
        });
    }
    if let Some(begin) = splitter.atomic {
        return Err(SplitError {
            line: line_of(sql, begin),
            problem: "BEGIN ATOMIC has no END",
        });
    }
    splitter.finish(sql, sql.len());
    Ok(splitter.done)
}

#[derive(Default)]
struct Splitter<'a> {
    done: Vec<Statement<'a>>,
    /// The statement so far; places in it still count from the start of the file.
    tokens: Vec<Token<'a>>,
    /// Line on which it begins.
    line: usize,
    /// Where the open parentheses stand.
    open: Vec<usize>,
    /// Where `BEGIN ATOMIC` stands whose `END` has not come.
    atomic: Option<usize>,
    /// `CASE`s inside of it whose `END` has not come.
    cases: usize,
    /// Whether the last token was an E'' string, and a line break has come since.
    escape_string: Option<bool>,
}

impl<'a> Splitter<'a> {
    fn take(
        &mut self,
        sql: &'a str,
        kind: TokenKind,
        text: &'a str,
        at: usize,
        line: usize,
    ) -> Result<(), &'static str> {
        match kind {
            TokenKind::Whitespace | TokenKind::LineComment => {
                if let Some(broken) = &mut self.escape_string {
                    *broken |= text.contains(['\n', '\r']);
                }
                return Ok(());
            }
            TokenKind::BlockComment { terminated } => {
                return if terminated {
                    Ok(())
                } else {
                    Err("a comment is opened here and never closed")
                };
            }
            TokenKind::Literal { kind } => {
                if !closed(kind) {
                    return Err("a string is opened here and never closed");
                }
                // 'a' on the next line continues an E'' string, with its backslashes; the lexer takes it for a plain one.
                if self.escape_string == Some(true) && matches!(kind, LiteralKind::Str { .. }) {
                    return Err("an E'' string goes on here after a line break; write it in one piece");
                }
                self.escape_string = matches!(kind, LiteralKind::EscStr { .. }).then_some(false);
            }
            TokenKind::QuotedIdent {
                terminated: false, ..
            } => {
                return Err("a quoted name is opened here and never closed");
            }
            TokenKind::Unknown if text == "\\" => {
                return Err("a backslash command is psql's, not the server's");
            }
            TokenKind::Semi if self.open.is_empty() && self.atomic.is_none() => {
                self.finish(sql, at);
                return Ok(());
            }
            _ => {}
        }
        if !matches!(kind, TokenKind::Literal { .. }) {
            self.escape_string = None;
        }
        if kind == TokenKind::CloseParen {
            self.open.pop();
        }
        let token = Token {
            text,
            start: at,
            depth: self.open.len(),
            word: kind == TokenKind::Ident,
        };
        if kind == TokenKind::OpenParen {
            self.open.push(at);
        }
        self.body(&token);
        if self.tokens.is_empty() {
            self.line = line;
        }
        self.tokens.push(token);
        Ok(())
    }

    /// Follows the body of a function written in SQL's own form. `BEGIN` may name something elsewhere; `CASE` and `END`
    /// are reserved.
    fn body(&mut self, token: &Token<'_>) {
        if self.atomic.is_some() {
            if token.is("CASE") {
                self.cases += 1;
            } else if token.is("END") {
                if self.cases == 0 {
                    self.atomic = None;
                }
                self.cases = self.cases.saturating_sub(1);
            }
        } else if token.is("ATOMIC")
            && self.open.is_empty()
            && self.tokens.first().is_some_and(|first| first.is("CREATE"))
        {
            self.atomic = self
                .tokens
                .last()
                .filter(|last| last.is("BEGIN"))
                .map(|last| last.start);
        }
    }

    /// Ends the statement before `end`.
    fn finish(&mut self, sql: &'a str, end: usize) {
        self.escape_string = None;
        let mut tokens = std::mem::take(&mut self.tokens);
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return;
        };
        let (start, end) = (first.start, end.min(last.start + last.text.len()));
        for token in &mut tokens {
            token.start -= start;
        }
        self.done.push(Statement {
            sql: sql.get(start..end).unwrap_or_default(),
            line: self.line,
            tokens,
        });
    }
}

fn line_of(sql: &str, at: usize) -> usize {
    1 + sql.get(..at).unwrap_or_default().matches('\n').count()
}

fn closed(kind: LiteralKind) -> bool {
    match kind {
        LiteralKind::Str { terminated }
        | LiteralKind::NationalStr { terminated }
        | LiteralKind::ByteStr { terminated }
        | LiteralKind::BitStr { terminated }
        | LiteralKind::DollarQuotedString { terminated }
        | LiteralKind::UnicodeEscStr { terminated }
        | LiteralKind::EscStr { terminated } => terminated,
        LiteralKind::Int { .. } | LiteralKind::Numeric { .. } => true,
    }
}
