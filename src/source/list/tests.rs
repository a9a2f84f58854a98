use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::source::{Entry, Index};

/// What a list in a file of this name comes to.
fn listed(name: &str, content: &[u8]) -> Result<(Vec<Entry>, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, content).unwrap();
    let index = Index::new(Default::default());
    index.finish(List::open(file)?.list(&mut Listing::new(&index)));
    index.error().map_or(Ok(()), Err)?;
    let entries = (0..).map_while(|at| index.entry(at)).collect();
    Ok((entries, index.classes().to_vec()))
}

fn csv(content: &str) -> Vec<Entry> {
    listed("list.csv", content.as_bytes()).unwrap().0
}

fn entry(path: &str, label: Option<u32>, target: &[f32]) -> Entry {
    Entry { path: PathBuf::from(path), label, target: target.into() }
}

/// The message behind the file's name.
fn wrong(name: &str, content: &[u8]) -> String {
    let error = listed(name, content).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert_eq!(error.path().and_then(Path::file_name), Some(OsStr::new(name)));
    let message = error.to_string();
    message[message.find(name).unwrap() + name.len() + 2..].to_owned()
}

#[track_caller]
fn says(name: &str, content: &str, line: u64, words: &str) {
    let message = wrong(name, content.as_bytes());
    let start = format!("line {line}: ");
    assert!(message.starts_with(&start) && message.contains(words), "{message:?}, not {words:?}");
}

#[test]
fn both_formats_say_the_same() {
    let expected = [
        entry("a/1.png", Some(1), &[1.5]),
        entry("b.png", None, &[-2.0]),
        entry("a/1.png", Some(0), &[3e5]),
    ];
    let table = "path,class,number\na/1.png,b,1.5\nb.png,,-2\na/1.png,a,3e5\n";
    let lines = "{\"path\": \"a/1.png\", \"class\": \"b\", \"number\": 1.5}\n\
                 {\"number\": -2, \"path\": \"b.png\", \"class\": null, \"size\": [1, 2]}\n\
                 {\"path\": \"a/1.png\", \"class\": \"a\", \"number\": 3e5}";
    let names = vec!["a".to_owned(), "b".to_owned()];
    for (name, content) in [
        ("l.csv", table.to_owned()),
        ("l.CSV", table.replace('\n', "\r\n")),
        ("l.csv", table.replace('\n', "\n\n\r\n")),
        ("l.csv", format!("\u{feff}{}", table.trim_end())),
        ("l.tsv", table.replace(',', "\t")),
        ("l.jsonl", lines.to_owned()),
        ("l.ndjson", format!("\u{feff}\n{}\r\n\n", lines.replace('\n', "\r\n  \n"))),
    ] {
        let found = listed(name, content.as_bytes()).unwrap();
        assert_eq!(found, (expected.to_vec(), names.clone()), "{name}: {content:?}");
    }
}

#[test]
fn vectors_are_arrays_or_numbers_in_a_field() {
    let expected = [entry("a", None, &[1.0, -0.5]), entry("b", None, &[0.0, 2.0])];
    assert_eq!(csv("path,vector\na,1 -0.5\nb, 0  2 \n"), expected);
    assert_eq!(csv("vector,path\n1;-0.5,a\n0; 2,b\n"), expected);
    let lines = b"{\"path\":\"a\",\"vector\":[1,-0.5]}\n{\"path\":\"b\",\"vector\":[0.0,2]}";
    assert_eq!(listed("l.jsonl", lines).unwrap().0, expected);
}

#[test]
fn fields_may_be_quoted_and_columns_be_others() {
    let table =
        "name, path ,class\n\"a \"\"quoted\"\"\nname\",\"a,1.png\",\" cat \"\nb,b.png,dog\n";
    assert_eq!(csv(table), [entry("a,1.png", Some(0), &[]), entry("b.png", Some(1), &[])]);
}

#[test]
fn whole_numbers_are_their_own_labels() {
    let (entries, classes) = listed("l.csv", b"path,class\na,10\nb,2\nc,\n").unwrap();
    let labels: Vec<Option<u32>> = entries.iter().map(|entry| entry.label).collect();
    assert_eq!(labels, [Some(10), Some(2), None]);
    assert_eq!((classes.len(), &*classes[10]), (11, "10"));
    let lines = b"{\"path\":\"a\",\"class\":10}\n{\"path\":\"b\",\"class\":\"2\"}";
    assert_eq!(listed("l.jsonl", lines).unwrap().0[1].label, Some(2));
}

