//! All that decides the bytes of an export: written when it begins, compared when it
//! goes on, and told in `export.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twox_hash::XxHash3_64;

use super::folder::KINDS;
use super::npy::{HEADER, I64, NpyElement, Rows};
use super::shards::Shards;
use crate::config::{LastBatch, Layout, Resolved};
use crate::digest::{hash_words, read_hex, write_hex};
use crate::error::Result;
use crate::loader::Loader;
use crate::source::{Index, Print};

/// The form of what is written; another when it changes.
const FORMAT: u32 = 1;

/// Fields of the configuration that change what is delivered. What changes only speed
/// is not among them, nor how many failures end a run.
const DECIDE: [&str; 24] = [
    "split",
    "subset",
    "size",
    "fit",
    "filter",
    "decode",
    "flip",
    "vflip",
    "jitter",
    "random_grey",
    "erase",
    "before_resize",
    "after_resize",
    "normalize",
    "dtype",
    "layout",
    "color",
    "sampling",
    "seed",
    "on_error",
    "replace_attempts",
    "allow_truncated",
    "limits",
    "cache_side",
];

/// Those of them that say what becomes of failed samples.
const FAILING: [&str; 2] = ["on_error", "replace_attempts"];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Recipe {
    format: u32,
    infeed: String,
    pub(super) config: Map<String, Value>,
    /// What the decoder calls itself; a decoder of the user's may have no name.
    decoder: Option<String>,
    pub(super) source: Source,
    pub(super) classes: Vec<String>,
    /// Samples of the epoch, failed ones and padding included.
    pub(super) positions: u64,
    /// Positions of a shard, or of what is committed at once of a single file.
    pub(super) shard_size: u64,
    pub(super) single: bool,
    /// Of the images, as NumPy has it.
    pub(super) descr: String,
    /// Of one image.
    pub(super) row_shape: [usize; 3],
    /// Values of a target; 0 without any.
    pub(super) target_len: usize,
}

/// Which samples, in which order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    samples: u64,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    names: u64,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    labels_and_targets: u64,
    /// Of the weights that samples are drawn by; 0 without any.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    weights: u64,
}

impl Recipe {
    /// Of a loader whose walk has ended.
    pub(super) fn new<T: NpyElement>(
        loader: &Loader<T>,
        decoder: Option<String>,
        shard_size: u64,
        single: bool,
    ) -> Result<Self> {
        let config = loader.config();
        let listed = loader.listed()?;
        let target_len = listed.index.entry(0).map_or(0, |entry| entry.target.len());
        Ok(Recipe {
            format: FORMAT,
            infeed: env!("CARGO_PKG_VERSION").to_owned(),
            config: deciding(config),
            decoder,
            source: Source {
                samples: listed.print.samples,
                names: listed.print.hash,
                labels_and_targets: labels_and_targets(listed.index, listed.print),
                weights: listed.weights,
            },
            classes: loader.classes().to_vec(),
            positions: listed.positions,
            shard_size,
            single,
            descr: T::DESCR.to_owned(),
            row_shape: row_shape(config),
            target_len,
        })
    }

    /// A hash of all that decides a shard's bytes. What becomes of failed samples decides
    /// nothing where none has failed.
    pub(super) fn print(&self, failed: bool) -> u64 {
        let mut of = self.clone();
        if !failed {
            FAILING.iter().for_each(|field| drop(of.config.remove(*field)));
        }
        XxHash3_64::oneshot(serde_json::to_string(&of).unwrap_or_default().as_bytes())
    }

    /// What is wrong with one that was read from a file.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        let elements = [f32::DESCR, half::f16::DESCR, u8::DESCR];
        let side = |side: &usize| (1..=1 << 20).contains(side);
        [
            (self.shard_size == 0, "shard_size is 0"),
            (!elements.contains(&&*self.descr), "descr is no type that it can be of here"),
            (!self.row_shape.iter().all(side), "row_shape is no picture's"),
            (self.target_len > 1 << 32, "target_len is absurd"),
        ]
        .into_iter()
        .find_map(|(wrong, what)| wrong.then_some(what))
    }

    pub(super) fn shards(&self) -> Shards {
        Shards { positions: self.positions, size: self.shard_size }
    }

    /// The arrays that an export has, in the order of [`KINDS`].
    pub(super) fn arrays(&self) -> Vec<(&'static str, Rows)> {
        let rows = |descr: &str, shape: &[usize]| Rows { descr: descr.into(), shape: shape.into() };
        let labels = rows(I64, &[]);
        let mut arrays = vec![(KINDS[0], rows(&self.descr, &self.row_shape)), (KINDS[1], labels)];
        if self.target_len > 0 {
            arrays.push((KINDS[2], rows(<f32 as NpyElement>::DESCR, &[self.target_len])));
        }
        arrays
    }

    /// Bytes that so many rows take in all files, and about in the manifest and the
    /// journal.
    pub(super) fn bytes(&self, rows: u64, shards: u64) -> u64 {
        let arrays = self.arrays();
        let row: u64 = arrays.iter().map(|(_, rows)| rows.bytes()).sum();
        let headers = shards * HEADER * arrays.len() as u64;
        rows * row + headers + 2 * self.manifest_bytes(rows)
    }

    /// About how long the manifest of so many rows is.
    pub(super) fn manifest_bytes(&self, rows: u64) -> u64 {
        const LINE: u64 = 200;
        rows * LINE
    }

    /// Whether a failed sample leaves no row, so that rows move up in a single file.
    pub(super) fn skips(&self) -> bool {
        self.config.get("on_error").is_some_and(|policy| policy == "skip")
    }

    /// In what `now` differs from it, each with both values.
    pub(super) fn differences(&self, now: &Recipe) -> Vec<String> {
        let value = |recipe| serde_json::to_value(recipe).unwrap_or_default();
        let mut found = Vec::new();
        differences("", &value(self), &value(now), &mut found);
        found
    }

    /// Where it is the same as `now` but for what becomes of failed samples, and none
    /// could have failed so far: it may go on so.
    pub(super) fn may_become(&self, now: &Recipe) -> bool {
        let mut become_now = self.clone();
        for field in FAILING {
            let value = now.config.get(field).cloned().unwrap_or_default();
            become_now.config.insert(field.to_owned(), value);
        }
        self.config.get("on_error").is_some_and(|policy| policy == "fail") && become_now == *now
    }
}

