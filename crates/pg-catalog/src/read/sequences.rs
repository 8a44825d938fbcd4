use super::{Cells, PG_CLASS, Reader};
use crate::error::Error;
use crate::model::name::quote_ident;
use crate::model::object::ObjectId;
use crate::model::sequence::{Sequence, SequenceOptions};

const SEQUENCES: &str = "
SELECT c.oid, c.relnamespace AS namespace, c.relname::text AS name, pg_get_userbyid(c.relowner)::text AS owner,
       c.relpersistence = 'u' AS unlogged, format_type(s.seqtypid, NULL) AS type, s.seqstart AS start,
       s.seqincrement AS increment, s.seqmin AS min, s.seqmax AS max, s.seqcache AS cache, s.seqcycle AS cycle,
       owned.refobjid AS owning_table, a.attname::text AS owning_column, d.description AS comment
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
LEFT JOIN pg_depend owned ON owned.classid = 'pg_class'::regclass AND owned.objid = c.oid
    AND owned.refclassid = 'pg_class'::regclass AND owned.deptype IN ('a', 'i')
LEFT JOIN pg_attribute a ON a.attrelid = owned.refobjid AND a.attnum = owned.refobjsubid
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE c.relnamespace = ANY ($1) AND owned.deptype IS DISTINCT FROM 'i'
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')";

impl Reader<'_> {
    pub(super) async fn read_sequences(&mut self) -> Result<(), Error> {
        for cells in self.query("sequences", SEQUENCES).await? {
            let Some(name) = self.qualified(&cells)? else {
                continue;
            };
            if self.skips(&name) {
                continue;
            }
            let owned_by = match cells.get::<Option<u32>>("owning_table")? {
                None => None,
                Some(table) => {
                    // Of a table that is left out.
                    let Some(table) = self.relations.get(&table) else {
                        continue;
                    };
                    let column = cells.text("owning_column")?;
                    Some(format!("{}.{}", table.name, quote_ident(&column)))
                }
            };
            self.register(
                PG_CLASS,
                cells.get("oid")?,
                ObjectId::Sequence { name: name.clone() },
            );
            let sequence = Sequence {
                owner: self.role(cells.text("owner")?),
                unlogged: cells.flag("unlogged")?,
                options: options(&cells, "type")?,
                owned_by,
                comment: cells.get("comment")?,
                grants: Default::default(),
            };
            self.catalog.sequences.insert(name, sequence);
        }
        Ok(())
    }
}

pub(super) fn options(cells: &Cells, data_type: &str) -> Result<SequenceOptions, Error> {
    Ok(SequenceOptions {
        data_type: cells.text(data_type)?,
        start: cells.get("start")?,
        increment: cells.get("increment")?,
        min: cells.get("min")?,
        max: cells.get("max")?,
        cache: cells.get("cache")?,
        cycle: cells.flag("cycle")?,
    })
}
