//! Decoded pictures in a folder, as `tests/reference.py` holds them against OpenCV and
//! Pillow.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use infeed::{Cause, Size};
use serde_json::json;

pub(crate) struct Reference {
    folder: PathBuf,
    lines: BufWriter<File>,
    pictures: usize,
}

impl Reference {
    pub(crate) fn new(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lines = BufWriter::new(File::create(folder.join("files.jsonl"))?);
        Ok(Reference { folder: folder.to_owned(), lines, pictures: 0 })
    }

    /// What `file` came to: RGB8 `[height, width, 3]`, or why there is no picture.
    pub(crate) fn tell(
        &mut self,
        file: &Path,
        outcome: Result<(Size, &[u8]), &Cause>,
    ) -> std::io::Result<()> {
        let path = file.to_string_lossy();
        let line = match outcome {
            Ok((size, pixels)) => {
                let rgb = format!("{:05}.rgb", self.pictures);
                self.pictures += 1;
                fs::write(self.folder.join(&rgb), pixels)?;
                json!({ "path": path, "width": size.width, "height": size.height, "rgb": rgb })
            }
            Err(cause) => {
                json!({ "path": path, "kind": cause.kind().to_string(), "message": cause.message() })
            }
        };
        writeln!(self.lines, "{line}")
    }

    pub(crate) fn finish(mut self) -> std::io::Result<()> {
        self.lines.flush()
    }
}
