//! What becomes of the values when a column's type changes.

/// How a type is changed to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    /// The stored values stay as they are: no rewrite.
    Free,
    /// Every value has one in the new type: the table is rewritten.
    Rewrite,
    /// Not every value has, or it has less in it.
    Lossy,
}

/// A type as `format_type` prints it, in parts.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    base: String,
    modifiers: Vec<i64>,
    array: bool,
}

fn parts(text: &str) -> Parts {
    let (text, array) = match text.strip_suffix("[]") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let modified = text.split_once('(').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once(')')?;
        let modifiers = inside.split(',').map(|number| number.trim().parse().ok());
        Some(Parts {
            base: format!("{before}{after}"),
            modifiers: modifiers.collect::<Option<_>>()?,
            array,
        })
    });
    modified.unwrap_or_else(|| Parts {
        base: text.to_owned(),
        modifiers: Vec::new(),
        array,
    })
}

const NUMBERS: [&str; 6] = [
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
];
const STRINGS: [&str; 3] = ["character varying", "text", "character"];
const TIMES: [&str; 3] = ["date", "timestamp without time zone", "timestamp with time zone"];

fn family(base: &str) -> Option<u8> {
    [&NUMBERS[..], &STRINGS[..], &TIMES[..]]
        .iter()
        .zip(0..)
        .find_map(|(family, number)| family.contains(&base).then_some(number))
}

/// Whether both have operators between them, and casts that a plain assignment uses.
pub(super) fn related(from: &str, to: &str) -> bool {
    let (from, to) = (parts(from), parts(to));
    from.array == to.array
        && (from.base == to.base || family(&from.base).is_some() && family(&from.base) == family(&to.base))
}

/// Casts of PostgreSQL's own between types that are not of one family: `pg_cast`, without strings, to and from which everything is cast.
const CASTS: [(&str, &[&str]); 15] = [
    ("bigint", &["oid", "money", "bit"]),
    ("bit", &["integer", "bit varying", "bigint"]),
    ("bit varying", &["bit"]),
    ("boolean", &["integer"]),
    ("cidr", &["inet"]),
    ("inet", &["cidr"]),
    ("integer", &["boolean", "bit", "money", "oid"]),
    ("interval", &["time without time zone"]),
    ("json", &["jsonb"]),
    (
        "jsonb",
        &[
            "boolean",
            "json",
            "double precision",
            "integer",
            "smallint",
            "bigint",
            "numeric",
            "real",
        ],
    ),
    ("macaddr", &["macaddr8"]),
    ("macaddr8", &["macaddr"]),
    ("money", &["numeric"]),
    ("numeric", &["money"]),
    ("time without time zone", &["interval"]),
];

/// Whether a cast leads from one to the other. Of types that are not PostgreSQL's own it is taken for granted.
pub(super) fn exists(from: &str, to: &str) -> bool {
    let (a, b) = (parts(from), parts(to));
    let own = |it: &Parts| it.base.contains('.');
    let string = |it: &Parts| STRINGS.contains(&it.base.as_str()) && !it.array;
    if own(&a) || own(&b) || string(&a) || string(&b) {
        return true;
    }
    let known = CASTS
        .iter()
        .any(|(from, to)| *from == a.base && to.contains(&b.base.as_str()));
    let time = |it: &Parts| it.base.starts_with("time");
    let geometric = |it: &Parts| GEOMETRIC.contains(&it.base.as_str());
    let alike = |test: &dyn Fn(&Parts) -> bool| test(&a) && test(&b);
    let strings = alike(&|it| STRINGS.contains(&it.base.as_str()));
    a.array == b.array
        && (strings
            || a.base == b.base
            || known
            || related(from, to)
            || alike(&time)
            || alike(&geometric)
            || b.base == format!("{}multirange", a.base.trim_end_matches("range")))
}

/// Between these there are casts, but not from each to each.
const GEOMETRIC: [&str; 6] = ["point", "lseg", "box", "path", "polygon", "circle"];

/// What changing the type does to values.
pub(super) fn cast(from: &str, to: &str) -> Cast {
    let (a, b) = (parts(from), parts(to));
    if a.array != b.array {
        return Cast::Lossy;
    }
    if a.base == b.base {
        return same_base(&a, &b);
    }
    match (a.base.as_str(), b.base.as_str()) {
        ("character varying", "text") => Cast::Free,
        ("text", "character varying") if b.modifiers.is_empty() => Cast::Free,
        ("cidr", "inet") => Cast::Free,
        ("xml", "text") => Cast::Free,
        // In an array the elements are converted one by one.
        ("smallint", "integer" | "bigint" | "numeric" | "real" | "double precision")
        | ("integer", "bigint" | "numeric" | "double precision")
        | ("bigint", "numeric")
        | ("real", "double precision")
        | ("date", "timestamp without time zone" | "timestamp with time zone")
            if b.modifiers.is_empty() =>
        {
            Cast::Rewrite
        }
        // To text goes everything; blanks at the end of `character` do not.
        (base, "text" | "character varying") if base != "character" && b.modifiers.is_empty() => {
            Cast::Rewrite
        }
        _ => Cast::Lossy,
    }
}

