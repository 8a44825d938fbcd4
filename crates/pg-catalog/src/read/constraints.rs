use super::{Cells, PG_CLASS, PG_CONSTRAINT, Reader};
use crate::error::Error;
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;
use crate::model::table::{Constraint, ConstraintKind};

/// Without constraint triggers ('t'), which are read as triggers; without NOT NULL ('n', 18), which is the column's, unless it is not
/// valid; without those that a child has from its parent, and those behind a foreign key to a partitioned table, one for each partition.
const CONSTRAINTS: &str = "
SELECT c.oid, c.conrelid AS relation, c.contypid AS domain, c.conname::text AS name, c.contype::text AS kind,
       pg_get_constraintdef(c.oid) AS definition, c.convalidated AND coalesce(ix.indisvalid AND ix.indisready AND ix.indislive, true) AS validated, c.condeferrable AS deferrable,
       c.condeferred AS deferred, CASE WHEN c.contype IN ('p', 'u', 'x') THEN c.conindid ELSE 0 END AS index,
       i.reloptions AS options, d.description AS comment,
       ARRAY (SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place) AS columns,
       fn.nspname::text AS referenced_schema, f.relname::text AS referenced_table,
       ARRAY (SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, place)
              JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place) AS referenced_columns,
       NOT (c.conparentid = 0 AND (c.conislocal OR c.coninhcount = 0)) AS of_parent
FROM pg_constraint c
LEFT JOIN pg_class t ON t.oid = c.conrelid
LEFT JOIN pg_constraint p ON p.oid = c.conparentid
LEFT JOIN pg_class i ON i.oid = c.conindid AND c.contype IN ('p', 'u', 'x')
LEFT JOIN pg_index ix ON ix.indexrelid = c.conindid AND c.contype IN ('p', 'u', 'x')
LEFT JOIN pg_class f ON f.oid = c.confrelid
LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
LEFT JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = c.oid
WHERE c.connamespace = ANY ($1)
  AND (c.conparentid = 0 AND (c.conislocal OR c.coninhcount = 0)
       OR t.relispartition AND c.contype <> 'n' AND p.conrelid IS DISTINCT FROM c.conrelid)
  AND (c.contype IN ('c', 'p', 'u', 'x', 'f') OR (c.contype = 'n' AND NOT c.convalidated))";

impl Reader<'_> {
    pub(super) async fn read_constraints(&mut self) -> Result<(), Error> {
        for cells in self.query("constraints", CONSTRAINTS).await? {
            let oid = cells.get("oid")?;
            let name = cells.text("name")?;
            if let Some(relation) = self.relations.get(&cells.get("relation")?) {
                let Some(table) = self.catalog.tables.get_mut(&relation.name) else {
                    continue;
                };
                if cells.flag("of_parent")? {
                    table.of_parent.constraints.insert(name, constraint(&cells)?);
                    continue;
                }
                let id = ObjectId::Constraint {
                    relation: relation.name.clone(),
                    name: name.clone(),
                };
                table.constraints.insert(name, constraint(&cells)?);
                let index = cells.get("index")?;
                if index != 0 {
                    self.register(PG_CLASS, index, id.clone());
                }
                self.register(PG_CONSTRAINT, oid, id);
            } else if let Some(ObjectId::Type { name: domain }) =
                self.ids.get(&(super::PG_TYPE, cells.get("domain")?, 0)).cloned()
            {
                let id = ObjectId::DomainConstraint {
                    domain: domain.clone(),
                    name: name.clone(),
                };
                if let Some(data_type) = self.catalog.types.get_mut(&domain) {
                    data_type.constraints.insert(name, constraint(&cells)?);
                    self.register(PG_CONSTRAINT, oid, id);
                }
            }
        }
        Ok(())
    }
}

fn constraint(cells: &Cells) -> Result<Constraint, Error> {
    let kind = match cells.get("kind")? {
        "p" => ConstraintKind::PrimaryKey,
        "u" => ConstraintKind::Unique,
        "c" => ConstraintKind::Check,
        "f" => ConstraintKind::ForeignKey,
        "x" => ConstraintKind::Exclusion,
        "n" => ConstraintKind::NotNull,
        other => {
            return Err(Error::Unknown {
                what: "contype",
                value: other.to_owned(),
            });
        }
    };
    let validated = cells.flag("validated")?;
    let deferrable = cells.flag("deferrable")?;
    let deferred = cells.flag("deferred")?;
    let printed = cells.definition("definition", &cells.text("name")?)?;
    let mut definition = printed.as_str();
    // In the order in which the server appends them, from the end. `NOT ENFORCED` (18) stays: it stands instead of NOT VALID.
    for (word, applies) in [
        (" NOT VALID", !validated),
        (" INITIALLY DEFERRED", deferred),
        (" DEFERRABLE", deferrable),
    ] {
        if applies {
            definition = definition.strip_suffix(word).unwrap_or(definition);
        }
    }
    let references = match (
        cells.optional("referenced_schema")?,
        cells.optional("referenced_table")?,
    ) {
        (Some(schema), Some(name)) => Some(QualifiedName { schema, name }),
        _ => None,
    };
    Ok(Constraint {
        kind,
        // What is not enforced is not validated either, and says so in the definition.
        validated: validated || definition.ends_with(" NOT ENFORCED"),
        definition: definition.to_owned(),
        deferrable,
        deferred,
        options: cells.sorted("options")?,
        comment: cells.get("comment")?,
        columns: cells.list("columns")?,
        references,
        referenced_columns: cells.list("referenced_columns")?,
    })
}
