use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Value, attribute_by_display, facts};
use super::grant::Grants;
use super::name::QualifiedName;
use super::sequence::SequenceOptions;

/// A table, ordinary or partitioned; a partition too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Role that owns it.
    pub owner: String,
    /// `UNLOGGED`.
    pub unlogged: bool,
    /// `PARTITION BY …` without these two words: `RANGE (id)`. `None` for a table that is not partitioned.
    pub partition_key: Option<String>,
    /// What it is a partition of.
    pub partition_of: Option<QualifiedName>,
    /// `FOR VALUES …` or `DEFAULT`, of a partition.
    pub partition_bound: Option<String>,
    /// Parents by plain inheritance, in order.
    pub inherits: Vec<QualifiedName>,
    /// `OF` this composite type.
    pub of_type: Option<String>,
    /// `ENABLE ROW LEVEL SECURITY`.
    pub row_security: bool,
    /// `FORCE ROW LEVEL SECURITY`.
    pub force_row_security: bool,
    /// `FULL`, `NOTHING`, `USING INDEX name`; `None` is the default, the primary key.
    pub replica_identity: Option<String>,
    /// Storage options, `fillfactor=70`, sorted; those of the TOAST table with `toast.` in front.
    pub options: Vec<String>,
    /// Access method where it is not `heap`.
    pub access_method: Option<String>,
    /// Tablespace where it is not the database's.
    pub tablespace: Option<String>,
    /// `COMMENT ON TABLE`.
    pub comment: Option<String>,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Constraints by name. Those that a partition has from its parent are not here.
    pub constraints: BTreeMap<String, Constraint>,
    /// Indexes by name, without those behind a constraint and those that a partition has from its parent.
    pub indexes: BTreeMap<String, Index>,
    /// What a partition has from its parent, under its own names, and keeps when it is detached. Recorded, not compared.
    pub of_parent: OfParent,
    /// Policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Triggers by name, without the internal ones of foreign keys and those that a partition has from its parent.
    pub triggers: BTreeMap<String, Trigger>,
    /// Grants on the whole table; those on columns are with the columns.
    pub grants: Grants,
    /// What of the parts that are no objects here does not work as it was made, sorted: `foreign key cards_board_fkey: trigger disabled`
    /// (`ALTER TABLE … DISABLE TRIGGER ALL`), a trigger or index that a partition has from its parent. Usually nothing.
    #[serde(default)]
    pub out_of_order: Vec<String>,
}

impl Table {
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = facts!(Table of self;
            compared: owner, unlogged, partition_key, partition_of, partition_bound, inherits, of_type, row_security,
                force_row_security, replica_identity, options, access_method, tablespace, comment, out_of_order;
            not: columns, constraints, indexes, of_parent, policies, triggers, grants);
        // What is in order has the fingerprint that it had before anybody looked.
        if self.out_of_order.is_empty() {
            facts.remove("out_of_order");
        }
        facts
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Constraints and indexes that a partition has because its parent has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfParent {
    /// Constraints by name.
    pub constraints: BTreeMap<String, Constraint>,
    /// Indexes by name, without those behind a constraint.
    pub indexes: BTreeMap<String, Index>,
}

/// A column of a table, view or materialized view, or an attribute of a composite type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Place among the live columns, from 1. Recorded, not compared.
    pub position: i32,
    /// The type as `format_type` prints it: `character varying(20)`, `public.status`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `NOT NULL`, and valid.
    pub not_null: bool,
    /// `DEFAULT` expression.
    pub default: Option<String>,
    /// `GENERATED ALWAYS AS` expression and kind: `(a + b) STORED`.
    pub generated: Option<String>,
    /// `GENERATED … AS IDENTITY`.
    pub identity: Option<Identity>,
    /// Collation where it is not the type's own.
    pub collation: Option<String>,
    /// `PLAIN`, `MAIN`, `EXTERNAL` or `EXTENDED`, where it is not the type's own.
    pub storage: Option<String>,
    /// `pglz` or `lz4` where it was set.
    pub compression: Option<String>,
    /// Statistics target where it was set.
    pub statistics: Option<i32>,
    /// `n_distinct=…` and the like, sorted.
    pub options: Vec<String>,
    /// `COMMENT ON COLUMN`.
    pub comment: Option<String>,
    /// It came from a parent table, whose changes reach it by themselves. Of such a column only what differs from the parent's is compared.
    pub inherited: bool,
    /// Grants on this column.
    pub grants: Grants,
}

impl Column {
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = facts!(Column of self;
            compared: data_type, not_null, default, generated, identity, collation, storage, compression, statistics,
                options, comment;
            not: name, position, inherited, grants);
        // `type` is no name for a field.
        if let Some(data_type) = facts.remove("data_type") {
            facts.insert("type", data_type);
        }
        facts
    }

    /// Of an inherited column: what is its own.
    pub(crate) fn facts_beside(&self, parent: Option<&Column>) -> Facts {
        let mut facts = self.facts();
        let theirs = parent.map(Column::facts).unwrap_or_default();
        // A comment is not inherited; identity is from 17 on, so that its absence tells nothing.
        facts.retain(|name, value| match *name {
            "comment" => *value != Value::None,
            "identity" if *value == Value::None => false,
            name => theirs.get(name) != Some(value),
        });
        facts
    }
}