#[test]
fn a_wrong_header_says_what_it_has() {
    says("l.csv", "file,class\na,b\n", 1, "no column `path`; found `file`, `class`");
    says("l.csv", "\n\npath;class\na;b\n", 3, "separated by commas");
    says("l.tsv", "path,class\n", 1, "separated by tabs");
    says("l.csv", "path,class,path\n", 1, "two columns `path`");
    says("l.csv", "path,Class\na,b\n", 1, "`Class` is to be written `class`");
    says("l.csv", "", 1, "the list is empty");
}

#[test]
fn a_wrong_row_of_a_table_names_its_line() {
    says("l.csv", "path\na\n\" \"\n", 3, "path is empty");
    says("l.csv", "path,class\na,b\n,b\n", 3, "path is empty");
    says("l.csv", "path,class\na,b\n..,b\n", 3, "path = \"..\"");
    says("l.csv", "path,number\na,1\n\nb,one\n", 4, "number = \"one\": expected a number");
    says("l.csv", "path,number\r\na,1\r\n\r\nb,NaN\r\n", 4, "number = \"NaN\": expected a finite");
    says("l.csv", "path,number\na,1\nb,-inf\n", 3, "finite");
    says("l.csv", "path,number\na,1\nb,1e39\n", 3, "finite number of 32 bits");
    says("l.csv", "path,number\na,1\nb,\n", 3, "it has no target, and line 2 has a number");
    says("l.csv", "path,number\na,\n\nb,1\n", 4, "it has a number, and line 2 has no target");
    says(
        "l.csv",
        "path,vector\na,1 2\nb,1 2 3\n",
        3,
        "a vector of 3, and line 2 has a vector of 2",
    );
    says("l.csv", "path,vector\na,1;;2\n", 2, "vector = \"1;;2\"");
    says("l.csv", "path,vector\na,\"[1, 2]\"\n", 2, "separated by spaces or by semicolons");
    says("l.csv", "path,vector,number\na,1,1\n", 2, "both given");
    says(
        "l.csv",
        "path,vector,number\na,1,\nb,,1\n",
        3,
        "it has a number, and line 2 has a vector",
    );
    says("l.csv", "path,class\na,b,c\n", 2, "it has 3 fields and the first line 2");
    says("l.csv", "path,class\n\"a\n\n\",b\nc\n", 5, "it has 1 field and");
    says("l.csv", "path,class\na,1\nb,-1\n", 3, "class = \"-1\"");
    says("l.csv", "path,class\na,0.0\n", 2, "class = \"0.0\"");
    says("l.csv", "path,class\na,b\nc,\"d\ne,f\ng,h\n", 3, "never closed");
    // Two rows that would be one, and one with more than it says.
    says("l.csv", "path,class\na,\"b\nc,\"d\"\ne,f\n", 2, "text behind a closing quote");
    says("l.csv", "path,class\na,b\nc,\"d\"e\n", 3, "text behind a closing quote");
    says("l.csv", "path,class\na,b\n\"c\"d,e\n", 3, "text behind a closing quote");
    says("l.csv", "path,class\na,4294967296\n", 2, "class = \"4294967296\"");
    says("l.csv", "path,Label\na,4\n", 1, "`Label` would not be used; rename it");
    says("l.csv", "path,class\na,b\n\"c\"\"d,e\n", 3, "never closed");
}

