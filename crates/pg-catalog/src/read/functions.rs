use super::{Cells, PG_PROC, Reader};
use crate::error::Error;
use crate::model::function::{Function, FunctionKind, Signature};
use crate::model::object::ObjectId;

/// Without the constructors of range types, which come with the type.
const FUNCTIONS: &str = "
SELECT p.oid, p.pronamespace AS namespace, p.proname::text AS name, oidvectortypes(p.proargtypes) AS identity,
       p.prokind::text AS kind, pg_get_userbyid(p.proowner)::text AS owner,
       CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END AS definition,
       pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS returns, l.lanname::text AS language,
       CASE WHEN p.prokind = 'a' THEN concat_ws(', ',
           'SFUNC = ' || a.aggtransfn::text, 'STYPE = ' || format_type(a.aggtranstype, NULL),
           'SSPACE = ' || nullif(a.aggtransspace, 0), 'FINALFUNC = ' || nullif(a.aggfinalfn, 0)::text,
           CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
           CASE WHEN a.aggfinalfn <> 0 THEN 'FINALFUNC_MODIFY = ' || modify.word[1] END,
           'COMBINEFUNC = ' || nullif(a.aggcombinefn, 0)::text, 'SERIALFUNC = ' || nullif(a.aggserialfn, 0)::text,
           'DESERIALFUNC = ' || nullif(a.aggdeserialfn, 0)::text, 'INITCOND = ' || quote_literal(a.agginitval),
           'MSFUNC = ' || nullif(a.aggmtransfn, 0)::text, 'MINVFUNC = ' || nullif(a.aggminvtransfn, 0)::text,
           'MSTYPE = ' || CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END,
           'MSSPACE = ' || nullif(a.aggmtransspace, 0), 'MFINALFUNC = ' || nullif(a.aggmfinalfn, 0)::text,
           CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
           CASE WHEN a.aggmfinalfn <> 0 THEN 'MFINALFUNC_MODIFY = ' || modify.word[2] END,
           'MINITCOND = ' || quote_literal(a.aggminitval),
           'SORTOP = ' || (SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_operator o
                           JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = a.aggsortop),
           CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED' END,
           CASE WHEN a.aggkind = 'h' THEN 'HYPOTHETICAL' END)
       ELSE coalesce(pg_get_function_sqlbody(p.oid), concat_ws(', ', p.probin, p.prosrc)) END AS body,
       p.prosecdef AS security_definer,
       CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END AS volatility,
       CASE p.proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' ELSE 'UNSAFE' END AS parallel,
       p.proisstrict AS strict, p.proleakproof AS leakproof, p.procost::text AS cost, p.prorows::text AS rows,
       nullif(p.prosupport, 0)::regproc::text AS support,
       ARRAY (SELECT format_type(t, NULL) FROM unnest(p.protrftypes) t) AS transforms, p.proconfig AS settings,
       d.description AS comment
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
LEFT JOIN LATERAL (SELECT ARRAY (
    SELECT CASE m WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END
    FROM unnest(ARRAY [a.aggfinalmodify, a.aggmfinalmodify]) m)) modify (word) ON p.prokind = 'a'
LEFT JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid
WHERE p.pronamespace = ANY ($1)
  AND NOT EXISTS (SELECT FROM pg_depend e
                  WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))";

impl Reader<'_> {
    pub(super) async fn read_functions(&mut self) -> Result<(), Error> {
        for cells in self.query("functions", FUNCTIONS).await? {
            let Some(name) = self.qualified(&cells)? else {
                continue;
            };
            let signature = Signature {
                name,
                arguments: cells.text("identity")?,
            };
            let id = ObjectId::Function {
                signature: signature.clone(),
            };
            self.register(PG_PROC, cells.get("oid")?, id);
            let function = self.function(&cells, &signature)?;
            self.catalog.functions.insert(signature, function);
        }
        Ok(())
    }

    fn function(&self, cells: &Cells, signature: &Signature) -> Result<Function, Error> {
        let letter: &str = cells.get("kind")?;
        let kind = match letter {
            "f" | "w" => FunctionKind::Function,
            "p" => FunctionKind::Procedure,
            "a" => FunctionKind::Aggregate,
            other => {
                return Err(Error::Unknown {
                    what: "prokind",
                    value: other.to_owned(),
                });
            }
        };
        let arguments = cells.definition("arguments", signature)?;
        let body = cells.definition("body", signature)?;
        let definition = match kind {
            FunctionKind::Aggregate => {
                let arguments = if arguments.is_empty() { "*" } else { &arguments };
                format!("CREATE AGGREGATE {}({arguments}) ({body})", signature.name)
            }
            _ => cells.definition("definition", signature)?,
        };
        Ok(Function {
            kind,
            owner: self.role(cells.text("owner")?),
            definition: definition.trim_end().to_owned(),
            arguments,
            returns: cells.get("returns")?,
            language: cells.text("language")?,
            body,
            security_definer: cells.flag("security_definer")?,
            volatility: cells.text("volatility")?,
            parallel: cells.text("parallel")?,
            strict: cells.flag("strict")?,
            leakproof: cells.flag("leakproof")?,
            window: letter == "w",
            cost: cells.text("cost")?,
            rows: cells.text("rows")?,
            support: cells.get("support")?,
            transforms: cells.sorted("transforms")?,
            settings: cells.sorted("settings")?,
            comment: cells.get("comment")?,
            grants: Default::default(),
        })
    }
}
