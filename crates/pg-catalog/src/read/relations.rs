use super::{Cells, PG_CLASS, Reader, Relation};
use crate::error::Error;
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;
use crate::model::table::Table;
use crate::model::view::View;

const RELATIONS: &str = "
SELECT c.oid, c.relnamespace AS namespace, c.relname::text AS name, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner)::text AS owner, c.relpersistence = 'u' AS unlogged,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key,
       CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS partition_bound,
       c.relispartition AS is_partition, parents.schemas AS parent_schemas, parents.names AS parent_names,
       CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type,
       c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
       CASE c.relreplident WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL' WHEN 'i' THEN
           (SELECT format('USING INDEX %I', ic.relname) FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisreplident) END AS replica_identity,
       c.reloptions || ARRAY (SELECT 'toast.' || o FROM unnest(toast.reloptions) o) AS options,
       nullif(am.amname, 'heap')::text AS access_method, ts.spcname::text AS tablespace, d.description AS comment,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS query, out_of_order.parts AS out_of_order
FROM pg_class c
LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
LEFT JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
LEFT JOIN (SELECT i.inhrelid, array_agg(pn.nspname::text ORDER BY i.inhseqno) AS schemas,
                  array_agg(p.relname::text ORDER BY i.inhseqno) AS names
           FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
           WHERE p.relkind IN ('r', 'p') GROUP BY i.inhrelid) parents ON parents.inhrelid = c.oid
LEFT JOIN (SELECT part.relation, array_agg(DISTINCT part.what ORDER BY part.what) AS parts FROM (
               SELECT t.tgrelid AS relation, format('%s %I: trigger %s', CASE WHEN k.contype = 'f' THEN 'foreign key'
                          WHEN k.oid IS NOT NULL THEN 'constraint' ELSE 'trigger' END, coalesce(k.conname, t.tgname),
                          CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica only'
                          ELSE 'always' END) AS what
               FROM pg_trigger t
               LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
               LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
               WHERE (t.tgisinternal OR t.tgparentid <> 0)
                 AND t.tgenabled <> CASE WHEN t.tgisinternal THEN 'O' ELSE coalesce(p.tgenabled, 'O') END
               UNION ALL
               SELECT i.indrelid, format('index %I: invalid', ic.relname) FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
               WHERE ic.relispartition AND NOT (i.indisvalid AND i.indisready AND i.indislive)) part
           GROUP BY part.relation) out_of_order ON out_of_order.relation = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = ANY ($1)
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')";

impl Reader<'_> {
    pub(super) async fn read_relations(&mut self) -> Result<(), Error> {
        for cells in self.query("tables and views", RELATIONS).await? {
            let Some(name) = self.qualified(&cells)? else {
                continue;
            };
            if self.skips(&name) {
                continue;
            }
            let oid = cells.get("oid")?;
            let is_view = matches!(cells.get("kind")?, "v" | "m");
            if is_view {
                let view = self.view(&cells, &name)?;
                self.catalog.views.insert(name.clone(), view);
                self.register(PG_CLASS, oid, ObjectId::View { name: name.clone() });
            } else {
                let table = self.table(&cells)?;
                self.catalog.tables.insert(name.clone(), table);
                self.register(PG_CLASS, oid, ObjectId::Table { name: name.clone() });
            }
            self.relations.insert(oid, Relation { name, is_view });
        }
        Ok(())
    }

    /// Whether the options leave this relation out.
    pub(super) fn skips(&self, name: &QualifiedName) -> bool {
        let qualified = format!("{}.{}", name.schema, name.name);
        let skip = &self.options.skip_tables;
        skip.iter().any(|skip| *skip == name.name || *skip == qualified)
    }

    fn table(&self, cells: &Cells) -> Result<Table, Error> {
        let schemas = cells.list("parent_schemas")?;
        let names = cells.list("parent_names")?;
        let parents = schemas.into_iter().zip(names);
        let mut parents: Vec<_> = parents
            .map(|(schema, name)| QualifiedName { schema, name })
            .collect();
        let partition_of = match cells.flag("is_partition")? {
            true => parents.pop(),
            false => None,
        };
        Ok(Table {
            owner: self.role(cells.text("owner")?),
            unlogged: cells.flag("unlogged")?,
            partition_key: cells.get("partition_key")?,
            partition_of,
            partition_bound: cells.get("partition_bound")?,
            inherits: parents,
            of_type: cells.get("of_type")?,
            row_security: cells.flag("row_security")?,
            force_row_security: cells.flag("force_row_security")?,
            replica_identity: cells.get("replica_identity")?,
            options: cells.sorted("options")?,
            access_method: cells.get("access_method")?,
            tablespace: cells.get("tablespace")?,
            comment: cells.get("comment")?,
            columns: Vec::new(),
            constraints: Default::default(),
            indexes: Default::default(),
            of_parent: Default::default(),
            policies: Default::default(),
            triggers: Default::default(),
            grants: Default::default(),
            out_of_order: cells.list("out_of_order")?,
        })
    }

    fn view(&self, cells: &Cells, name: &QualifiedName) -> Result<View, Error> {
        let query = cells.definition("query", name)?;
        Ok(View {
            materialized: cells.get::<&str>("kind")? == "m",
            owner: self.role(cells.text("owner")?),
            query: query.trim().trim_end_matches(';').to_owned(),
            options: cells.sorted("options")?,
            access_method: cells.get("access_method")?,
            tablespace: cells.get("tablespace")?,
            comment: cells.get("comment")?,
            columns: Vec::new(),
            indexes: Default::default(),
            triggers: Default::default(),
            grants: Default::default(),
        })
    }
}
