//! Samples that are left out by name: a list, the file it is kept in, and which
//! samples of a source it means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::name::root_names;
use super::name_bytes;
use crate::error::{Error, Result};
use crate::random::mix;

/// U+FEFF: as the first of a text it says that this is UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Samples that are left out, by their paths: those that a
/// [survey](crate::survey::Survey::write_quarantine) found broken, or others.
///
/// Its file is text with a path a line, as the source's listing has it (relative
/// to the root, `/` between folders) or absolute. Empty lines, and lines that begin
/// with `#`, say nothing. What a line cannot hold is written with a backslash: `\\`
/// is one, `\n` and `\r` are line breaks, `\xNN` is a byte by two hexadecimal
/// digits, and `\#` begins a name that begins with `#`. Other bytes stand for
/// themselves, whatever their encoding.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::{Loader, SkipList};
///
/// let file = photos.as_ref().join("skip.txt");
/// std::fs::write(&file, "# truncated\ncats/0.ppm\ndogs/3.ppm\n")?;
/// let skip = SkipList::load(&file)?;
/// let mut loader = Loader::folder(&photos).size(32, 32).skip_list(skip).build()?;
/// let images: usize = loader.epoch(0)?.map(|batch| batch.map_or(0, |batch| batch.len())).sum();
/// assert_eq!(images, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SkipList(Arc<Names>);

struct Names {
    /// What it is called in messages.
    name: PathBuf,
    /// Each with its number in the list.
    paths: HashMap<PathBuf, usize>,
    some_absolute: bool,
    hash: u64,
}

impl SkipList {
    /// These paths.
    pub fn new<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self::named(PathBuf::from("a list"), paths.into_iter().map(Into::into))
    }

    fn named(name: PathBuf, all: impl IntoIterator<Item = PathBuf>) -> Self {
        let (mut paths, mut hash) = (HashMap::new(), 0_u64);
        for path in all {
            let (path, number) = (plain(&path), paths.len());
            // A sum, for the order says nothing.
            let of_path = mix(XxHash3_64::oneshot(&name_bytes(&path)));
            if let Entry::Vacant(place) = paths.entry(path) {
                place.insert(number);
                hash = hash.wrapping_add(of_path);
            }
        }
        let some_absolute = paths.keys().any(|path| path.is_absolute());
        SkipList(Arc::new(Names { name, paths, some_absolute, hash }))
    }

    /// Reads a list from its file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when it cannot be read, or
    /// with the number of the first line that is wrong.
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let text = std::fs::read(file).map_err(|error| {
            let reason = format!("it cannot be read: {error}. Give a list of paths, one a line");
            Error::config("skip_list", file.display(), reason)
        })?;
        let paths = parse(&text).map_err(|(line, reason)| {
            Error::config("skip_list", format_args!("{}, line {line}", file.display()), reason)
        })?;
        Ok(Self::named(file.to_owned(), paths))
    }

    /// The number of paths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.paths.len()
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.paths.is_empty()
    }

    /// Tells of a sample's path whether it is left out of a source with this root.
    pub fn below(&self, root: &Path) -> impl Fn(&Path) -> bool + use<> {
        let below = Below::new(self, root);
        move |path| below.find(path).is_some()
    }

    /// The paths, in the list's order.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = self.0.paths.iter().collect();
        paths.sort_unstable_by_key(|(_, number)| **number);
        paths.into_iter().map(|(path, _)| path.clone()).collect()
    }

    /// Whatever its order.
    pub(crate) fn hash(&self) -> u64 {
        self.0.hash
    }

    /// The file that it was read from, or `a list`.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.0.name
    }
}

impl fmt::Debug for SkipList {
    /// Without the paths, of which there may be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SkipList({}, {} paths)", self.0.name.display(), self.len())
    }
}

/// However a path is spelt: `./a.jpg` is `a.jpg`.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// A list beside the root that its relative paths start at.
pub(super) struct Below {
    list: SkipList,
    /// As [`root_names`] has them.
    roots: Vec<PathBuf>,
}

