//! The order of creation.

use std::collections::BTreeSet;

use pg_catalog::{Catalog, ObjectId, QualifiedName, Signature};

use crate::edits::base;
use crate::support::{Database, public, table};

const NASTY: &str = "
CREATE EXTENSION citext;
CREATE SEQUENCE z_numbers;
CREATE FUNCTION z_next() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT nextval('z_numbers'); END;
CREATE TYPE z_status AS ENUM ('open');
CREATE TABLE m (id bigint DEFAULT z_next() PRIMARY KEY, name citext, status z_status, statuses z_status[]);
CREATE FUNCTION z_count() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(name) FROM m; END;
CREATE TABLE a (id bigint DEFAULT z_count(), m m, PRIMARY KEY (id));
CREATE VIEW z_view AS SELECT id, z_count() AS n FROM a;
CREATE VIEW a_view AS SELECT n FROM z_view;
CREATE FUNCTION a_of_view() RETURNS SETOF a_view LANGUAGE sql BEGIN ATOMIC SELECT n FROM a_view; END;
CREATE TABLE b (id bigserial PRIMARY KEY, a_id bigint, c_id bigint);
CREATE TABLE c (id bigint PRIMARY KEY, b_id bigint, n int GENERATED ALWAYS AS IDENTITY);
ALTER TABLE b ADD CONSTRAINT b_c FOREIGN KEY (c_id) REFERENCES c;
ALTER TABLE c ADD CONSTRAINT c_b FOREIGN KEY (b_id) REFERENCES b;
CREATE UNIQUE INDEX z_key ON b (a_id);
CREATE TABLE d (a_id bigint CONSTRAINT d_fkey REFERENCES b (a_id));
CREATE POLICY p ON d USING (a_id = z_next());
CREATE FUNCTION z_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION z_trigger();
CREATE TABLE z_parts (id int) PARTITION BY RANGE (id);
CREATE TABLE a_part PARTITION OF z_parts DEFAULT;
CREATE INDEX d_idx ON d ((a_id + z_count_fixed(1)));
";

fn nasty() -> String {
    let function = "CREATE FUNCTION z_count_fixed(int) RETURNS int IMMUTABLE LANGUAGE sql RETURN 1;";
    format!("{function}{NASTY}")
}

fn place(order: &[ObjectId], name: &str) -> usize {
    order
        .iter()
        .position(|object| object.to_string() == name)
        .unwrap_or_else(|| panic!("{name} is not in {order:#?}"))
}

#[tokio::test]
async fn what_is_needed_comes_first() {
    let catalog = Database::with(&nasty()).await.read().await;
    let order = catalog.order(catalog.ids()).unwrap();
    assert_eq!(order.len(), catalog.objects().len());
    for (first, second) in [
        ("schema public", "sequence public.z_numbers"),
        ("sequence public.z_numbers", "function public.z_next()"),
        ("function public.z_next()", "column public.m.id"),
        ("extension citext", "column public.m.name"),
        ("type public.z_status", "column public.m.status"),
        ("type public.z_status", "column public.m.statuses"),
        ("column public.m.name", "function public.z_count()"),
        ("function public.z_count()", "column public.a.id"),
        ("table public.m", "column public.a.m"),
        ("function public.z_count()", "view public.z_view"),
        ("column public.a.id", "view public.z_view"),
        ("view public.z_view", "view public.a_view"),
        ("view public.a_view", "function public.a_of_view()"),
        ("sequence public.b_id_seq", "column public.b.id"),
        ("constraint c_pkey on public.c", "constraint b_c on public.b"),
        ("constraint b_pkey on public.b", "constraint c_b on public.c"),
        ("index public.z_key on public.b", "constraint d_fkey on public.d"),
        ("function public.z_next()", "policy p on public.d"),
        ("function public.z_trigger()", "trigger t on public.a"),
        ("table public.z_parts", "table public.a_part"),
        (
            "function public.z_count_fixed(integer)",
            "index public.d_idx on public.d",
        ),
        ("column public.d.a_id", "index public.d_idx on public.d"),
        (
            "function public.z_next()",
            "grant to PUBLIC on function public.z_next()",
        ),
    ] {
        assert!(
            place(&order, first) < place(&order, second),
            "{first} before {second}"
        );
    }
    for (object, needs) in &catalog.dependencies().0 {
        for needed in needs {
            assert!(place(&order, &needed.to_string()) < place(&order, &object.to_string()));
        }
    }
}

#[tokio::test]
async fn some_of_the_objects_through_others() {
    let catalog = Database::with(&nasty()).await.read().await;
    let view = |name: &str| ObjectId::View { name: public(name) };
    // The path leads through z_view, z_count() and a column.
    let some = [view("a_view"), table("m")];
    assert_eq!(catalog.order(some).unwrap(), [table("m"), view("a_view")]);
    assert_eq!(catalog.order([]).unwrap(), []);
    let unknown = table("nowhere");
    assert_eq!(catalog.order([unknown.clone()]).unwrap(), [unknown]);
}

#[tokio::test]
async fn the_order_is_stable() {
    let catalog = base().await.read().await;
    let objects: Vec<ObjectId> = catalog.ids().into_iter().collect();
    let forwards = catalog.order(objects.clone()).unwrap();
    let backwards = catalog.order(objects.into_iter().rev()).unwrap();
    assert_eq!(forwards, backwards);
    // By kind, then by name, where nothing else decides.
    let tables: Vec<_> = forwards
        .iter()
        .filter(|object| matches!(object, ObjectId::Table { .. }))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        tables,
        [
            "table app.events",
            "table app.events_rest",
            "table app.items",
            "table app.parents"
        ]
    );
}

#[tokio::test]
async fn a_cycle_is_reported() {
    let catalog = Database::with(
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1;
         CREATE FUNCTION g() RETURNS int LANGUAGE sql RETURN f();
         CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql RETURN g();
         CREATE VIEW v AS SELECT f(); CREATE TABLE t (id int)",
    )
    .await
    .read()
    .await;
    let cycle = catalog.order(catalog.ids()).unwrap_err();
    let function = |name: &str| ObjectId::Function {
        signature: Signature {
            name: QualifiedName::new("public", name),
            arguments: String::new(),
        },
    };
    assert_eq!(cycle.0, [function("f"), function("g")]);
    assert_eq!(
        cycle.to_string(),
        "these objects need one another, and none can be created first: function public.f(), function public.g()"
    );
    // Elsewhere there is none.
    catalog.order([table("t")]).unwrap();
}

#[tokio::test]
async fn dependents() {
    let catalog: Catalog = Database::with(&nasty()).await.read().await;
    let status = ObjectId::Type {
        name: public("z_status"),
    };
    let dependents: BTreeSet<String> = catalog
        .dependencies()
        .on(&status)
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        dependents.into_iter().collect::<Vec<_>>(),
        [
            "column public.m.status",
            "column public.m.statuses",
            "grant to PUBLIC on type public.z_status"
        ]
    );
}
