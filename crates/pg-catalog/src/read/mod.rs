//! Reading: a fixed number of queries, each over all objects of its kind. The SQL stands beside the code that takes its rows.

mod columns;
mod constraints;
mod dependencies;
mod functions;
mod grants;
mod indexes;
mod members;
mod others;
mod policies;
mod relations;
mod schemas;
mod sequences;
mod triggers;
mod types;

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::types::{FromSql, Type as PgType};
use tokio_postgres::{Client, Row};

use crate::error::Error;
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;
use crate::model::table::{Column, Index, Trigger};
use crate::model::{Catalog, OWNER};
use crate::order::Dependencies;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Tables, views and sequences to leave out, with all that is theirs: `name` in whatever schema, or `schema.name`. For the
    /// migrations' own history.
    pub skip_tables: Vec<String>,
    /// Schemas to leave out, with all that they hold. The system's always are.
    pub skip_schemas: Vec<String>,
    /// Call the role that owns the database [`OWNER`] wherever it occurs, so that two databases made by different logins
    /// compare equal; so too `pg_database_owner`, which is another name for it.
    pub symbolic_owner: bool,
}

impl Catalog {
    /// Reads the schema of the database that `client` is connected to.
    ///
    /// Everything is read in one read-only transaction on one snapshot, which this begins and ends: `client` must be in none. The
    /// settings that change how PostgreSQL prints are set for that transaction only. Any role may read any schema; no row
    /// of any table is touched. When the future is dropped on the way, the connection is left in the transaction: drop it too.
    ///
    /// # Errors
    /// [`Error`]. The transaction is rolled back.
    pub async fn read(client: &Client, options: &Options) -> Result<Self, Error> {
        let mut reader = Reader::new(client, options);
        reader
            .read_between(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                "COMMIT",
                "ROLLBACK",
            )
            .await?;
        Ok(reader.catalog)
    }

    /// As [`Self::read`], inside the transaction that `client` is in, and with what that has changed: to see what DDL does before
    /// it is committed or rolled back. Leaves the transaction and its settings as they were; it uses a savepoint `pg_catalog_read`.
    /// Where the transaction is not `REPEATABLE READ`, each query sees what others have committed by then.
    ///
    /// # Errors
    /// [`Error`]. The transaction can go on.
    pub async fn read_within(client: &Client, options: &Options) -> Result<Self, Error> {
        let mut reader = Reader::new(client, options);
        let undo = "ROLLBACK TO SAVEPOINT pg_catalog_read; RELEASE SAVEPOINT pg_catalog_read";
        reader
            .read_between("SAVEPOINT pg_catalog_read", undo, undo)
            .await?;
        Ok(reader.catalog)
    }
}

// OIDs of system catalogues. They are part of PostgreSQL's source and have never changed.
const PG_TYPE: u32 = 1247;
const PG_PROC: u32 = 1255;
const PG_CLASS: u32 = 1259;
const PG_CONSTRAINT: u32 = 2606;
const PG_NAMESPACE: u32 = 2615;
const PG_TRIGGER: u32 = 2620;
const PG_EXTENSION: u32 = 3079;
const PG_POLICY: u32 = 3256;

/// An object as `pg_depend` writes it: catalogue, OID, column number or 0.
type Address = (u32, u32, i32);

/// Reading under way.
struct Reader<'a> {
    client: &'a Client,
    options: &'a Options,
    catalog: Catalog,
    /// OIDs of the schemas that are read.
    schemas: Vec<u32>,
    schema_names: HashMap<u32, String>,
    /// Tables, views, and the row types of composite types, by their OID in `pg_class`.
    relations: HashMap<u32, Relation>,
    /// What `pg_depend` and the grants call objects.
    ids: HashMap<Address, ObjectId>,
    /// Attributes of composite types by their OID in `pg_class`.
    composites: HashMap<u32, Vec<Column>>,
}

/// Where columns, indexes and the like go.
#[derive(Clone)]
struct Relation {
    name: QualifiedName,
    is_view: bool,
}

impl<'a> Reader<'a> {
    fn new(client: &'a Client, options: &'a Options) -> Self {
        Self {
            client,
            options,
            catalog: Catalog {
                server_version: 0,
                database_owner: String::new(),
                schemas: BTreeMap::new(),
                extensions: BTreeMap::new(),
                types: BTreeMap::new(),
                sequences: BTreeMap::new(),
                tables: BTreeMap::new(),
                views: BTreeMap::new(),
                functions: BTreeMap::new(),
                default_privileges: Vec::new(),
                others: Vec::new(),
                dependencies: Dependencies::default(),
            },
            schemas: Vec::new(),
            schema_names: HashMap::new(),
            relations: HashMap::new(),
            ids: HashMap::new(),
            composites: HashMap::new(),
        }
    }

