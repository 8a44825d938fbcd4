//! Keyset pages: a list goes on after the last key seen, so that its cost does not grow with its length.

/// Most rows that one page may have.
pub const MAX_LIMIT: u16 = 200;

/// Rows of a page when nothing is said.
pub const DEFAULT_LIMIT: u16 = 50;

/// Which page is wanted.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<Key> {
    /// Most rows of the page, 1 to [`MAX_LIMIT`].
    pub limit: u16,
    /// Key of the last row of the page before; `None` for the first page.
    pub after: Option<Key>,
}

impl<Key> PageRequest<Key> {
    /// How many rows to fetch: one more than the page has, to know whether another follows.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page of what was fetched.
    pub(crate) fn cut<Row>(&self, mut rows: Vec<Row>) -> Page<Row> {
        let limit = usize::from(self.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Page { rows, more }
    }
}

/// A page of rows.
#[derive(Clone, Debug)]
pub struct Page<Row> {
    /// The rows, in the list's order.
    pub rows: Vec<Row>,
    /// Whether another page follows.
    pub more: bool,
}
