//! JSON schemas of the document: what a field is, and a value that its type accepts.

use serde_json::{Map, Value, json};

/// What kind of value a field holds, as far as mistakes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of the client's own.
    Text,
    /// Text with a form: a UUID, a time, one of some words.
    Formed,
    /// A password: any characters, but not any number of them.
    Password,
    Integer,
    Boolean,
    Array,
    Object,
}

/// A field of a body.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its path, as answers name it: `operator.email`.
    pub path: String,
    pub kind: Kind,
    /// Whether the whole way to it is required.
    pub required: bool,
}

/// The schema itself, behind references and without the alternative `null`.
pub fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolve(
            document,
            document.pointer(reference.trim_start_matches('#')).unwrap(),
        );
    }
    if let Some(choices) = schema["oneOf"].as_array()
        && let Some(choice) = choices.iter().find(|choice| choice["type"] != "null")
    {
        return resolve(document, choice);
    }
    schema
}

fn kind(schema: &Value) -> Kind {
    let name = match &schema["type"] {
        Value::Array(names) => names.iter().find(|name| **name != "null").and_then(Value::as_str),
        name => name.as_str(),
    };
    match name.unwrap_or_else(|| panic!("a field without a type: {schema}")) {
        "string" if schema["format"] == "password" => Kind::Password,
        "string" if schema.get("format").is_some() || schema.get("enum").is_some() => Kind::Formed,
        "string" => Kind::Text,
        "integer" => Kind::Integer,
        "boolean" => Kind::Boolean,
        "array" => Kind::Array,
        "object" => Kind::Object,
        other => panic!("no mistakes are known for {other}: {schema}"),
    }
}

/// All fields of a body, those of objects inside of it too.
pub fn fields(document: &Value, schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    collect(document, schema, "", true, &mut found);
    assert!(!found.is_empty(), "a body without fields: {schema}");
    found
}

fn collect(document: &Value, schema: &Value, prefix: &str, required: bool, found: &mut Vec<Field>) {
    let schema = resolve(document, schema);
    for (name, field) in schema["properties"].as_object().unwrap() {
        let field = resolve(document, field);
        let required = required
            && schema["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|other| other == name));
        let path = format!("{prefix}{name}");
        let kind = kind(field);
        if kind == Kind::Object && field.get("properties").is_some() {
            collect(document, field, &format!("{path}."), required, found);
        }
        found.push(Field { path, kind, required });
    }
}

/// A value that the type accepts; whether the rules do is another matter.
pub fn value(document: &Value, schema: &Value) -> Value {
    let schema = resolve(document, schema);
    match kind(schema) {
        Kind::Text => json!("x"),
        Kind::Password => json!("x"),
        Kind::Formed => match schema["enum"].as_array() {
            Some(words) => words[0].clone(),
            None if schema["format"] == "uuid" => json!(db_core::Clock::System.uuid()),
            None if schema["format"] == "date-time" => json!("2030-01-01T00:00:00Z"),
            None => json!("x"),
        },
        Kind::Integer => json!(1),
        Kind::Boolean => json!(true),
        Kind::Array => json!([]),
        Kind::Object => {
            let mut object = Map::new();
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                object.insert(name.clone(), value(document, field));
            }
            Value::Object(object)
        }
    }
}

/// A body whose types all fit, but for the field at that path.
pub fn with(document: &Value, schema: &Value, path: &str, replaced: Value) -> Value {
    let mut body = value(document, schema);
    let pointer = format!("/{}", path.replace('.', "/"));
    *body
        .pointer_mut(&pointer)
        .unwrap_or_else(|| panic!("no {path} in the body")) = replaced;
    body
}
