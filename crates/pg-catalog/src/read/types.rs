use super::{Cells, PG_CLASS, PG_TYPE, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;
use crate::model::types::{Type, TypeDefinition};

const TYPES: &str = "
SELECT t.oid, t.typnamespace AS namespace, t.typname::text AS name, t.typtype::text AS kind, t.typrelid AS relation,
       pg_get_userbyid(t.typowner)::text AS owner, d.description AS comment,
       ARRAY (SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base,
       t.typnotnull AS not_null, coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault) AS default,
       CASE WHEN t.typtype = 'd' AND t.typcollation <> base.typcollation
            THEN format('%I.%I', cn.nspname, co.collname) END AS collation,
       CASE WHEN t.typtype = 'r' THEN array_remove(ARRAY [
           'SUBTYPE = ' || format_type(r.rngsubtype, NULL),
           (SELECT format('SUBTYPE_OPCLASS = %I.%I', n.nspname, o.opcname) FROM pg_opclass o
            JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
           (SELECT format('COLLATION = %I.%I', n.nspname, o.collname) FROM pg_collation o
            JOIN pg_namespace n ON n.oid = o.collnamespace
            WHERE o.oid = r.rngcollation
              AND o.oid <> (SELECT s.typcollation FROM pg_type s WHERE s.oid = r.rngsubtype)),
           'CANONICAL = ' || nullif(r.rngcanonical, 0)::regproc::text,
           'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff, 0)::regproc::text,
           (SELECT format('MULTIRANGE_TYPE_NAME = %I.%I', n.nspname, m.typname) FROM pg_type m
            JOIN pg_namespace n ON n.oid = m.typnamespace WHERE m.oid = r.rngmultitypid)], NULL) END AS range_options
FROM pg_type t
LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_type base ON base.oid = t.typbasetype
LEFT JOIN pg_collation co ON co.oid = t.typcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_description d ON d.classoid = 'pg_type'::regclass AND d.objoid = t.oid
WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND t.typnamespace = ANY ($1)
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e')";

impl Reader<'_> {
    pub(super) async fn read_types(&mut self) -> Result<(), Error> {
        for cells in self.query("types", TYPES).await? {
            let Some(name) = self.qualified(&cells)? else {
                continue;
            };
            let id = ObjectId::Type { name: name.clone() };
            self.register(PG_TYPE, cells.get("oid")?, id.clone());
            let relation = cells.get("relation")?;
            if relation != 0 {
                self.register(PG_CLASS, relation, id);
            }
            let data_type = Type {
                owner: self.role(cells.text("owner")?),
                definition: self.type_definition(&cells)?,
                comment: cells.get("comment")?,
                constraints: Default::default(),
                grants: Default::default(),
            };
            self.catalog.types.insert(name, data_type);
        }
        Ok(())
    }

    fn type_definition(&mut self, cells: &Cells) -> Result<TypeDefinition, Error> {
        Ok(match cells.get("kind")? {
            "e" => TypeDefinition::Enum {
                labels: cells.list("labels")?,
            },
            "d" => TypeDefinition::Domain {
                base: cells.text("base")?,
                not_null: cells.flag("not_null")?,
                default: cells.get("default")?,
                collation: cells.get("collation")?,
            },
            "c" => TypeDefinition::Composite {
                attributes: self
                    .composites
                    .remove(&cells.get("relation")?)
                    .unwrap_or_default(),
            },
            "r" => TypeDefinition::Range {
                options: cells.list("range_options")?,
            },
            other => {
                return Err(Error::Unknown {
                    what: "typtype",
                    value: other.to_owned(),
                });
            }
        })
    }
}
