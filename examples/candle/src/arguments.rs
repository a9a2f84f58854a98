//! What the command line says.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: infeed-example-candle [OPTIONS]
  --dir DIR              pictures and checkpoint (default: infeed-shapes in the folder for temporary files)
  --pictures N           made for each of the four classes (default 500)
  --epochs N             default 18
  --checkpoint-every N   batches between checkpoints; 0 writes none (default 10)
  --resume               go on from the last checkpoint
  --accuracy SHARE       of the validation, below which the run fails (default 0.95)";

pub(crate) struct Arguments {
    pub(crate) dir: PathBuf,
    pub(crate) pictures: usize,
    pub(crate) epochs: u64,
    pub(crate) checkpoint_every: u64,
    pub(crate) resume: bool,
    pub(crate) accuracy: f64,
}

impl Arguments {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Arguments {
            dir: std::env::temp_dir().join("infeed-shapes"),
            pictures: 500,
            epochs: 18,
            checkpoint_every: 10,
            resume: false,
            accuracy: 0.95,
        };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            if flag == "--resume" {
                parsed.resume = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| wrong(&flag, "without a value"))?;
            match flag.as_str() {
                "--dir" => parsed.dir = value.into(),
                "--pictures" => parsed.pictures = number(&flag, &value)?,
                "--epochs" => parsed.epochs = number(&flag, &value)?,
                "--checkpoint-every" => parsed.checkpoint_every = number(&flag, &value)?,
                "--accuracy" => parsed.accuracy = number(&flag, &value)?,
                _ => return Err(wrong(&flag, "is not known")),
            }
        }
        Ok(parsed)
    }
}

fn number<N: std::str::FromStr>(flag: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| wrong(flag, &format!("takes a number, not {value:?}")))
}

fn wrong(flag: &str, what: &str) -> String {
    format!("{flag} {what}\n{USAGE}")
}
