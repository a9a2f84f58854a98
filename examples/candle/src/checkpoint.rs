//! A checkpoint: weights, momentum and where the loader stood, in one file that
//! is whole at any moment.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use candle_core::{Device, Tensor};
use infeed::State;
use safetensors::SafeTensors;

/// The entry of the file's metadata that holds the state, as JSON.
const STATE: &str = "infeed.state";

/// Writes the file under another name first, so that a process killed at any
/// moment leaves the last checkpoint or this one. The state is in the same file:
/// of two files, one could be a batch ahead of the other.
pub(crate) fn save(
    file: &Path,
    tensors: &BTreeMap<String, Tensor>,
    state: &State,
) -> Result<(), Box<dyn Error>> {
    let metadata = HashMap::from([(STATE.to_owned(), serde_json::to_string(state)?)]);
    let partial = file.with_extension("partial");
    fs::write(&partial, safetensors::serialize(tensors, Some(metadata))?)?;
    // Renamed before its content is on disk, it could be empty after a power cut.
    File::open(&partial)?.sync_all()?;
    fs::rename(&partial, file)?;
    Ok(())
}

/// What [`save`] wrote.
pub(crate) fn load(
    file: &Path,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, State), Box<dyn Error>> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let state = header.metadata().as_ref().and_then(|metadata| metadata.get(STATE));
    let state = state.ok_or_else(|| format!("{} holds no state of a loader", file.display()))?;
    let state = serde_json::from_str(state)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, device)?;
    Ok((tensors.into_iter().collect(), state))
}
