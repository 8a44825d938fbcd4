use super::{PG_CLASS, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;
use crate::model::table::Index;

/// Without those behind constraints. By `NOT IN`, which is hashed: of a schema that nobody has analyzed yet the planner believes that it
/// is small, and would look through all constraints for each index.
const INDEXES: &str = "
SELECT i.indexrelid AS oid, i.indrelid AS relation, c.relname::text AS name,
       CASE WHEN c.relkind = 'I' THEN replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ')
            ELSE pg_get_indexdef(c.oid) END AS definition,
       i.indisunique AS is_unique, i.indisvalid AND i.indisready AND i.indislive AS valid, am.amname::text AS method,
       ARRAY (SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (number, place)
              LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number <> 0
              WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns,
       pg_get_expr(i.indpred, i.indrelid) AS predicate, ts.spcname::text AS tablespace, i.indisclustered AS clustered,
       c.relispartition AS of_parent,
       d.description AS comment
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE c.relnamespace = ANY ($1)
  AND c.oid NOT IN (SELECT conindid FROM pg_constraint WHERE contype IN ('p', 'u', 'x'))";

impl Reader<'_> {
    pub(super) async fn read_indexes(&mut self) -> Result<(), Error> {
        for cells in self.query("indexes", INDEXES).await? {
            let Some(relation) = self.relations.get(&cells.get("relation")?).cloned() else {
                continue;
            };
            let name = cells.text("name")?;
            let id = ObjectId::Index {
                relation: relation.name.clone(),
                name: name.clone(),
            };
            let index = Index {
                definition: cells.definition("definition", &id)?,
                unique: cells.flag("is_unique")?,
                valid: cells.flag("valid")?,
                method: cells.text("method")?,
                columns: cells.get("columns")?,
                predicate: cells.get("predicate")?,
                tablespace: cells.get("tablespace")?,
                clustered: cells.flag("clustered")?,
                comment: cells.get("comment")?,
            };
            if cells.flag("of_parent")? {
                if let Some(table) = self.catalog.tables.get_mut(&relation.name) {
                    table.of_parent.indexes.insert(name, index);
                }
                continue;
            }
            self.register(PG_CLASS, cells.get("oid")?, id);
            if let Some(indexes) = self.indexes_of(&relation) {
                indexes.insert(name, index);
            }
        }
        Ok(())
    }
}
