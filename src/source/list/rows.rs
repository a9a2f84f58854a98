//! A row of a list in any format, what can be wrong with it, and what all rows
//! have in common.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use super::classes::is_no_number;
use super::inside::Root;

/// The columns, or keys, that mean something.
pub(super) const COLUMNS: [&str; 4] = ["path", "class", "number", "vector"];

/// One row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) line: u64,
    pub(super) path: &'a str,
    /// Never empty.
    pub(super) class: Option<&'a str>,
    pub(super) form: Form,
    /// As `form` says, all finite.
    pub(super) target: &'a [f32],
}

/// What a row's target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Missing,
    Number,
    Vector,
}

/// Takes the rows one after the other, until it has enough.
pub(super) type Each<'a> = dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, Wrong> + 'a;

/// Why a list cannot be used.
#[derive(Debug)]
pub(super) struct Wrong {
    /// From 1.
    pub(super) line: u64,
    pub(super) what: String,
}

impl Wrong {
    pub(super) fn new(line: u64, what: impl Into<String>) -> Self {
        Wrong { line, what: what.into() }
    }

    /// `value` stands in this column.
    pub(super) fn value(line: u64, column: &str, value: &str, expected: &str) -> Self {
        /// Enough to find it by.
        const SHOWN: usize = 60;
        let dots = if value.chars().nth(SHOWN).is_some() { " .." } else { "" };
        let start: String = value.chars().take(SHOWN).collect();
        Wrong::new(line, format!("{column} = {start:?}{dots}: {expected}"))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The text of a list, without a byte order mark.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Wrong> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + line_breaks(&bytes[..error.valid_up_to()]);
        Wrong::new(line, "it is not UTF-8. Save the list as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

pub(super) fn line_breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// What is wrong with the name of a column, or a key: one that differs from a
/// known name in capitals alone would be ignored, and its values be missed.
pub(super) fn misspelt(name: &str) -> Option<String> {
    let known = COLUMNS.iter().find(|known| name.eq_ignore_ascii_case(known))?;
    (name != *known).then(|| format!("`{name}` is to be written `{known}`"))
}

/// A value of a target.
pub(super) fn finite(
    line: u64,
    column: &str,
    value: &dyn fmt::Display,
    number: f32,
) -> Result<f32, Wrong> {
    match number.is_finite() {
        true => Ok(number),
        false => Err(Wrong::value(
            line,
            column,
            &value.to_string(),
            "expected a finite number of 32 bits",
        )),
    }
}

/// What all rows have in common.
pub(super) struct Survey {
    root: Root,
    /// The first row's line, and what its target is.
    first: Option<(u64, Form, usize)>,
    classes: BTreeSet<String>,
}

impl Survey {
    pub(super) fn below(root: Root) -> Self {
        Survey { root, first: None, classes: BTreeSet::new() }
    }

    /// Checks a row by itself and beside the ones before.
    pub(super) fn see(&mut self, row: &Row<'_>) -> Result<(), Wrong> {
        let Row { line, path, class, form, target } = *row;
        if path.trim().is_empty() {
            return Err(Wrong::new(line, "path is empty; name the image, or remove the row"));
        }
        if Path::new(path).file_name().is_none() {
            return Err(Wrong::value(line, "path", path, "expected the path of a file"));
        }
        if !self.root.holds(Path::new(path)) {
            let expected = "expected a path below the list's folder, without `..`. Name the \
                            folder that holds all images (List::relative_to; DIR on the command \
                            line)";
            return Err(Wrong::value(line, "path", path, expected));
        }
        let here = (form, target.len());
        let (first_line, first_form, first_len) = *self.first.get_or_insert((line, form, here.1));
        if here != (first_form, first_len) {
            let (this, first) = (described(form, here.1), described(first_form, first_len));
            let what = format!(
                "it has {this}, and line {first_line} has {first}; give all rows the same, or \
                 make two lists"
            );
            return Err(Wrong::new(line, what));
        }
        let Some(class) = class else { return Ok(()) };
        if is_no_number(class) {
            let expected = "expected a name, or a whole number from 0 to 2147483647; leave it \
                            empty where there is no class";
            return Err(Wrong::value(line, "class", class, expected));
        }
        if !self.classes.contains(class) {
            self.classes.insert(class.to_owned());
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn into_classes(self) -> BTreeSet<String> {
        self.classes
    }
}

fn described(form: Form, len: usize) -> String {
    match form {
        Form::Missing => "no target".to_owned(),
        Form::Number => "a number".to_owned(),
        Form::Vector => format!("a vector of {len}"),
    }
}
