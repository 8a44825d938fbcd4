use super::sequences::options;
use super::{Cells, PG_CLASS, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;
use crate::model::table::{Column, Identity};

/// NOT NULL: since 18 a row of pg_constraint stands beside attnotnull; an invalid one is with the constraints.
const COLUMNS: &str = "
SELECT a.attrelid AS relation, c.relkind::text AS relation_kind, a.attnum::int4 AS number, a.attname::text AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AND invalid.conrelid IS NULL AS not_null,
       pg_get_expr(ad.adbin, ad.adrelid) AS expression, a.attgenerated::text AS generated, a.attidentity::text AS identity,
       CASE WHEN a.attcollation <> t.typcollation THEN format('%I.%I', cn.nspname, co.collname) END AS collation,
       CASE WHEN a.attstorage <> t.typstorage THEN
           CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'm' THEN 'MAIN' WHEN 'e' THEN 'EXTERNAL' ELSE 'EXTENDED' END END AS storage,
       CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
       nullif(a.attstattarget, -1)::int4 AS statistics, a.attoptions AS options, d.description AS comment,
       a.attinhcount > 0 AS inherited,
       format_type(s.seqtypid, NULL) AS sequence_type, s.seqstart AS start, s.seqincrement AS increment,
       s.seqmin AS min, s.seqmax AS max, s.seqcache AS cache, s.seqcycle AS cycle
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = a.attrelid AND d.objsubid = a.attnum
LEFT JOIN (SELECT conrelid, conkey[1] AS number FROM pg_constraint WHERE contype = 'n' AND NOT convalidated) invalid
    ON invalid.conrelid = a.attrelid AND invalid.number = a.attnum
LEFT JOIN pg_depend owned ON a.attidentity <> '' AND owned.classid = 'pg_class'::regclass
    AND owned.refclassid = 'pg_class'::regclass AND owned.refobjid = a.attrelid AND owned.refobjsubid = a.attnum
    AND owned.deptype = 'i'
LEFT JOIN pg_sequence s ON s.seqrelid = owned.objid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c') AND c.relnamespace = ANY ($1)
ORDER BY a.attrelid, a.attnum";

impl Reader<'_> {
    pub(super) async fn read_columns(&mut self) -> Result<(), Error> {
        for cells in self.query("columns", COLUMNS).await? {
            let oid: u32 = cells.get("relation")?;
            if cells.get::<&str>("relation_kind")? == "c" {
                add(self.composites.entry(oid).or_default(), &cells)?;
                continue;
            }
            let Some(relation) = self.relations.get(&oid) else {
                continue;
            };
            if relation.is_view {
                if let Some(view) = self.catalog.views.get_mut(&relation.name) {
                    add(&mut view.columns, &cells)?;
                }
            } else if let Some(table) = self.catalog.tables.get_mut(&relation.name) {
                let id = ObjectId::Column {
                    relation: relation.name.clone(),
                    name: cells.text("name")?,
                };
                self.ids.insert((PG_CLASS, oid, cells.get("number")?), id);
                add(&mut table.columns, &cells)?;
            }
        }
        Ok(())
    }
}

/// The rows come in order.
fn add(columns: &mut Vec<Column>, cells: &Cells) -> Result<(), Error> {
    let mut column = column(cells)?;
    column.position += i32::try_from(columns.len()).unwrap_or(i32::MAX - 1);
    columns.push(column);
    Ok(())
}

/// A column, as the first.
fn column(cells: &Cells) -> Result<Column, Error> {
    let expression = cells.optional("expression")?;
    let kind = match cells.get("generated")? {
        "" => None,
        "s" => Some("STORED"),
        "v" => Some("VIRTUAL"),
        other => return Err(unknown("attgenerated", other)),
    };
    let (default, generated) = match (kind, expression) {
        (Some(kind), Some(expression)) => (None, Some(format!("({expression}) {kind}"))),
        (_, expression) => (expression, None),
    };
    let always = match cells.get("identity")? {
        "" => None,
        "a" => Some(true),
        "d" => Some(false),
        other => return Err(unknown("attidentity", other)),
    };
    let identity = match always {
        Some(always) => Some(Identity {
            always,
            sequence: options(cells, "sequence_type")?,
        }),
        None => None,
    };
    Ok(Column {
        name: cells.text("name")?,
        position: 1,
        data_type: cells.text("type")?,
        not_null: cells.flag("not_null")?,
        default,
        generated,
        identity,
        collation: cells.get("collation")?,
        storage: cells.get("storage")?,
        compression: cells.get("compression")?,
        statistics: cells.get("statistics")?,
        options: cells.sorted("options")?,
        comment: cells.get("comment")?,
        inherited: cells.flag("inherited")?,
        grants: Default::default(),
    })
}

fn unknown(what: &'static str, value: &str) -> Error {
    Error::Unknown {
        what,
        value: value.to_owned(),
    }
}
