//! The names of a source's samples in a file, to say later what has changed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::error::Result;
use crate::source::{Index, name_bytes};
use crate::unfinished::Unfinished;

/// Names that are told of what was added, and of what was removed.
const NAMED: usize = 3;

/// Writes one name a line, in the source's order.
pub(crate) fn save(index: &Index, path: &Path) -> Result<()> {
    let mut file = Unfinished::unique(path.to_owned())?;
    for at in 0.. {
        let Some(entry) = index.entry(at) else { break };
        let written = writeln!(file.writer, "{}", escaped(&name_bytes(&entry.path)));
        written.map_err(|error| file.failed(error))?;
    }
    file.finish().map(drop)
}

/// What the source has now and had not when the file was written, and the other
/// way round, in words. An error where the file cannot be read.
pub(super) fn difference(index: &Index, path: &Path) -> std::io::Result<String> {
    // How often: a list may name a file twice.
    let mut saved: HashMap<String, u64> = HashMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        *saved.entry(line?).or_default() += 1;
    }
    let mut added = Names::default();
    for at in 0.. {
        let Some(entry) = index.entry(at) else { break };
        let name = escaped(&name_bytes(&entry.path));
        match saved.get_mut(&name).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => added.add(name),
        }
    }
    let mut gone: Vec<(String, u64)> = saved.into_iter().filter(|(_, left)| *left > 0).collect();
    gone.sort_unstable();
    let mut removed = Names::default();
    for (name, times) in gone {
        (0..times).for_each(|_| removed.add(name.clone()));
    }
    if added.count + removed.count == 0 {
        return Ok("its samples are the same, but their order or their sizes are not".to_owned());
    }
    Ok(format!("{} added{added}, {} removed{removed}", added.count, removed.count))
}

#[derive(Default)]
struct Names {
    count: u64,
    first: Vec<String>,
}

impl Names {
    fn add(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name);
        }
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.count == 0 {
            return Ok(());
        }
        let more = if self.count > self.first.len() as u64 { ", .." } else { "" };
        write!(f, " ({}{more})", self.first.join(", "))
    }
}

/// A name in one line of text: what is not UTF-8, control characters and `%` as
/// `%` and two hexadecimal digits a byte.
fn escaped(name: &[u8]) -> String {
    let mut line = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '%' => line.push_str("%25"),
                letter if letter.is_control() => {
                    let mut bytes = [0; 4];
                    percent(&mut line, letter.encode_utf8(&mut bytes).as_bytes());
                }
                letter => line.push(letter),
            }
        }
        percent(&mut line, chunk.invalid());
    }
    line
}

fn percent(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        line.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list may name a file several times.
    #[test]
    fn names_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("listing");
        let listed =
            |names: &[&str]| Index::of(names.iter().map(|name| ((*name).to_owned(), None)));
        save(&listed(&["a", "b", "b"]), &file).unwrap();
        let told = |names: &[&str]| difference(&listed(names), &file).unwrap();
        assert_eq!(told(&["a", "a", "b"]), "1 added (a), 1 removed (b)");
        assert_eq!(told(&["b"]), "0 added, 2 removed (a, b)");
        let many = told(&["a", "b", "b", "c", "d", "e", "f"]);
        assert_eq!(many, "4 added (c, d, e, ..), 0 removed");
        assert!(told(&["b", "a", "b"]).starts_with("its samples are the same"));
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(escaped(b"cats/1.jpg"), "cats/1.jpg");
        assert_eq!(escaped("köter/50%\n.jpg".as_bytes()), "köter/50%25%0A.jpg");
        assert_eq!(escaped(b"a\xff\xfeb"), "a%FF%FEb");
    }
}
