use crate::ObjectId;

/// Why a schema could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A query failed, or its answer was not of the expected shape.
    #[error("cannot read the catalogue's {what}: {}", Told(source))]
    Query {
        /// What was being read.
        what: &'static str,
        /// The server's or the connection's error.
        source: tokio_postgres::Error,
    },
    /// A definition was gone when it was to be printed. PostgreSQL prints definitions from the newest catalogue, not from the snapshot.
    #[error(
        "{0} was dropped or changed while the schema was read; read it again when no migration is running"
    )]
    Moving(String),
    /// A letter in the catalogue that this crate does not know.
    #[error("{what} {value:?} is unknown: is this PostgreSQL newer than 18?")]
    Unknown {
        /// Name of the catalogue's column.
        what: &'static str,
        /// Its value.
        value: String,
    },
}

/// The server's own words; the driver's `Display` says only "db error".
struct Told<'a>(&'a tokio_postgres::Error);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(error) => write!(f, "{} ({})", error.message(), error.code().code()),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Objects that need one another, so that none can be created first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these objects need one another, and none can be created first: {}", names(.0))]
pub struct Cycle(
    /// The objects, in order; each needs another of them.
    pub Vec<ObjectId>,
);

fn names(objects: &[ObjectId]) -> String {
    objects
        .iter()
        .map(ObjectId::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
