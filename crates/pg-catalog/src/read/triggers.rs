use super::{PG_CONSTRAINT, PG_TRIGGER, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;
use crate::model::table::Trigger;

const TRIGGERS: &str = "
SELECT t.oid, t.tgrelid AS relation, t.tgname::text AS name, t.tgconstraint AS constraint,
       pg_get_triggerdef(t.oid) AS definition,
       CASE t.tgenabled WHEN 'O' THEN 'origin' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END AS enabled,
       d.description AS comment
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
LEFT JOIN pg_description d ON d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid
WHERE c.relnamespace = ANY ($1) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_trigger'::regclass AND e.objid = t.oid AND e.deptype = 'e')";

impl Reader<'_> {
    pub(super) async fn read_triggers(&mut self) -> Result<(), Error> {
        for cells in self.query("triggers", TRIGGERS).await? {
            let Some(relation) = self.relations.get(&cells.get("relation")?).cloned() else {
                continue;
            };
            let name = cells.text("name")?;
            let id = ObjectId::Trigger {
                relation: relation.name.clone(),
                name: name.clone(),
            };
            let trigger = Trigger {
                definition: cells.definition("definition", &id)?,
                enabled: cells.text("enabled")?,
                comment: cells.get("comment")?,
            };
            let constraint = cells.get("constraint")?;
            if constraint != 0 {
                self.register(PG_CONSTRAINT, constraint, id.clone());
            }
            self.register(PG_TRIGGER, cells.get("oid")?, id);
            if let Some(triggers) = self.triggers_of(&relation) {
                triggers.insert(name, trigger);
            }
        }
        Ok(())
    }
}
