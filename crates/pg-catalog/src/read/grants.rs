use super::{Cells, PG_CLASS, Reader};
use crate::error::Error;
use crate::model::grant::{DefaultPrivileges, DefaultPrivilegesKey, Grants};
use crate::model::object::ObjectId;

/// A NULL ACL stands for the built-in default; for tables, columns and sequences that grants nothing to anyone but the owner.
const GRANTS: &str = "
WITH acl (class, object, number, owner, items) AS (
    SELECT 'pg_class'::regclass::oid, oid, 0, relowner, relacl FROM pg_class
    WHERE relacl IS NOT NULL AND relkind IN ('r', 'p', 'v', 'm', 'S') AND relnamespace = ANY ($1)
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, a.attnum, c.relowner, a.attacl FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = ANY ($1)
    UNION ALL
    SELECT 'pg_proc'::regclass, oid, 0, proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
    WHERE pronamespace = ANY ($1)
    UNION ALL
    SELECT 'pg_type'::regclass, oid, 0, typowner, coalesce(typacl, acldefault('T', typowner)) FROM pg_type
    WHERE typtype IN ('e', 'd', 'c', 'r') AND typnamespace = ANY ($1)
    UNION ALL
    SELECT 'pg_namespace'::regclass, oid, 0, nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
    WHERE oid = ANY ($1)
)
SELECT acl.class, acl.object, acl.number::int4 AS number, a.attname::text AS column,
       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END AS grantee,
       x.privilege_type AS privilege, bool_or(x.is_grantable) AS grantable
FROM acl CROSS JOIN LATERAL aclexplode(acl.items) x
LEFT JOIN pg_attribute a ON acl.number > 0 AND a.attrelid = acl.object AND a.attnum = acl.number
WHERE x.grantee <> acl.owner
GROUP BY 1, 2, 3, 4, 5, 6";

const DEFAULT_PRIVILEGES: &str = "
SELECT pg_get_userbyid(d.defaclrole)::text AS role, n.nspname::text AS schema,
       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
           WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' ELSE d.defaclobjtype::text END AS objects,
       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END AS grantee,
       x.privilege_type AS privilege, x.is_grantable AS grantable
FROM pg_default_acl d
LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
LEFT JOIN LATERAL aclexplode(d.defaclacl) x ON x.grantee <> d.defaclrole
WHERE d.defaclnamespace = 0 OR d.defaclnamespace = ANY ($1)
ORDER BY 1, 2 NULLS FIRST, 3";

impl Reader<'_> {
    pub(super) async fn read_grants(&mut self) -> Result<(), Error> {
        for cells in self.query("grants", GRANTS).await? {
            let (class, object, number): (u32, u32, i32) =
                (cells.get("class")?, cells.get("object")?, cells.get("number")?);
            let grantee = self.role(cells.text("grantee")?);
            let column = cells.optional("column")?;
            let grants = match (number, self.ids.get(&(class, object, 0))) {
                (0, Some(id)) => grants_of(&mut self.catalog, id),
                (_, Some(_)) if class == PG_CLASS => self.column_grants(object, column.as_deref()),
                _ => None,
            };
            if let Some(grants) = grants {
                add(grants, grantee, &cells)?;
            }
        }
        Ok(())
    }

    fn column_grants(&mut self, relation: u32, column: Option<&str>) -> Option<&mut Grants> {
        let relation = self.relations.get(&relation)?;
        let columns = if relation.is_view {
            &mut self.catalog.views.get_mut(&relation.name)?.columns
        } else {
            &mut self.catalog.tables.get_mut(&relation.name)?.columns
        };
        let column = columns.iter_mut().find(|it| Some(it.name.as_str()) == column)?;
        Some(&mut column.grants)
    }

    pub(super) async fn read_default_privileges(&mut self) -> Result<(), Error> {
        let mut all: Vec<DefaultPrivileges> = Vec::new();
        for cells in self.query("default privileges", DEFAULT_PRIVILEGES).await? {
            let key = DefaultPrivilegesKey {
                role: self.role(cells.text("role")?),
                schema: cells.get("schema")?,
                objects: cells.text("objects")?,
            };
            if all.last().is_none_or(|last| last.key != key) {
                let grants = Grants::new();
                all.push(DefaultPrivileges { key, grants });
            }
            if let (Some(last), Some(grantee)) = (all.last_mut(), cells.optional("grantee")?) {
                add(&mut last.grants, self.role(grantee), &cells)?;
            }
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        self.catalog.default_privileges = all;
        Ok(())
    }
}

/// The same privilege may come from two grantors.
fn add(grants: &mut Grants, grantee: String, cells: &Cells) -> Result<(), Error> {
    let privileges = grants.entry(grantee).or_default();
    *privileges.0.entry(cells.text("privilege")?).or_default() |= cells.flag("grantable")?;
    Ok(())
}

fn grants_of<'a>(catalog: &'a mut crate::Catalog, id: &ObjectId) -> Option<&'a mut Grants> {
    Some(match id {
        ObjectId::Schema { name } => &mut catalog.schemas.get_mut(name)?.grants,
        ObjectId::Type { name } => &mut catalog.types.get_mut(name)?.grants,
        ObjectId::Sequence { name } => &mut catalog.sequences.get_mut(name)?.grants,
        ObjectId::Table { name } => &mut catalog.tables.get_mut(name)?.grants,
        ObjectId::View { name } => &mut catalog.views.get_mut(name)?.grants,
        ObjectId::Function { signature } => &mut catalog.functions.get_mut(signature)?.grants,
        _ => return None,
    })
}
