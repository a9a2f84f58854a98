//! The file that a run is writing.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::blocks::{BLOCK, Blocks, Extent};
use super::format::{Entry, write_header, write_index};
use super::place::{Place, Temporary};
use super::position;

/// At most one file at a time, begun when there is something to store.
#[derive(Debug)]
pub(super) struct Growing {
    begun: Option<Begun>,
    /// Of records, ever.
    number: u64,
    /// No further bytes are written.
    stopped: bool,
}

#[derive(Debug)]
struct Begun {
    temporary: Temporary,
    blocks: Blocks,
    dirty: bool,
}

/// The right to write one record.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) file: Arc<File>,
    pub(super) number: u64,
}

impl Growing {
    pub(super) fn new() -> Self {
        Growing { begun: None, number: 0, stopped: false }
    }

    /// Whether no file is begun and one may be.
    pub(super) fn may_begin(&self) -> bool {
        self.begun.is_none() && !self.stopped
    }

    /// Begins a file that continues `base`, of whose blocks `used` are in use;
    /// all of them lie where they lay.
    pub(super) fn begin(
        &mut self,
        place: &Place,
        key: u128,
        words: &str,
        base: Option<&File>,
        used: Vec<Extent>,
    ) -> io::Result<Arc<File>> {
        let temporary = place.temporary()?;
        let blocks = Blocks::new(1, used);
        if let Some(base) = base {
            position::copy(base, &temporary.file, blocks.end() * BLOCK)?;
        }
        write_header(&temporary.file, key, words)?;
        let file = Arc::clone(&temporary.file);
        self.begun = Some(Begun { temporary, blocks, dirty: false });
        Ok(file)
    }

    pub(super) fn writing(&mut self) -> Option<Writing> {
        let begun = self.begun.as_ref().filter(|_| !self.stopped)?;
        self.number += 1;
        Some(Writing { file: Arc::clone(&begun.temporary.file), number: self.number })
    }

    /// Whether `writing` is to the file that is begun.
    pub(super) fn is(&self, writing: &Writing) -> bool {
        let begun = self.begun.as_ref();
        begun.is_some_and(|begun| Arc::ptr_eq(&begun.temporary.file, &writing.file))
    }

    /// Room for so many blocks in a file of at most `limit`, if there is.
    pub(super) fn take(&mut self, blocks: u64, limit: u64) -> Option<Vec<Extent>> {
        self.begun.as_mut()?.blocks.take(blocks, limit)
    }

    /// The blocks of a record that did not come about.
    pub(super) fn give_back(&mut self, writing: &Writing, extents: &[Extent]) {
        if self.is(writing) {
            self.free(extents);
        }
    }

    /// The blocks of a record that is not in use any more.
    pub(super) fn free(&mut self, extents: &[Extent]) {
        if let Some(begun) = &mut self.begun {
            begun.blocks.give_back(extents);
        }
    }

    pub(super) fn dirty(&mut self) {
        if let Some(begun) = &mut self.begun {
            begun.dirty = true;
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.dirty)
    }

    /// No further records; true the first time.
    pub(super) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.stopped, true)
    }

    /// Gives the file its index and its name; the next record begins another.
    pub(super) fn finish<'a>(
        &mut self,
        place: &Place,
        key: u128,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> io::Result<()> {
        let Some(Begun { temporary, blocks, .. }) = self.begun.take() else { return Ok(()) };
        write_index(&temporary.file, key, blocks.end(), entries)?;
        temporary.rename(place)
    }
}
