//! seeder.
