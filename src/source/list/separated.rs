//! Lists as tables: a line of names, then values separated by commas or tabs.

use csv::{ReaderBuilder, StringRecord};

use super::rows::{COLUMNS, Each, Form, Row, Wrong, finite, line_breaks, misspelt};

/// What others call what samples are told apart by, or what is predicted.
const LABELS: [&str; 6] = ["category", "classes", "label", "labels", "target", "targets"];

/// Where the columns are.
struct Header {
    fields: usize,
    path: usize,
    class: Option<usize>,
    number: Option<usize>,
    vector: Option<usize>,
}

pub(super) fn each_row(text: &str, separator: u8, each: &mut Each<'_>) -> Result<(), Wrong> {
    let mut records = Records::new(text, separator);
    let mut record = StringRecord::new();
    let Some(line) = records.next(&mut record)? else {
        return Err(Wrong::new(1, "the list is empty; its first line names the columns"));
    };
    let header = Header::new(line, &record, separator)?;
    let mut target = Vec::new();
    while let Some(line) = records.next(&mut record)? {
        if record.len() == 1
            && header.fields > 1
            && record.iter().all(|cell| cell.trim().is_empty())
        {
            // A line of blanks.
            continue;
        }
        let row = header.row(line, &record, records.quoted, &mut target)?;
        if each(&row)?.is_break() {
            break;
        }
    }
    Ok(())
}

impl Header {
    fn new(line: u64, record: &StringRecord, separator: u8) -> Result<Self, Wrong> {
        let names: Vec<&str> = record.iter().map(str::trim).collect();
        let mut at = [None; COLUMNS.len()];
        for (field, name) in names.iter().enumerate() {
            if let Some(what) = misspelt(name) {
                return Err(Wrong::new(line, what));
            }
            let Some(column) = COLUMNS.iter().position(|known| known == name) else { continue };
            if at[column].replace(field).is_some() {
                return Err(Wrong::new(line, format!("there are two columns `{name}`")));
            }
        }
        let [path, class, number, vector] = at;
        let Some(path) = path else {
            let found: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let by = if separator == b'\t' { "tabs" } else { "commas" };
            let what = format!(
                "there is no column `path`; found {}. The first line names the columns, separated \
                 by {by}",
                found.join(", ")
            );
            return Err(Wrong::new(line, what));
        };
        let label = names.iter().find(|name| LABELS.contains(&name.to_lowercase().as_str()));
        if let (None, None, None, Some(label)) = (class, number, vector, label) {
            let what = format!(
                "no column `class`, `number` or `vector`, so `{label}` would not be used; rename \
                 it to one of them"
            );
            return Err(Wrong::new(line, what));
        }
        Ok(Header { fields: record.len(), path, class, number, vector })
    }

    fn row<'a>(
        &self,
        line: u64,
        record: &'a StringRecord,
        quoted: bool,
        target: &'a mut Vec<f32>,
    ) -> Result<Row<'a>, Wrong> {
        if record.len() != self.fields {
            let fields = if record.len() == 1 { "field" } else { "fields" };
            let what = format!(
                "it has {} {fields} and the first line {}; quote fields that hold a separator, \
                 with no blank before the quote",
                record.len(),
                self.fields
            );
            return Err(Wrong::new(line, what));
        }
        let cell = |column: Option<usize>| {
            let value = column.and_then(|column| record.get(column)).map(str::trim);
            value.filter(|value| !value.is_empty())
        };
        target.clear();
        let form = match (cell(self.number), cell(self.vector)) {
            (None, None) => Form::Missing,
            (Some(value), None) => {
                target.push(number(line, "number", value, value)?);
                Form::Number
            }
            (None, Some(value)) => {
                vector(line, value, target)?;
                Form::Vector
            }
            (Some(_), Some(_)) => {
                let what = "number and vector are both given; a sample has one target";
                return Err(Wrong::new(line, what));
            }
        };
        let path = record.get(self.path).unwrap_or_default();
        // The blank behind a comma; one that is quoted is meant.
        let path = if quoted { path } else { path.trim() };
        Ok(Row { line, path, class: cell(self.class), form, target })
    }
}

/// `part` of what stands in `column`.
fn number(line: u64, column: &str, value: &str, part: &str) -> Result<f32, Wrong> {
    match part.trim().parse() {
        Ok(number) => finite(line, column, &value, number),
        Err(_) if column == "vector" => {
            let expected = "expected numbers separated by spaces or by semicolons";
            Err(Wrong::value(line, column, value, expected))
        }
        Err(_) => Err(Wrong::value(line, column, value, "expected a number")),
    }
}

fn vector(line: u64, value: &str, target: &mut Vec<f32>) -> Result<(), Wrong> {
    let mut add = |part| {
        target.push(number(line, "vector", value, part)?);
        Ok(())
    };
    match value.contains(';') {
        // Nothing between two of them is a number that is missing.
        true => value.split(';').try_for_each(&mut add),
        false => value.split_whitespace().try_for_each(&mut add),
    }
}

/// The records of a table with the lines that they begin in.
struct Records<'a> {
    text: &'a str,
    separator: u8,
    reader: csv::Reader<&'a [u8]>,
    /// `line` is the line of the byte `at`.
    at: usize,
    line: u64,
    /// There is a quote in the last record.
    quoted: bool,
}

impl<'a> Records<'a> {
    fn new(text: &'a str, separator: u8) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        Records { text, separator, reader, at: 0, line: 1, quoted: false }
    }

    /// The next record's line. The reader's own is where it began to look, which
    /// is before the end of the line above and before empty lines.
    fn next(&mut self, record: &mut StringRecord) -> Result<Option<u64>, Wrong> {
        let bytes = self.text.as_bytes();
        let from = self.reader.position().byte() as usize;
        let read = self.reader.read_record(record);
        let blank = bytes[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = from + blank;
        self.line += line_breaks(&bytes[self.at..start]);
        self.at = start;
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(Wrong::new(self.line, error.to_string())),
        }
        let end = self.reader.position().byte() as usize;
        self.quoted = bytes[start..end].contains(&b'"');
        match quotes(&bytes[start..end], self.separator) {
            // Readers of tables let both pass, and with them rows, or all from there on.
            Quotes::Open if end == bytes.len() => {
                let what = "a quote is opened and never closed; close it, or double a quote that \
                            is meant";
                Err(Wrong::new(self.line, what))
            }
            Quotes::TextBehind => {
                let what = "there is text behind a closing quote; double a quote that is meant, \
                            and quote the whole field";
                Err(Wrong::new(self.line, what))
            }
            Quotes::Open | Quotes::Good => Ok(Some(self.line)),
        }
    }
}

/// How the quotes of a record are.
enum Quotes {
    Good,
    /// The last field is still quoted at the end.
    Open,
    /// A quoted field goes on behind its closing quote.
    TextBehind,
}

fn quotes(record: &[u8], separator: u8) -> Quotes {
    enum At {
        Start,
        Plain,
        Quoted,
        Quote,
    }
    let mut at = At::Start;
    for &byte in record {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Start | At::Quote, b'"') => At::Quoted,
            (_, b'\r' | b'\n') => At::Start,
            (_, byte) if byte == separator => At::Start,
            (At::Quote, _) => return Quotes::TextBehind,
            _ => At::Plain,
        };
    }
    if matches!(at, At::Quoted) { Quotes::Open } else { Quotes::Good }
}
