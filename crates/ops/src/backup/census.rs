//! How many rows there are, and a hash over them, for each table and domain.
//!
//! The hash of a row is the 64-bit XXH3 of the row as `COPY` writes it; that of a cell is the sum over its rows, so that no order
//! is needed, and with the count next to it a row cannot hide. A row that changed goes unseen once in 2^64; this finds faults,
//! not forgers: against those there is SHA-256 over the files. It is computed here and not by PostgreSQL: the rows pass anyway.

use std::collections::BTreeMap;

use uuid::Uuid;

/// Rows of one table in one domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub rows: u64,
    /// Sum of the rows' hashes; 2^64 rows would be needed to leave the range.
    pub hash: i128,
}

impl Cell {
    /// Another row.
    pub fn count(&mut self, hash: u64) {
        self.add(Self {
            rows: 1,
            hash: hash.into(),
        });
    }

    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// The cells of one table. A table without `domain_id` has one, under no domain.
pub(super) type TableCells = BTreeMap<Option<Uuid>, Cell>;

/// All cells, by table: `schema.table`, quoted where needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub tables: BTreeMap<String, TableCells>,
}

impl Census {
    /// Sum over a table.
    pub fn total(cells: &TableCells) -> Cell {
        let mut total = Cell::default();
        for cell in cells.values() {
            total.add(*cell);
        }
        total
    }

    /// How many cells there are.
    pub fn cells(&self) -> u64 {
        self.tables.values().map(|cells| cells.len() as u64).sum()
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|cells| Self::total(cells).rows).sum()
    }
}
