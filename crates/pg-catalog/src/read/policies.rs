use super::{PG_POLICY, Reader};
use crate::error::Error;
use crate::model::object::ObjectId;
use crate::model::table::Policy;

const POLICIES: &str = "
SELECT p.oid, p.polrelid AS relation, p.polname::text AS name, p.polpermissive AS permissive,
       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
           AS command,
       ARRAY (SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r)::text END FROM unnest(p.polroles) r) AS roles,
       pg_get_expr(p.polqual, p.polrelid) AS using_expression, pg_get_expr(p.polwithcheck, p.polrelid) AS check_expression,
       d.description AS comment
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
LEFT JOIN pg_description d ON d.classoid = 'pg_policy'::regclass AND d.objoid = p.oid
WHERE c.relnamespace = ANY ($1)";

impl Reader<'_> {
    pub(super) async fn read_policies(&mut self) -> Result<(), Error> {
        for cells in self.query("policies", POLICIES).await? {
            let Some(relation) = self.relations.get(&cells.get("relation")?).cloned() else {
                continue;
            };
            let name = cells.text("name")?;
            let mut roles: Vec<String> = cells
                .list("roles")?
                .into_iter()
                .map(|role| self.role(role))
                .collect();
            roles.sort_unstable();
            let policy = Policy {
                command: cells.text("command")?,
                permissive: cells.flag("permissive")?,
                roles,
                using: cells.get("using_expression")?,
                with_check: cells.get("check_expression")?,
                comment: cells.get("comment")?,
            };
            let id = ObjectId::Policy {
                relation: relation.name.clone(),
                name: name.clone(),
            };
            self.register(PG_POLICY, cells.get("oid")?, id);
            if let Some(table) = self.catalog.tables.get_mut(&relation.name) {
                table.policies.insert(name, policy);
            }
        }
        Ok(())
    }
}