    /// Reads everything between these statements.
    async fn read_between(&mut self, begin: &str, end: &str, undo: &str) -> Result<(), Error> {
        let read = match self.execute(&format!("{begin};{SETTINGS}")).await {
            Ok(()) => self.read_all().await,
            Err(error) => Err(error),
        };
        let ended = self.execute(if read.is_ok() { end } else { undo }).await;
        read.and(ended)
    }

    async fn execute(&self, sql: &str) -> Result<(), Error> {
        let what = "transaction";
        let done = self.client.batch_execute(sql).await;
        done.map_err(|source| Error::Query { what, source })
    }

    async fn read_all(&mut self) -> Result<(), Error> {
        self.read_database().await?;
        self.read_schemas().await?;
        self.read_extensions().await?;
        self.read_members().await?;
        self.read_relations().await?;
        self.read_columns().await?;
        self.read_types().await?;
        self.read_sequences().await?;
        self.read_constraints().await?;
        self.read_indexes().await?;
        self.read_functions().await?;
        self.read_triggers().await?;
        self.read_policies().await?;
        self.read_grants().await?;
        self.read_default_privileges().await?;
        self.read_others().await?;
        self.read_dependencies().await
    }

    /// Runs one query with the schemas' OIDs as `$1`.
    async fn query(&self, what: &'static str, sql: &str) -> Result<Vec<Cells>, Error> {
        let rows = self
            .client
            .query_typed(sql, &[(&self.schemas, PgType::OID_ARRAY)])
            .await
            .map_err(|source| Error::Query { what, source })?;
        Ok(rows.into_iter().map(|row| Cells { what, row }).collect())
    }

    /// A role's name, or what stands for it.
    fn role(&self, name: String) -> String {
        let owner = name == self.catalog.database_owner || name == "pg_database_owner";
        if owner && self.options.symbolic_owner {
            OWNER.to_owned()
        } else {
            name
        }
    }

    /// The qualified name from a row's columns `namespace` and `name`; `None` in a schema that is not read.
    fn qualified(&self, cells: &Cells) -> Result<Option<QualifiedName>, Error> {
        let Some(schema) = self.schema_names.get(&cells.get("namespace")?) else {
            return Ok(None);
        };
        Ok(Some(QualifiedName::new(schema, cells.text("name")?)))
    }

    /// Takes in an object under its address.
    fn register(&mut self, class: u32, oid: u32, id: ObjectId) {
        self.ids.insert((class, oid, 0), id);
    }

    /// The indexes of a table or materialized view.
    fn indexes_of(&mut self, relation: &Relation) -> Option<&mut BTreeMap<String, Index>> {
        if relation.is_view {
            return Some(&mut self.catalog.views.get_mut(&relation.name)?.indexes);
        }
        Some(&mut self.catalog.tables.get_mut(&relation.name)?.indexes)
    }

    /// The triggers of a table or view.
    fn triggers_of(&mut self, relation: &Relation) -> Option<&mut BTreeMap<String, Trigger>> {
        if relation.is_view {
            return Some(&mut self.catalog.views.get_mut(&relation.name)?.triggers);
        }
        Some(&mut self.catalog.tables.get_mut(&relation.name)?.triggers)
    }
}

/// Names qualified in whatever PostgreSQL prints; values in defaults printed the same on every server.
/// As pg_dump does it. JIT would spend seconds on compiling such queries, and sorts would spill.
const SETTINGS: &str = "
SET LOCAL search_path = '';
SET LOCAL quote_all_identifiers = off;
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL timezone = 'UTC';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL xmlbinary = 'base64';
SET LOCAL lc_monetary = 'C';
SET LOCAL standard_conforming_strings = on;
SET LOCAL jit = off;
SET LOCAL work_mem = '64MB';
";

/// A row, read by column name.
struct Cells {
    what: &'static str,
    row: Row,
}

impl Cells {
    fn get<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, Error> {
        self.row.try_get(name).map_err(|source| Error::Query {
            what: self.what,
            source,
        })
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        self.get(name)
    }

    fn flag(&self, name: &str) -> Result<bool, Error> {
        self.get(name)
    }

    fn optional(&self, name: &str) -> Result<Option<String>, Error> {
        self.get(name)
    }

    /// A list; NULL is an empty one.
    fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        Ok(self.get::<Option<Vec<String>>>(name)?.unwrap_or_default())
    }

    /// A list whose order means nothing.
    fn sorted(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut list = self.list(name)?;
        list.sort_unstable();
        Ok(list)
    }

    /// What PostgreSQL prints of an object; NULL when the object is gone by now.
    fn definition(&self, name: &str, of: &dyn std::fmt::Display) -> Result<String, Error> {
        self.optional(name)?.ok_or_else(|| Error::Moving(of.to_string()))
    }
}
