//! The broken samples of a survey in files.

use std::io::{self, Write};
use std::path::Path;

use super::{Broken, Survey};
use crate::error::Result;
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
    /// comment that says why.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write_quarantine(&self, mut out: impl Write) -> io::Result<()> {
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        let root = one_line(&self.root.to_string_lossy());
        let (broken, opened) = (self.broken.len(), self.opened);
        writeln!(out, "# {broken} broken of {opened} samples of {root}")?;
        for Broken { path, cause, message, .. } in &self.broken {
            writeln!(out, "# {cause}: {}", one_line(message))?;
            write_path(&mut out, path)?;
        }
        Ok(())
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

fn save(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut unfinished = Unfinished::unique(file.to_owned())?;
    write(&mut unfinished.writer).map_err(|error| unfinished.failed(error))?;
    unfinished.finish().map(|_| ())
}
