use super::Reader;
use crate::error::Error;
use crate::model::OtherObject;
use crate::model::object::ObjectId;

/// What initdb made has an OID below 16384. What comes with another object (the cast of a range to its multirange) is left out too.
const OTHERS: &str = "
WITH other (class, object, definition) AS (
    SELECT 'pg_event_trigger'::regclass::oid, oid, NULL FROM pg_event_trigger
    UNION ALL SELECT 'pg_publication'::regclass, oid, NULL FROM pg_publication
    UNION ALL SELECT 'pg_subscription'::regclass, oid, NULL FROM pg_subscription
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, NULL FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, NULL FROM pg_foreign_server
    UNION ALL SELECT 'pg_class'::regclass, oid, NULL FROM pg_class WHERE relkind = 'f' AND relnamespace = ANY ($1)
    UNION ALL SELECT 'pg_collation'::regclass, oid, NULL FROM pg_collation WHERE collnamespace = ANY ($1)
    UNION ALL SELECT 'pg_conversion'::regclass, oid, NULL FROM pg_conversion WHERE connamespace = ANY ($1)
    UNION ALL SELECT 'pg_operator'::regclass, oid, NULL FROM pg_operator WHERE oprnamespace = ANY ($1)
    UNION ALL SELECT 'pg_opclass'::regclass, oid, NULL FROM pg_opclass WHERE opcnamespace = ANY ($1)
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, NULL FROM pg_opfamily WHERE opfnamespace = ANY ($1)
    UNION ALL SELECT 'pg_cast'::regclass, oid, NULL FROM pg_cast
    UNION ALL SELECT 'pg_transform'::regclass, oid, NULL FROM pg_transform
    UNION ALL SELECT 'pg_language'::regclass, oid, NULL FROM pg_language
    UNION ALL SELECT 'pg_am'::regclass, oid, NULL FROM pg_am
    UNION ALL SELECT 'pg_type'::regclass, oid, NULL FROM pg_type t
        WHERE typtype = 'b' AND typnamespace = ANY ($1) AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, NULL FROM pg_ts_config WHERE cfgnamespace = ANY ($1)
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, NULL FROM pg_ts_dict WHERE dictnamespace = ANY ($1)
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid, NULL FROM pg_ts_parser WHERE prsnamespace = ANY ($1)
    UNION ALL SELECT 'pg_ts_template'::regclass, oid, NULL FROM pg_ts_template WHERE tmplnamespace = ANY ($1)
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
        WHERE stxnamespace = ANY ($1)
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        WHERE r.rulename <> '_RETURN' AND c.relnamespace = ANY ($1)
)
SELECT o.class, o.object, i.type AS kind, i.identity, o.definition, d.description AS comment
FROM other o
CROSS JOIN LATERAL pg_identify_object(o.class, o.object, 0) i
LEFT JOIN pg_description d ON d.classoid = o.class AND d.objoid = o.object AND d.objsubid = 0
WHERE o.object >= 16384
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.object AND e.deptype IN ('e', 'i'))
ORDER BY kind, identity";

impl Reader<'_> {
    pub(super) async fn read_others(&mut self) -> Result<(), Error> {
        for cells in self.query("other objects", OTHERS).await? {
            let other = OtherObject {
                class: cells.text("kind")?,
                identity: cells.definition("identity", &"an object")?,
                definition: cells.get("definition")?,
                comment: cells.get("comment")?,
            };
            let id = ObjectId::Other {
                class: other.class.clone(),
                identity: other.identity.clone(),
            };
            self.register(cells.get("class")?, cells.get("object")?, id);
            self.catalog.others.push(other);
        }
        Ok(())
    }
}
