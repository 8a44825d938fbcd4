//! Where one statement ends and the next begins: asked of the server too.

use db_migrate::split;
use test_support::TestDatabase;

/// Files, and how many statements each has.
const FILES: &[(&str, usize)] = &[
    ("", 0),
    ("-- nothing;\n/* at ; all */ ;;; \n", 0),
    ("SELECT 1", 1),
    ("\u{feff}SELECT 1; SELECT 2;", 2),
    ("SELECT 1;\r\nSELECT 2;\r\n", 2),
    ("SELECT 1; -- and; so; on\nSELECT 2", 2),
    ("SELECT 1 -- no; end\n; SELECT 2", 2),
    ("SELECT /* a ; /* nested ; */ still ; */ 1; SELECT 2", 2),
    ("SELECT '; --', 'it''s; ', 'back\\'; SELECT 2", 2),
    (r"SELECT E'quote \'; still \\'; SELECT 2", 2),
    (r"SELECT e'\\'; SELECT 2", 2),
    (
        "SELECT U&'d\\0061t;a', U&\"d\\0061t;a\" FROM (SELECT 1 AS \"dat;a\") t; SELECT 2",
        2,
    ),
    ("SELECT N'n;', B'01', X'1F'; SELECT 2", 2),
    ("SELECT 'one;'\n  'two;' ; SELECT 2", 2),
    ("SELECT 1 AS \"a;\"\"b\"; SELECT 2", 2),
    ("SELECT $$ ; ' \" -- /* $$; SELECT 2", 2),
    ("SELECT $a$ $b$ ; $b$ $$ ; $a$; SELECT 2", 2),
    ("SELECT $a$ $aa$ ; $ $a ; $a$; SELECT 2", 2),
    ("SELECT $_1$ ; $_1$, $é$ ; $é$; SELECT 2", 2),
    ("SELECT 1 AS a$b, 2 AS b$; SELECT 3 AS c$$; SELECT 4", 3),
    ("SELECT 2--1;\n+1; SELECT 2", 2),
    ("SELECT 2/*;*/-/*;*/1; SELECT 2", 2),
    (
        "SELECT (SELECT (1)); SELECT (ARRAY[1,2])[1:2]; SELECT '{\"a\": \";\"}'::jsonb ->> 'a'",
        3,
    ),
    (
        "DO $do$ BEGIN EXECUTE $x$ SELECT 1; SELECT 2 $x$; END; $do$; SELECT 1",
        2,
    ),
    (
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN CASE WHEN true THEN RETURN 1; END CASE; END $$; SELECT 1",
        2,
    ),
    (
        "CREATE FUNCTION pg_temp.f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a > 1 THEN CASE a WHEN 2 THEN 3 END ELSE 2 END; END; SELECT 1",
        2,
    ),
    (
        "create or replace procedure pg_temp.p() language sql begin atomic /* end; */ select 'end'; select 1 as \"end\"; end; select 1",
        2,
    ),
    (
        "CREATE FUNCTION pg_temp.g(begin int) RETURNS int LANGUAGE sql RETURN begin + 1; SELECT 1",
        2,
    ),
    ("BEGIN; SELECT 1; COMMIT", 3),
    (
        "CREATE TEMPORARY TABLE t (a int); CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 1",
        3,
    ),
    ("SELECT 1 AS atomic; SELECT 2 AS begin; SELECT 3", 3),
];

#[tokio::test]
async fn the_server_takes_each_piece_as_one_statement() {
    let database = TestDatabase::empty().await;
    let client = database.superuser().await;
    for (file, count) in FILES {
        let pieces = split(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.sql).collect();
        assert_eq!(texts.len(), *count, "{file}\n{texts:#?}");
        let version = client.query_one("SHOW server_version_num", &[]).await.unwrap();
        for text in texts {
            // PostgreSQL 14 is the first that knows BEGIN ATOMIC, and it is our oldest.
            assert!(version.get::<_, &str>(0) >= "140000");
            client
                .batch_execute("BEGIN; CREATE TEMPORARY TABLE t (a int)")
                .await
                .unwrap();
            // The server parses it, and refuses two at once, or half of one.
            if let Err(error) = client.prepare(text).await {
                let said = error.as_db_error().map_or("", |error| error.message());
                panic!("{file}\npiece {text:?}: {said}");
            }
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    }
}

#[test]
fn a_statement_says_where_it_begins() {
    let file = "-- first\n\nSELECT\n 1;\n/* a\n b */ SELECT 2;\n\n  SELECT 3";
    let lines: Vec<usize> = split(file).unwrap().iter().map(|piece| piece.line).collect();
    assert_eq!(lines, [3, 6, 8]);
}

#[test]
fn what_is_never_closed_is_named() {
    for (file, line, named) in [
        ("SELECT 1;\nSELECT 'a;\n", 2, "string"),
        ("SELECT E'a\\';", 1, "string"),
        ("SELECT $a$ ; $b$;", 1, "string"),
        ("SELECT \"a;", 1, "quoted name"),
        ("SELECT 1;\n\n/* a /* b */ ;", 3, "comment"),
        ("SELECT (1;\nSELECT 2;", 1, "parenthesis"),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END;",
            1,
            "BEGIN ATOMIC",
        ),
        // Right for the server, and not understood by the lexer: refused, never cut wrongly.
        ("SELECT E'a'\n 'b\\'; ';", 2, "E'' string"),
        ("SELECT 1;\n\\i other.sql\n", 2, "backslash"),
    ] {
        let error = split(file).unwrap_err();
        assert_eq!(error.line, line, "{file}: {error}");
        assert!(error.problem.contains(named), "{file}: {error}");
    }
}

#[test]
fn all_of_ours_are_cut() {
    let mut statements = 0;
    for migration in db_migrate::MIGRATIONS {
        for sql in [&migration.up, &migration.down] {
            statements += split(sql).unwrap().len();
        }
    }
    assert!(statements > 100, "{statements}");
}