#[test]
fn blanks_around_values_are_left_out() {
    for (table, expected) in [
        ("class,path\ncat, a.ppm \n  \ndog,b.ppm\n", ["a.ppm", "b.ppm"]),
        ("class,path\ncat,\" a.ppm\"\ndog, b.ppm\n", [" a.ppm", "b.ppm"]),
    ] {
        let mut found = Vec::new();
        let each = &mut |row: &rows::Row<'_>| {
            found.push(row.path.to_owned());
            Ok(ControlFlow::Continue(()))
        };
        separated::each_row(table, b',', each).unwrap();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_wrong_row_as_json_names_its_line() {
    let good = "{\"path\":\"a\",\"number\":1}\n\n";
    let says = |row: &str, words: &str| says("l.jsonl", &format!("{good}{row}\n"), 3, words);
    says("{\"path\":\"a\"", "at character");
    says("[\"a\"]", "expected an object with the key `path`");
    says("{}", "there is no `path`");
    says("{\"path\":null}", "there is no `path`");
    says("{\"path\":7}", "path is 7: expected a text");
    says("{\"path\":\"\"}", "path is empty");
    says("{\"path\":\"a\",\"path\":\"b\"}", "two keys `path`");
    says("{\"path\":\"a\",\"Number\":1}", "`Number` is to be written `number`");
    says(
        "{\"path\":\"a\",\"class\":true,\"number\":1}",
        "class is true: expected a text or a whole",
    );
    says("{\"path\":\"a\",\"class\":-1,\"number\":1}", "class = \"-1\"");
    says("{\"path\":\"a\",\"class\":1.0,\"number\":1}", "class = \"1.0\"");
    says("{\"path\":\"a\",\"class\":1.5,\"number\":1}", "class = \"1.5\"");
    says("{\"path\":\"a\",\"class\":2147483648,\"number\":1}", "class = \"2147483648\"");
    says("{\"path\":\"a\",\"number\":\"1\"}", "number = \"1\": expected a number");
    says("{\"path\":\"a\",\"number\":NaN}", "at character");
    says("{\"path\":\"a\",\"number\":1e40}", "finite");
    says("{\"path\":\"a\"}", "it has no target, and line 1 has a number");
    says("{\"path\":\"a\",\"vector\":[1]}", "it has a vector of 1, and line 1 has a number");
    says("{\"path\":\"a\",\"vector\":[]}", "vector is an array: expected an array of numbers");
    says("{\"path\":\"a\",\"vector\":[1,null]}", "vector is null: expected a number");
    says("{\"path\":\"a\",\"vector\":1}", "vector is 1: expected an array");
    says("{\"path\":\"a\",\"vector\":[1],\"number\":1}", "both given");
}

#[test]
fn text_is_utf_8() {
    let message = wrong("l.csv", b"path\na\n\xff\n");
    assert!(message.starts_with("line 3: it is not UTF-8"), "{message}");
    let message = wrong("l.jsonl", b"\xff\xfe{\0");
    assert!(message.starts_with("line 1: it is not UTF-8"), "{message}");
}

#[test]
fn a_list_without_rows_holds_no_image() {
    for (name, content) in [("l.csv", "path,class\n\n"), ("l.jsonl", "\n"), ("l.jsonl", "")] {
        let message = wrong(name, content.as_bytes());
        assert!(message.starts_with("no image was found there"), "{message}");
    }
}

#[test]
fn only_lists_are_opened() {
    let error = List::open("photos.xlsx").unwrap_err();
    assert_eq!(error.field(), Some("list"));
    assert!(error.to_string().contains(".csv, .tsv, .jsonl or .ndjson"), "{error}");
    let error = List::open("missing.csv").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("list.csv");
    std::fs::create_dir(&inside).unwrap();
    assert!(List::open(inside).unwrap_err().to_string().contains("it is not a file"));
}

/// A field as a table has it.
fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn lines_are_those_of_an_editor(
        rows in prop::collection::vec(("[a-c,\" ]{0,3}x", "[a\", \n]{0,5}", 0..3_usize), 1..8),
        crlf: bool,
        wrong in 0..8_usize,
    ) {
        let wrong = wrong % rows.len();
        let mut table = "number,path,note\n".to_owned();
        let (mut paths, mut line) = (Vec::new(), 0);
        for (at, (path, note, blank)) in rows.iter().enumerate() {
            table += &"\n".repeat(*blank);
            if at == wrong {
                line = 1 + rows::line_breaks(table.as_bytes());
            }
            table += &format!("1,{},{}\n", quoted(path), quoted(note));
            paths.push(path.as_str());
        }
        let ends = |table: String| if crlf { table.replace('\n', "\r\n") } else { table };
        let mut lines = Vec::new();
        let mut found = Vec::new();
        separated::each_row(&ends(table.clone()), b',', &mut |row| {
            found.push(row.path.to_owned());
            lines.push(row.line);
            Ok(ControlFlow::Continue(()))
        }).unwrap();
        prop_assert_eq!(found, paths);
        prop_assert_eq!(lines[wrong], line, "{:?}", table);
    }

    #[test]
    fn any_text_is_rows_or_an_error_with_a_line(text in "[a-b\",\r\n{}: 0-1]{0,40}", json: bool) {
        let text = if json { text } else { format!("path,class\n{text}") };
        let lines = 1..=1 + rows::line_breaks(text.as_bytes());
        let mut check = |row: &rows::Row<'_>| {
            assert!(lines.contains(&row.line));
            Ok(ControlFlow::Continue(()))
        };
        let read = match json {
            true => json::each_row(&text, &mut check),
            false => separated::each_row(&text, b',', &mut check),
        };
        if let Err(wrong) = read {
            prop_assert!(lines.contains(&wrong.line));
        }
    }
}
