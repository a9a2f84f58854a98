//! Whether the source's files are still those that complete shards were made from: a
//! source is compared by names, and another folder may have the same.

use std::io::{self, BufRead};

use serde::Deserialize;

use crate::fence::fence;
use crate::source::{Fingerprint, Index, Source};

/// Rows of a shard whose files are looked at: the first, the last, and some between.
const LOOKED_AT: u64 = 6;

/// What a line of the manifest says of the file.
#[derive(Deserialize)]
struct Line {
    index: u64,
    size: Option<u64>,
    mtime: Option<u64>,
}

pub(super) struct Origin<'a> {
    pub(super) listed: &'a Index,
    pub(super) source: &'a dyn Source,
}

impl Origin<'_> {
    /// Reads the lines of a shard's rows; what is another file now than it was, in words.
    pub(super) fn changed(
        &self,
        rows: u64,
        lines: &mut impl BufRead,
    ) -> io::Result<Option<String>> {
        let mut text = Vec::new();
        for row in 0..rows {
            text.clear();
            if lines.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            if !is_looked_at(row, rows) {
                continue;
            }
            // A line that cannot be read is for `verify` to tell.
            let changed = serde_json::from_slice(&text).ok().and_then(|line| self.file(&line));
            if changed.is_some() {
                return Ok(changed);
            }
        }
        Ok(None)
    }

    /// Reads past the lines of as many rows.
    pub(super) fn pass_over(rows: u64, lines: &mut impl BufRead) -> io::Result<()> {
        for _ in 0..rows {
            if lines.skip_until(b'\n')? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn file(&self, line: &Line) -> Option<String> {
        let path = self.listed.entry(line.index)?.path;
        let size = line.size?;
        let shown = self.source.root().join(&path);
        let shown = shown.display();
        let told = fence(|| self.source.fingerprint(&path));
        let Fingerprint { bytes, version } = match told.and_then(|told| told) {
            Ok(now) => now?,
            Err(cause) => return Some(format!("{shown} cannot be looked at: {cause}")),
        };
        if size != bytes {
            return Some(format!("{shown} had {size} bytes and has {bytes} now"));
        }
        // Where files have no times, their size alone must do.
        let then = line.mtime.filter(|&then| then != 0 && version != 0 && then != version)?;
        Some(format!("{shown} was last changed at {then} and now at {version} (ns since 1970)"))
    }
}

fn is_looked_at(row: u64, rows: u64) -> bool {
    let last = u128::from(rows.saturating_sub(1));
    (0..LOOKED_AT).any(|nth| u128::from(nth) * last / u128::from(LOOKED_AT - 1) == u128::from(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_are_looked_at() {
        for rows in [1, 2, 5, 6, 7, 1000] {
            let looked: Vec<u64> = (0..rows).filter(|&row| is_looked_at(row, rows)).collect();
            assert_eq!((looked[0], looked[looked.len() - 1]), (0, rows - 1));
            assert_eq!(looked.len() as u64, rows.min(LOOKED_AT));
        }
    }
}