impl Below {
    pub(super) fn new(list: &SkipList, root: &Path) -> Self {
        let roots = root_names(root).iter().map(|root| plain(root)).collect();
        Below { list: list.clone(), roots }
    }

    /// The number in the list of the path that means this sample.
    pub(super) fn find(&self, sample: &Path) -> Option<usize> {
        let Names { paths, some_absolute, .. } = &*self.list.0;
        let sample = plain(sample);
        if let Some(&number) = paths.get(&sample) {
            return Some(number);
        }
        if sample.is_absolute() {
            let mut below = self.roots.iter().filter_map(|root| sample.strip_prefix(root).ok());
            return below.find_map(|path| paths.get(path).copied());
        }
        let mut spelt = self.roots.iter().filter(|_| *some_absolute);
        spelt.find_map(|root| paths.get(&root.join(&sample)).copied())
    }

    /// Says which paths of the list mean no sample: files may have been mended,
    /// renamed or removed since.
    pub(super) fn warn_of_unmatched(&self, matched: &[bool]) {
        let names = &*self.list.0;
        let unmatched = matched.iter().filter(|matched| !**matched).count();
        let first = names.paths.iter().filter(|(_, number)| !matched[**number]);
        if let Some((first, _)) = first.min_by_key(|(_, number)| **number) {
            let (list, all, first) = (names.name.display(), matched.len(), first.display());
            tracing::warn!(
                "skip list {list}: {unmatched} of {all} paths match no sample; the first: {first}"
            );
        }
    }
}

/// The paths in a list's text, or the number of a line and what is wrong with it.
fn parse(text: &[u8]) -> Result<Vec<PathBuf>, (usize, String)> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let mut paths = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let path = unescaped(line).and_then(path_of).map_err(|reason| (number, reason))?;
        // The root itself, however it is spelt, is no sample.
        if plain(&path).as_os_str().is_empty() {
            return Err((number, "expected a path".to_owned()));
        }
        paths.push(path);
    }
    Ok(paths)
}

fn unescaped(line: &[u8]) -> Result<Vec<u8>, String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(line.len()), line);
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digit = |digit: u8| (digit as char).to_digit(16);
        let (byte, behind) = match rest {
            [b'\\', behind @ ..] => (b'\\', behind),
            [b'n', behind @ ..] => (b'\n', behind),
            [b'r', behind @ ..] => (b'\r', behind),
            [b'#', behind @ ..] => (b'#', behind),
            [b'x', high, low, behind @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => ((high * 16 + low) as u8, behind),
                _ => return Err(r"expected two hexadecimal digits behind \x".to_owned()),
            },
            [b'x', ..] => return Err(r"expected two hexadecimal digits behind \x".to_owned()),
            _ => {
                let reason = r"expected \\, \n, \r, \# or \xNN";
                return Err(format!(
                    r"{reason}: a backslash is written \\, between folders comes /"
                ));
            }
        };
        bytes.push(byte);
        rest = behind;
    }
    Ok(bytes)
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps)]
fn path_of(bytes: Vec<u8>) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> Result<PathBuf, String> {
    String::from_utf8(bytes).map(Into::into).map_err(|_| "expected UTF-8".to_owned())
}

