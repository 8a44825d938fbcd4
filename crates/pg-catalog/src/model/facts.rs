//! What of an object is compared: its attributes by name. The one place that comparison and fingerprint look at.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::name::QualifiedName;

/// Value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Not set.
    None,
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A name, or SQL.
    Text(String),
    /// Several, in an order that means something.
    List(Vec<String>),
}

/// Attributes of one object that are compared, by name.
pub type Facts = BTreeMap<&'static str, Value>;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::List(list) if list.is_empty() => f.write_str("none"),
            Self::List(list) => f.write_str(&list.join(", ")),
        }
    }
}

/// A field that is compared.
pub(crate) trait Attribute {
    /// As an attribute's value.
    fn value(&self) -> Value;
}

impl Attribute for bool {
    fn value(&self) -> Value {
        Value::Flag(*self)
    }
}

impl Attribute for i64 {
    fn value(&self) -> Value {
        Value::Number(*self)
    }
}

impl Attribute for i32 {
    fn value(&self) -> Value {
        Value::Number((*self).into())
    }
}

impl Attribute for String {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Attribute for Vec<String> {
    fn value(&self) -> Value {
        Value::List(self.clone())
    }
}

impl Attribute for Vec<QualifiedName> {
    fn value(&self) -> Value {
        Value::List(self.iter().map(QualifiedName::to_string).collect())
    }
}

impl<T: Attribute> Attribute for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::None, T::value)
    }
}

/// Implements [`Attribute`] through `Display`.
macro_rules! attribute_by_display {
    ($($type:ty),+ $(,)?) => {
        $(impl $crate::model::facts::Attribute for $type {
            fn value(&self) -> $crate::model::facts::Value {
                $crate::model::facts::Value::Text(self.to_string())
            }
        })+
    };
}
pub(crate) use attribute_by_display;

/// The facts of a struct. Every field must be named, on the one side or the other: who adds a field decides whether it is compared.
macro_rules! facts {
    ($type:ident of $value:expr; compared: $($field:ident),+; not: $($other:ident),* $(,)?) => {{
        let $type { $($field,)+ $($other: _,)* } = $value;
        $crate::model::facts::Facts::from([$((stringify!($field), $crate::model::facts::Attribute::value($field))),+])
    }};
}
pub(crate) use facts;