fn deciding(config: &Resolved) -> Map<String, Value> {
    // By text, as an f32 then is what it was typed as.
    let text = serde_json::to_string(config).unwrap_or_default();
    let mut all: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    let mut kept = Map::new();
    // Batches have nothing to do with shards, unless the last one is dropped or filled up.
    let batches = match config.last_batch {
        LastBatch::Keep => &[][..],
        LastBatch::Drop | LastBatch::Pad => &["batch_size"],
    };
    for field in DECIDE.iter().chain(&["last_batch"]).chain(batches) {
        let mut value = all.remove(*field).unwrap_or_default();
        settle(&mut value);
        kept.insert((*field).to_owned(), value);
    }
    kept
}

/// Numbers that are not read as they were written are text from here on.
fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            let read = serde_json::from_str::<Value>(&text).ok();
            if read.as_ref() != Some(&Value::Number(number.clone())) {
                *value = Value::String(text);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(settle),
        Value::Object(fields) => fields.values_mut().for_each(settle),
        _ => {}
    }
}

pub(super) fn row_shape(config: &Resolved) -> [usize; 3] {
    let (width, height) = (config.size.width as usize, config.size.height as usize);
    let channels = config.color.channels();
    match config.layout {
        Layout::Chw => [channels, height, width],
        Layout::Hwc => [height, width, channels],
    }
}

/// A hash of what the listing says of each sample beside its name.
fn labels_and_targets(index: &Index, print: Print) -> u64 {
    let words = (0..print.samples).filter_map(|at| index.entry(at)).flat_map(|entry| {
        let label = entry.label.map_or(u64::MAX, u64::from);
        let targets: Vec<u64> =
            entry.target.iter().map(|value| u64::from(value.to_bits())).collect();
        std::iter::once(label).chain(targets)
    });
    hash_words(words.map(u64::to_le_bytes))
}

fn differences(name: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let mut fields: Vec<&String> = then.keys().chain(now.keys()).collect();
            fields.sort_unstable();
            fields.dedup();
            for field in fields {
                // A user knows the knobs, and not where they are kept.
                let below = match name {
                    "" | "config" => field.clone(),
                    name => format!("{name}.{field}"),
                };
                let value = |fields: &serde_json::Map<String, Value>| {
                    fields.get(field).cloned().unwrap_or_default()
                };
                differences(&below, &value(then), &value(now), found);
            }
        }
        (then, now) if then == now => {}
        (then, now) => found.push(format!("{name} was {} and is now {}", short(then), short(now))),
    }
}

fn short(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_with_both_values() {
        let then = json!({"config": {"size": {"width": 8}, "fit": "crop"}, "source": {"a": 1}});
        let now = json!({"config": {"size": {"width": 9}, "fit": "crop"}, "source": {"a": 2}});
        let mut found = Vec::new();
        differences("", &then, &now, &mut found);
        assert_eq!(found, ["size.width was 8 and is now 9", "source.a was 1 and is now 2"]);
    }

    #[test]
    fn every_field_that_decides_is_there() {
        let builder = crate::Loader::folder(".").last_batch(LastBatch::Pad);
        let config = builder.resolve().unwrap();
        let kept = deciding(&config);
        for field in DECIDE.iter().chain(&["last_batch", "batch_size"]) {
            assert!(kept.contains_key(*field), "{field}");
        }
        let all = serde_json::to_value(&config).unwrap();
        for field in DECIDE {
            assert!(all.get(field).is_some(), "{field} is no field of a configuration");
        }
        // As it was typed, and not as a longer float has it.
        let builder = builder.normalize([0.485; 3], [0.229; 3]);
        let kept = deciding(&builder.resolve().unwrap());
        assert!(kept["normalize"].to_string().contains("0.485"), "{}", kept["normalize"]);
    }
}