/// Writes a path as a line of a list's file.
pub(crate) fn write_path(out: &mut impl Write, path: &Path) -> io::Result<()> {
    let bytes = name_bytes(path);
    // What is text stays readable; a space at the end would not be seen.
    let text = std::str::from_utf8(&bytes).is_ok();
    let last = bytes.len().saturating_sub(1);
    // What looks like a byte order mark would be taken for one in the first line.
    let mark = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' => out.write_all(br"\\")?,
            b'\n' => out.write_all(br"\n")?,
            b'\r' => out.write_all(br"\r")?,
            b'#' if at == 0 => out.write_all(br"\#")?,
            0..=31 | 127 => write!(out, r"\x{byte:02x}")?,
            b' ' if at == last => write!(out, r"\x{byte:02x}")?,
            128.. if !text || at < mark => write!(out, r"\x{byte:02x}")?,
            _ => out.write_all(&[byte])?,
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<PathBuf> {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_list_is_paths_comments_and_empty_lines() {
        let text = "\u{feff}# broken\n\na/b.jpg\r\n  c d.png\n\\#1.jpg\n\\\\\\n\\r\\x41\\x0a";
        let expected = ["a/b.jpg", "  c d.png", "#1.jpg", "\\\n\rA\n"];
        assert_eq!(parsed(text), expected.map(PathBuf::from));
        assert!(parsed("").is_empty() && parsed("\n#\n").is_empty());
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line, part) in [
            ("a\n#\nb\\q", 3, "between folders comes /"),
            ("\\", 1, "expected \\\\"),
            ("a\n\\x4", 2, "two hexadecimal digits"),
            ("\\xg0", 1, "two hexadecimal digits"),
            ("a\n./", 2, "expected a path"),
        ] {
            let (number, reason) = parse(text.as_bytes()).unwrap_err();
            assert_eq!(number, line, "{text}");
            assert!(reason.contains(part), "{reason}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\n\\q\n").unwrap();
        let error = SkipList::load(file.path()).unwrap_err();
        assert_eq!(error.field(), Some("skip_list"));
        assert!(error.to_string().contains(", line 2: expected"), "{error}");
        let error = SkipList::load("/no/such/list").unwrap_err();
        assert!(error.to_string().contains("/no/such/list: it cannot be read"), "{error}");
    }

    #[cfg(unix)]
    proptest! {
        /// Whatever a file is called, its line means it; in the first line too.
        #[test]
        fn every_name_survives(
            bytes in prop::collection::vec(1_u8.., 1..40), mark: bool, first: bool,
        ) {
            let bytes = if mark { [MARK, &bytes].concat() } else { bytes };
            let path = path_of(bytes).unwrap();
            prop_assume!(path != Path::new("."), "a folder's own name is no file's");
            let mut text = if first { Vec::new() } else { b"# cause\n".to_vec() };
            let before = text.len();
            write_path(&mut text, &path).unwrap();
            prop_assert_eq!(text[before..].iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(parse(&text).unwrap(), [path]);
        }
    }

    #[test]
    fn lines_are_readable() {
        let line = |path: &str| {
            let mut line = Vec::new();
            write_path(&mut line, Path::new(path)).unwrap();
            String::from_utf8(line).unwrap()
        };
        assert_eq!(line("cats/é 1.jpg"), "cats/é 1.jpg\n");
        assert_eq!(line("#a\\\n\t "), "\\#a\\\\\\n\\x09\\x20\n");
        assert_eq!(line("\u{feff}é\u{feff}"), "\\xef\\xbb\\xbfé\u{feff}\n");
    }

    #[test]
    fn however_a_path_is_spelt() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let list = SkipList::new([PathBuf::from("./a/1.jpg"), root.join("a/2.jpg")]);
        let skips = list.below(root);
        for (path, skipped) in [
            (PathBuf::from("a/1.jpg"), true),
            ("a/./1.jpg".into(), true),
            ("a/2.jpg".into(), true),
            ("a/3.jpg".into(), false),
            ("1.jpg".into(), false),
            (root.join("a/1.jpg"), true),
            (root.join("a/2.jpg"), true),
            (root.join("a/3.jpg"), false),
        ] {
            assert_eq!(skips(&path), skipped, "{}", path.display());
        }
    }

    #[test]
    fn the_hash_is_of_the_set() {
        let hash = |paths: &[&str]| SkipList::new(paths).hash();
        assert_eq!(hash(&["a", "b"]), hash(&["b", "./a", "a"]));
        assert_ne!(hash(&["a", "b"]), hash(&["a"]));
        assert_ne!(hash(&["a"]), hash(&[]));
        assert_eq!(SkipList::new(["a", "./a"]).len(), 1);
    }
}