fn same_base(a: &Parts, b: &Parts) -> Cast {
    match (a.base.as_str(), a.modifiers.as_slice(), b.modifiers.as_slice()) {
        (_, from, to) if from == to => Cast::Free,
        // `character` without a length is one of 1; not printed so.
        ("character", [from], [to]) if from <= to => Cast::Rewrite,
        ("bit", ..) | ("character", ..) => Cast::Lossy,
        (_, _, []) => Cast::Free,
        ("numeric", [precision, scale], [to_precision, to_scale]) => {
            if scale == to_scale && precision <= to_precision {
                Cast::Free
            } else if scale <= to_scale && precision - scale <= to_precision - to_scale {
                Cast::Rewrite
            } else {
                Cast::Lossy
            }
        }
        (_, [from], [to]) if from <= to => Cast::Free,
        _ => Cast::Lossy,
    }
}

/// ` USING …`, where a plain assignment does not do it. Where it does, it refuses a value that is too long or too large; a cast would cut it.
pub(super) fn using(column: &str, from: &str, to: &str) -> String {
    let plain = related(from, to) || matches!(parts(to).base.as_str(), "text" | "character varying");
    if plain && parts(from).array == parts(to).array {
        return String::new();
    }
    let known = |text: &str| !parts(text).base.contains('.');
    // Between types of one's own there are no casts: through text.
    if known(from) || known(to) && parts(to).base == "text" {
        return format!(" USING {column}::{to}");
    }
    let through = if parts(from).array { "text[]" } else { "text" };
    format!(" USING {column}::{through}::{to}")
}

/// A value of this type, for rows of which nothing better is known.
pub(super) fn placeholder(data_type: &str) -> Option<String> {
    let parts = parts(data_type);
    if parts.array {
        return Some("'{}'".to_owned());
    }
    let value = match parts.base.as_str() {
        base if NUMBERS.contains(&base) => "0",
        base if STRINGS.contains(&base) => "''",
        base if TIMES.contains(&base) => "'epoch'",
        "boolean" => "false",
        "uuid" => "'00000000-0000-0000-0000-000000000000'",
        "json" | "jsonb" => "'{}'",
        "bytea" => "''",
        "interval" => "'0'",
        "inet" | "cidr" => "'0.0.0.0'",
        _ => return None,
    };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        use Cast::{Free, Lossy, Rewrite};
        for (from, to, expected) in [
            ("character varying(20)", "character varying(50)", Free),
            ("character varying(20)", "character varying", Free),
            ("character varying(20)", "text", Free),
            ("character varying(50)", "character varying(20)", Lossy),
            ("text", "character varying(20)", Lossy),
            ("numeric(10,2)", "numeric(12,2)", Free),
            ("numeric(10,2)", "numeric", Free),
            ("numeric(10,2)", "numeric(12,3)", Rewrite),
            ("numeric(10,2)", "numeric(10,3)", Lossy),
            ("numeric", "numeric(10,2)", Lossy),
            ("integer", "bigint", Rewrite),
            ("bigint", "integer", Lossy),
            ("bigint", "double precision", Lossy),
            ("integer", "real", Lossy),
            ("integer", "text", Rewrite),
            ("character(3)", "text", Lossy),
            ("timestamp(3) with time zone", "timestamp with time zone", Free),
            ("timestamp with time zone", "date", Lossy),
            ("timestamp(3) with time zone", "timestamp(6) with time zone", Free),
            ("json", "jsonb", Lossy),
            ("text[]", "character varying[]", Free),
            ("integer[]", "integer", Lossy),
        ] {
            assert_eq!(cast(from, to), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn some_types_have_no_cast() {
        for (from, to) in [
            ("integer", "text"),
            ("text", "uuid"),
            ("integer[]", "bigint[]"),
            ("integer", "boolean"),
            ("character varying(3)[]", "text[]"),
            ("text[]", "text"),
            ("jsonb", "numeric(3,1)"),
            ("timestamp(3) with time zone", "time without time zone"),
            ("int4range", "int4multirange"),
            ("public.a", "integer"),
        ] {
            assert!(exists(from, to), "{from} -> {to}");
        }
        for (from, to) in [
            ("int4range", "date"),
            ("integer", "uuid"),
            ("integer[]", "integer"),
            ("boolean", "bigint"),
            ("date", "integer"),
            ("bytea", "jsonb"),
        ] {
            assert!(!exists(from, to), "{from} -> {to}");
        }
    }

    #[test]
    fn expressions() {
        assert_eq!(using("c", "bigint", "integer"), "");
        assert_eq!(using("c", "text", "character varying(3)"), "");
        assert_eq!(using("c", "text", "uuid"), " USING c::uuid");
        assert_eq!(using("c", "public.a", "public.b"), " USING c::text::public.b");
        assert_eq!(
            using("c", "public.a[]", "public.b[]"),
            " USING c::text[]::public.b[]"
        );
        assert_eq!(using("c", "public.a", "text"), "");
    }
}
