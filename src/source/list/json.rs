//! Lists as JSON Lines: an object a row.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::rows::{COLUMNS, Each, Form, Row, Wrong, finite, misspelt};

pub(super) fn each_row(text: &str, each: &mut Each<'_>) -> Result<(), Wrong> {
    let mut target = Vec::new();
    for (line, object) in (1..).zip(text.split('\n')) {
        if object.trim().is_empty() {
            continue;
        }
        let Object([path, class, number, vector]) = parsed(line, object)?;
        let path = self::path(line, path.as_ref())?;
        let class = class.as_ref().map(|class| self::class(line, class)).transpose()?;
        let class = class.as_deref().map(str::trim).filter(|class| !class.is_empty());
        let form = self::target(line, number.as_ref(), vector.as_ref(), &mut target)?;
        if each(&Row { line, path, class, form, target: &target })?.is_break() {
            break;
        }
    }
    Ok(())
}

fn parsed(line: u64, object: &str) -> Result<Object, Wrong> {
    serde_json::from_str(object).map_err(|error| {
        let message = error.to_string();
        // It says where as well, in lines of this one line.
        let message = message.rsplit_once(" at line ").map_or(&*message, |(what, _)| what);
        Wrong::new(line, format!("not a row, at character {}: {message}", error.column()))
    })
}

/// What stands under the known keys; `null` is nothing.
struct Object([Option<Value>; COLUMNS.len()]);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the key `path`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut values: [Option<Value>; COLUMNS.len()] = Default::default();
                let mut seen = [false; COLUMNS.len()];
                while let Some(Key(column)) = map.next_key()? {
                    let Some(column) = column else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    if std::mem::replace(&mut seen[column], true) {
                        let name = COLUMNS[column];
                        return Err(Error::custom(format_args!("there are two keys `{name}`")));
                    }
                    values[column] = map.next_value()?;
                }
                Ok(Object(values))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Which of the known keys it is, if any.
struct Key(Option<usize>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
                match misspelt(name) {
                    Some(what) => Err(E::custom(what)),
                    None => Ok(Key(COLUMNS.iter().position(|known| *known == name))),
                }
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

fn wrong(line: u64, key: &str, value: &Value, expected: &str) -> Wrong {
    match value {
        Value::String(text) => Wrong::value(line, key, text, expected),
        other => Wrong::new(line, format!("{key} is {}: {expected}", kind(other))),
    }
}

/// What a value is, in words; a number as it is.
fn kind(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string().into(),
        Value::Number(number) => number.to_string().into(),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

fn path(line: u64, path: Option<&Value>) -> Result<&str, Wrong> {
    match path {
        Some(Value::String(path)) => Ok(path),
        Some(other) => Err(wrong(line, "path", other, "expected a text")),
        None => Err(Wrong::new(line, "there is no `path`; name the image, or remove the row")),
    }
}

fn class(line: u64, class: &Value) -> Result<Cow<'_, str>, Wrong> {
    match class {
        Value::String(class) => Ok(class.into()),
        // One that is too large is refused with those of tables.
        Value::Number(number) if number.is_u64() => Ok(number.to_string().into()),
        Value::Number(number) => Err(Wrong::value(
            line,
            "class",
            &number.to_string(),
            "expected a whole number from 0 to 2147483647, or a text",
        )),
        other => Err(wrong(line, "class", other, "expected a text or a whole number from 0 on")),
    }
}

fn target(
    line: u64,
    number: Option<&Value>,
    vector: Option<&Value>,
    target: &mut Vec<f32>,
) -> Result<Form, Wrong> {
    target.clear();
    match (number, vector) {
        (None, None) => Ok(Form::Missing),
        (Some(number), None) => {
            target.push(float(line, "number", number)?);
            Ok(Form::Number)
        }
        (None, Some(Value::Array(values))) if !values.is_empty() => {
            for value in values {
                target.push(float(line, "vector", value)?);
            }
            Ok(Form::Vector)
        }
        (None, Some(other)) => Err(wrong(line, "vector", other, "expected an array of numbers")),
        (Some(_), Some(_)) => {
            let what = "number and vector are both given; a sample has one target";
            Err(Wrong::new(line, what))
        }
    }
}

fn float(line: u64, key: &str, value: &Value) -> Result<f32, Wrong> {
    match value.as_f64() {
        Some(number) => finite(line, key, value, number as f32),
        None => Err(wrong(line, key, value, "expected a number")),
    }
}
