//! Integration tests of what several crates make together.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod compose;
