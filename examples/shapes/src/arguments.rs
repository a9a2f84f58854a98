use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

/// Flags of each example.
#[derive(Args, Debug)]
pub struct Common {
    /// The folder of the pictures, which are made where they are not there, and of
    /// the checkpoints [default: infeed-shapes in the folder for temporary files]
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Pictures of each of the four classes
    #[arg(long, value_name = "N", default_value_t = 500)]
    pictures: usize,

    /// Epochs to train
    #[arg(long, value_name = "N", default_value_t = 18)]
    pub epochs: u64,

    /// Go on from the last checkpoint
    #[arg(long)]
    pub resume: bool,

    /// The share of the validation's pictures that has to be told rightly
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub accuracy: f64,
}

impl Common {
    /// Where the pictures are, made if they were not there.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn pictures(&self, seed: u64) -> io::Result<PathBuf> {
        let folder = self.dir().join(format!("shapes-{}", self.pictures));
        crate::make(&folder, self.pictures, seed)?;
        Ok(folder)
    }

    /// `name` in the folder of the run.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir().join(name)
    }

    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| std::env::temp_dir().join("infeed-shapes"))
    }

    /// Whether so much of the validation told rightly is enough.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn judge(&self, accuracy: f64) -> Result<(), String> {
        if accuracy < self.accuracy {
            return Err(format!(
                "{:.1} % of the validation's pictures are told rightly, and {:.1} % were to be",
                100.0 * accuracy,
                100.0 * self.accuracy
            ));
        }
        Ok(())
    }
}
