use tokio_postgres::types::Type as PgType;

use super::{PG_EXTENSION, PG_NAMESPACE, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;
use crate::model::{Extension, Schema};

const DATABASE: &str = "
SELECT current_setting('server_version_num')::int4 AS version, pg_get_userbyid(datdba)::text AS owner
FROM pg_database WHERE datname = current_database() AND $1::oid[] IS NOT NULL";

/// Without those that are an extension's, unless they hold something that is not.
const SCHEMAS: &str = "
SELECT n.oid, n.nspname::text AS name, pg_get_userbyid(n.nspowner)::text AS owner, d.description AS comment
FROM pg_namespace n
LEFT JOIN pg_description d ON d.classoid = 'pg_namespace'::regclass AND d.objoid = n.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> ALL ($1)
  AND (NOT EXISTS (SELECT FROM pg_depend e
                   WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e')
       OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                     AND NOT EXISTS (SELECT FROM pg_depend e
                                     WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'))
       OR EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid
                     AND NOT EXISTS (SELECT FROM pg_depend e
                                     WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))))";

const EXTENSIONS: &str = "
SELECT x.oid, x.extname::text AS name, x.extversion AS version, n.nspname::text AS schema
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
WHERE x.extname <> 'plpgsql' AND $1::oid[] IS NOT NULL";

impl Reader<'_> {
    pub(super) async fn read_database(&mut self) -> Result<(), Error> {
        for cells in self.query("database", DATABASE).await? {
            self.catalog.server_version = cells.get("version")?;
            self.catalog.database_owner = cells.text("owner")?;
        }
        Ok(())
    }

    pub(super) async fn read_schemas(&mut self) -> Result<(), Error> {
        let what = "schemas";
        let rows = self
            .client
            .query_typed(SCHEMAS, &[(&self.options.skip_schemas, PgType::TEXT_ARRAY)])
            .await
            .map_err(|source| Error::Query { what, source })?;
        for row in rows {
            let cells = super::Cells { what, row };
            let oid = cells.get("oid")?;
            let name = cells.text("name")?;
            self.schemas.push(oid);
            self.schema_names.insert(oid, name.clone());
            self.register(PG_NAMESPACE, oid, ObjectId::Schema { name: name.clone() });
            let schema = Schema {
                owner: self.role(cells.text("owner")?),
                comment: cells.get("comment")?,
                grants: Default::default(),
            };
            self.catalog.schemas.insert(name, schema);
        }
        Ok(())
    }

    pub(super) async fn read_extensions(&mut self) -> Result<(), Error> {
        for cells in self.query("extensions", EXTENSIONS).await? {
            let name = cells.text("name")?;
            let id = ObjectId::Extension { name: name.clone() };
            self.register(PG_EXTENSION, cells.get("oid")?, id);
            let extension = Extension {
                schema: cells.text("schema")?,
                version: cells.text("version")?,
                members: Vec::new(),
            };
            self.catalog.extensions.insert(name, extension);
        }
        Ok(())
    }
}
