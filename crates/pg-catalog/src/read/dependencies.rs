use std::collections::HashMap;

use super::{Address, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;

/// Rows of `pg_depend` speak of parts that are no objects here: what each of these belongs to.
const PARTS: &str = "
SELECT 'pg_attrdef'::regclass::oid AS class, ad.oid AS object, 'pg_class'::regclass::oid AS of_class, ad.adrelid AS of_object,
       ad.adnum::int4 AS of_number
FROM pg_attrdef ad JOIN pg_class c ON c.oid = ad.adrelid WHERE c.relnamespace = ANY ($1)
UNION ALL -- a view's query
SELECT 'pg_rewrite'::regclass, r.oid, 'pg_class'::regclass, r.ev_class, 0
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.rulename = '_RETURN' AND c.relnamespace = ANY ($1)
UNION ALL -- the row type of a table
SELECT 'pg_type'::regclass, t.oid, 'pg_class'::regclass, t.typrelid, 0
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid WHERE c.relkind <> 'c' AND t.typnamespace = ANY ($1)
UNION ALL -- its arrays
SELECT 'pg_type'::regclass, t.typarray, 'pg_class'::regclass, t.typrelid, 0
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
WHERE c.relkind <> 'c' AND t.typarray <> 0 AND t.typnamespace = ANY ($1)
UNION ALL -- arrays of other types
SELECT 'pg_type'::regclass, t.typarray, 'pg_type'::regclass, t.oid, 0
FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE coalesce(c.relkind, 'c') = 'c' AND t.typarray <> 0 AND t.typnamespace = ANY ($1)
UNION ALL
SELECT 'pg_type'::regclass, r.rngmultitypid, 'pg_type'::regclass, r.rngtypid, 0 FROM pg_range r WHERE r.rngtypid >= 16384
UNION ALL -- the constructors of a range type
SELECT 'pg_proc'::regclass, d.objid, 'pg_type'::regclass, d.refobjid, 0 FROM pg_depend d
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'i'
UNION ALL -- the sequence of an identity column
SELECT 'pg_class'::regclass, d.objid, 'pg_class'::regclass, d.refobjid, d.refobjsubid FROM pg_depend d
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i' AND d.refobjsubid > 0
UNION ALL -- what an extension has
SELECT d.classid, d.objid, d.refclassid, d.refobjid, 0 FROM pg_depend d WHERE d.deptype = 'e'";

/// What initdb made has an OID below 16384 and needs nothing of ours.
const DEPENDENCIES: &str = "
SELECT DISTINCT classid AS class, objid AS object, objsubid AS number,
       refclassid AS needed_class, refobjid AS needed_object, refobjsubid AS needed_number
FROM pg_depend
WHERE objid >= 16384 AND refclassid <> 0 AND deptype NOT IN ('e', 'x') AND $1::oid[] IS NOT NULL";

impl Reader<'_> {
    pub(super) async fn read_dependencies(&mut self) -> Result<(), Error> {
        let mut parts: HashMap<(u32, u32), Address> = HashMap::new();
        for cells in self.query("parts of objects", PARTS).await? {
            let whole = (
                cells.get("of_class")?,
                cells.get("of_object")?,
                cells.get("of_number")?,
            );
            parts.insert((cells.get("class")?, cells.get("object")?), whole);
        }
        let find = |class: u32, object: u32, number: i32| {
            let mut address = (class, object, number);
            if !self.ids.contains_key(&(class, object, 0)) {
                address = *parts.get(&(class, object))?;
            }
            let (class, object, _) = address;
            self.ids
                .get(&address)
                .or_else(|| self.ids.get(&(class, object, 0)))
        };
        let mut dependencies = std::mem::take(&mut self.catalog.dependencies);
        for cells in self.query("dependencies", DEPENDENCIES).await? {
            let object = find(cells.get("class")?, cells.get("object")?, cells.get("number")?);
            let needed = find(
                cells.get("needed_class")?,
                cells.get("needed_object")?,
                cells.get("needed_number")?,
            );
            if let (Some(object), Some(needed)) = (object, needed) {
                dependencies.add(object, needed);
            }
        }

        // What belongs to something needs it. PostgreSQL records that of some, and of a constraint only through its columns.
        let all = self.catalog.ids();
        for object in &all {
            if let Some(parent) = object.parent_where(|parent| all.contains(parent)) {
                dependencies.add(object, &parent);
            }
            if let ObjectId::DefaultPrivileges(key) = object
                && let Some(schema) = &key.schema
            {
                dependencies.add(object, &ObjectId::Schema { name: schema.clone() });
            }
        }
        self.catalog.dependencies = dependencies;
        Ok(())
    }
}
