#![doc = include_str!("../README.md")]

mod diff;
mod display;
mod error;
mod fingerprint;
mod model;
mod order;
mod read;
mod write;

pub use diff::{AttributeChange, Change, Difference};
pub use error::{Cycle, Error};
pub use fingerprint::Fingerprint;
pub use model::facts::{Facts, Value};
pub use model::function::{Function, FunctionKind, Signature};
pub use model::grant::{DefaultPrivileges, DefaultPrivilegesKey, Grants, Privileges};
pub use model::name::{NotAName, QualifiedName, quote_ident, quote_literal};
pub use model::object::ObjectId;
pub use model::sequence::{Sequence, SequenceOptions};
pub use model::table::{
    Column, Constraint, ConstraintKind, Identity, Index, OfParent, Policy, Table, Trigger,
};
pub use model::types::{Type, TypeDefinition};
pub use model::view::View;
pub use model::{Catalog, Extension, Member, OWNER, OtherObject, PUBLIC, Schema};
pub use order::Dependencies;
pub use read::Options;
pub use write::{
    Hints, Loss, Part, PartKind, Plan, PlanError, PlanOptions, RelationKind, Rename, Renamed, Step,
};
