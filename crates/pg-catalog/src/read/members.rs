use super::Reader;
use crate::error::Error;
use crate::model::Member;

/// What an extension has is told by `pg_depend` alone: whoever owns the extension can put into it what is there, and replace what it has.
/// Owner, access list and definition by class; of the rarer ones only that they are there.
const MEMBERS: &str = "
WITH member AS (
    SELECT x.extname, e.classid, e.objid, p.proowner AS owner, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl,
           CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid)
                ELSE (SELECT concat_ws(' ', a.aggtransfn::regprocedure, format_type(a.aggtranstype, NULL), a.aggfinalfn::regprocedure,
                                       a.aggcombinefn::regprocedure, a.agginitval, a.aggmtransfn::regprocedure)
                      FROM pg_aggregate a WHERE a.aggfnoid = p.oid) END AS definition,
           p.prosecdef OR NOT coalesce(r.rolsuper, false) AS exposed
    FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid JOIN pg_proc p ON p.oid = e.objid
    LEFT JOIN pg_roles r ON r.oid = p.proowner
    WHERE e.classid = 'pg_proc'::regclass AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'
    UNION ALL
    SELECT x.extname, e.classid, e.objid, c.relowner, c.relacl,
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
                WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid)
                ELSE (SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                                               CASE WHEN a.attnotnull THEN ' NOT NULL' END), ', ' ORDER BY a.attnum)
                      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END,
           c.relkind IN ('r', 'p', 'f') OR c.relkind IN ('v', 'm') AND EXISTS (
               SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
               WHERE w.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid AND d.refobjid >= 16384
                 AND NOT EXISTS (SELECT FROM pg_depend o
                                 WHERE o.classid = 'pg_class'::regclass AND o.objid = d.refobjid AND o.deptype = 'e'))
    FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid JOIN pg_class c ON c.oid = e.objid
    WHERE e.classid = 'pg_class'::regclass AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'
    UNION ALL
    SELECT x.extname, e.classid, e.objid, NULL, NULL,
           coalesce((SELECT concat_ws(' ', o.oprcode::regprocedure, nullif(o.oprrest, 0)::regproc, nullif(o.oprjoin, 0)::regproc)
                     FROM pg_operator o WHERE e.classid = 'pg_operator'::regclass AND o.oid = e.objid),
                    (SELECT concat_ws(' ', k.castfunc::regprocedure, k.castcontext, k.castmethod)
                     FROM pg_cast k WHERE e.classid = 'pg_cast'::regclass AND k.oid = e.objid),
                    (SELECT concat_ws(' ', t.typtype, t.typinput, t.typoutput, nullif(t.typbasetype, 0)::regtype)
                     FROM pg_type t WHERE e.classid = 'pg_type'::regclass AND t.oid = e.objid),
                    (SELECT concat_ws(' ', t.evtevent, t.evtfoid::regprocedure, t.evtenabled)
                     FROM pg_event_trigger t WHERE e.classid = 'pg_event_trigger'::regclass AND t.oid = e.objid)),
           e.classid = 'pg_event_trigger'::regclass
    FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid
    WHERE e.classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass) AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'
)
SELECT m.extname::text AS extension, i.type AS kind, i.identity, coalesce(m.definition, '') AS definition,
       coalesce(CASE WHEN r.rolsuper THEN 'a superuser' ELSE r.rolname::text END, '') AS owner, coalesce(m.exposed, false) AS exposed,
       a.grantees, a.privileges, a.grantable
FROM member m
CROSS JOIN LATERAL pg_identify_object(m.classid, m.objid, 0) i
LEFT JOIN pg_roles r ON r.oid = m.owner
CROSS JOIN LATERAL (
    SELECT array_agg(CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END) AS grantees,
           array_agg(x.privilege_type) AS privileges, array_agg(x.is_grantable) AS grantable
    FROM aclexplode(m.acl) x WHERE x.grantee <> m.owner) a
WHERE m.extname <> 'plpgsql' AND $1::oid[] IS NOT NULL
ORDER BY 1, 2, 3";

impl Reader<'_> {
    pub(super) async fn read_members(&mut self) -> Result<(), Error> {
        for cells in self.query("members of extensions", MEMBERS).await? {
            let mut member = Member {
                class: cells.text("kind")?,
                identity: cells.definition("identity", &"a member of an extension")?,
                definition: cells.text("definition")?.trim_end().to_owned(),
                owner: self.role(cells.text("owner")?),
                grants: Default::default(),
                exposed: cells.flag("exposed")?,
            };
            let grantable: Option<Vec<bool>> = cells.get("grantable")?;
            let grants = cells.list("grantees")?.into_iter().zip(cells.list("privileges")?);
            for ((grantee, privilege), grantable) in grants.zip(grantable.unwrap_or_default()) {
                let privileges = member.grants.entry(self.role(grantee)).or_default();
                *privileges.0.entry(privilege).or_default() |= grantable;
            }
            let extension = cells.text("extension")?;
            if let Some(extension) = self.catalog.extensions.get_mut(&extension) {
                extension.members.push(member);
            }
        }
        Ok(())
    }
}
