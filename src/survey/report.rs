//! The broken samples of a survey in files.

use std::io::{self, Write};
use std::path::Path;

use super::{Broken, Survey};
use crate::error::{CauseKind, Result, Stage};
use crate::source::write_path;
use crate::unfinished::Unfinished;

impl Survey {
    /// Writes a table of the broken samples, one a line, as CSV with a line of names:
    /// `index,path,class,bytes,xxh3_128,stage,cause,message`. What is not known is
    /// empty; of a path that is not UTF-8, what is not is replaced.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write_csv(&self, out: impl Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record([
            "index", "path", "class", "bytes", "xxh3_128", "stage", "cause", "message",
        ])?;
        for broken in &self.broken {
            let Broken { index, path, class, bytes, hash, stage, cause, message, .. } = broken;
            table.write_record([
                &*index.to_string(),
                &path.to_string_lossy(),
                class.as_deref().unwrap_or_default(),
                &bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                &hash.map(|hash| format!("{hash:032x}")).unwrap_or_default(),
                &stage.to_string(),
                // The word that JSON has for it.
                serde_json::to_string(cause)?.trim_matches('"'),
                message,
            ])?;
        }
        table.flush()
    }

    /// The same in a file, which is there whole or not at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn save_csv(&self, file: impl AsRef<Path>) -> Result<()> {
        save(file.as_ref(), |out| self.write_csv(out))
    }

    /// Writes the broken samples as a [`SkipList`](crate::SkipList), each below a
    /// comment that says why. What was left out by a list before is in it too, so that it
    /// can take that one's place. What could not be read for now, as the storage reported an
    /// error or did not answer, may be good another time: it is told in comments alone.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write_quarantine(&self, mut out: impl Write) -> io::Result<()> {
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        let root = one_line(&self.root.to_string_lossy());
        let (broken, opened) = (self.broken.len(), self.opened);
        writeln!(out, "# {broken} broken of {opened} samples of {root}")?;
        let left_out = self.left_out.len();
        if left_out > 0 {
            writeln!(out, "# and {left_out} that a skip list had left out, at the end")?;
        }
        for broken in self.broken.iter().filter(|broken| broken.stays()) {
            writeln!(out, "# {}: {}", broken.cause, one_line(&broken.message))?;
            write_path(&mut out, &broken.path)?;
        }
        let mut passing = self.broken.iter().filter(|broken| !broken.stays()).peekable();
        if passing.peek().is_some() {
            writeln!(out, "# not in the list, as they may be read another time:")?;
        }
        for Broken { path, cause, message, .. } in passing {
            let path = one_line(&path.to_string_lossy());
            writeln!(out, "#   {path}: {cause}: {}", one_line(message))?;
        }
        if left_out > 0 {
            writeln!(out, "# left out before:")?;
        }
        self.left_out.iter().try_for_each(|path| write_path(&mut out, path))
    }

    /// Refuses a file that cannot be made, before there is a survey to save in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn check_file(file: impl AsRef<Path>) -> Result<()> {
        Unfinished::unique(file.as_ref().to_owned()).map(drop)
    }

    /// The same in a file, which is there whole or not at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn save_quarantine(&self, file: impl AsRef<Path>) -> Result<()> {
        save(file.as_ref(), |out| self.write_quarantine(out))
    }
}

impl Broken {
    /// Whether the file itself is to blame, and not the storage or a want of memory, which
    /// may be otherwise another time: the quarantine has no others.
    #[must_use]
    pub fn stays(&self) -> bool {
        let blamed = matches!(self.cause, CauseKind::NotFound | CauseKind::Limit);
        self.cause != CauseKind::Memory && (self.stage != Stage::Read || blamed)
    }
}

fn save(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut unfinished = Unfinished::unique(file.to_owned())?;
    write(&mut unfinished.writer).map_err(|error| unfinished.failed(error))?;
    unfinished.finish().map(|_| ())
}