/// `GENERATED … AS IDENTITY (…)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `ALWAYS`, else `BY DEFAULT`.
    pub always: bool,
    /// The options of the sequence behind it.
    pub sequence: SequenceOptions,
}

impl fmt::Display for Identity {
    /// As in SQL: `GENERATED ALWAYS AS IDENTITY (START WITH 1 …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.always { "ALWAYS" } else { "BY DEFAULT" };
        write!(f, "GENERATED {when} AS IDENTITY ({})", self.sequence)
    }
}

/// Kind of a constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey,
    /// `UNIQUE`.
    Unique,
    /// `CHECK`, of a table or a domain.
    Check,
    /// `FOREIGN KEY`.
    ForeignKey,
    /// `EXCLUDE`.
    Exclusion,
    /// `NOT NULL … NOT VALID` (18): the valid ones are an attribute of the column, as before 18.
    NotNull,
}

impl ConstraintKind {
    /// Whether an index stands behind it, so that it cannot be `NOT VALID`.
    fn has_index(self) -> bool {
        matches!(self, Self::PrimaryKey | Self::Unique | Self::Exclusion)
    }
}

/// A constraint of a table or a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Kind. Told by the definition, so not compared.
    pub kind: ConstraintKind,
    /// `pg_get_constraintdef`, without `DEFERRABLE`, `INITIALLY DEFERRED` and `NOT VALID`: these are the fields below.
    pub definition: String,
    /// Not `NOT VALID`; and the index behind it, if there is one, is valid.
    pub validated: bool,
    /// `DEFERRABLE`.
    pub deferrable: bool,
    /// `INITIALLY DEFERRED`.
    pub deferred: bool,
    /// Storage options of the index behind it, sorted.
    pub options: Vec<String>,
    /// `COMMENT ON CONSTRAINT`.
    pub comment: Option<String>,
    /// Its columns in order, where it is about columns. Told by the definition, so not compared.
    pub columns: Vec<String>,
    /// Of a foreign key: the other table. Told by the definition.
    pub references: Option<QualifiedName>,
    /// Of a foreign key: the other table's columns, in the order of `columns`. Told by the definition.
    pub referenced_columns: Vec<String>,
}

impl Constraint {
    pub(crate) fn facts(&self) -> Facts {
        facts!(Constraint of self;
            compared: definition, validated, deferrable, deferred, options, comment;
            not: kind, columns, references, referenced_columns)
    }

    /// The whole definition, as `ADD CONSTRAINT name …` takes it.
    #[must_use]
    pub fn sql(&self) -> String {
        let mut sql = self.definition.clone();
        for (word, applies) in [
            (" DEFERRABLE", self.deferrable),
            (" INITIALLY DEFERRED", self.deferred),
            (" NOT VALID", !self.validated && !self.kind.has_index()),
        ] {
            if applies {
                sql.push_str(word);
            }
        }
        sql
    }
}

/// An index that is not behind a constraint, of a table or a materialized view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// `pg_get_indexdef`: the whole statement. `ON ONLY` of a partitioned index is `ON` here.
    pub definition: String,
    /// `UNIQUE`. Told by the definition.
    pub unique: bool,
    /// Usable: false for what a failed `CREATE INDEX CONCURRENTLY` leaves, and for a partitioned index whose partitions lack theirs.
    pub valid: bool,
    /// Access method. Told by the definition.
    pub method: String,
    /// Key columns in order, `None` for an expression; without `INCLUDE`. Told by the definition.
    pub columns: Vec<Option<String>>,
    /// `WHERE`. Told by the definition.
    pub predicate: Option<String>,
    /// Tablespace where it is not the database's.
    pub tablespace: Option<String>,
    /// `CLUSTER ON` this index.
    pub clustered: bool,
    /// `COMMENT ON INDEX`.
    pub comment: Option<String>,
}

impl Index {
    pub(crate) fn facts(&self) -> Facts {
        facts!(Index of self;
            compared: definition, valid, tablespace, clustered, comment;
            not: unique, method, columns, predicate)
    }
}

/// A row level security policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `ALL`, `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub command: String,
    /// `PERMISSIVE`, else `RESTRICTIVE`.
    pub permissive: bool,
    /// Roles, sorted; `PUBLIC` for all.
    pub roles: Vec<String>,
    /// `USING` expression.
    pub using: Option<String>,
    /// `WITH CHECK` expression.
    pub with_check: Option<String>,
    /// `COMMENT ON POLICY`.
    pub comment: Option<String>,
}

impl Policy {
    pub(crate) fn facts(&self) -> Facts {
        facts!(Policy of self; compared: command, permissive, roles, using, with_check, comment; not:)
    }
}

/// A trigger of a table or view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// `pg_get_triggerdef`: the whole statement.
    pub definition: String,
    /// `origin` (as created), `disabled`, `replica` or `always`.
    pub enabled: String,
    /// `COMMENT ON TRIGGER`.
    pub comment: Option<String>,
}

impl Trigger {
    pub(crate) fn facts(&self) -> Facts {
        facts!(Trigger of self; compared: definition, enabled, comment; not:)
    }
}

attribute_by_display!(QualifiedName, Identity);
