//! The samples of an epoch as `.npy` files with a manifest, made in a way that a kill
//! does not harm and that several processes can share.
//!
//! ```text
//! out/images-00000.npy    [n, 3, height, width] or [n, height, width, 3] (grey: 1 for 3),
//!                         f32, f16 or u8
//! out/labels-00000.npy    [n], i64; -1 where a sample has no class
//! out/targets-00000.npy   [n, k], f32; only where the source has targets
//! out/images-00001.npy    ..
//! out/manifest.jsonl      a line a row: index, path, label, target, shard, file, row,
//!                         size and mtime of the source's file
//! out/export.json         the configuration, counts, failures, a digest for each shard
//! ```
//!
//! Or one file for all rows ([`Export::single`]): `images.npy`, `labels.npy`,
//! `targets.npy`.
//!
//! A shard is a range of positions of epoch 0. What could not be loaded is left out of
//! its own shard, which is shorter then, and changes no other. Each file is written
//! under a temporary name, brought to the disk and renamed, and only then recorded as
//! complete in the journal, `out/.infeed-export`, which goes when the export has ended.
//!
//! ```text
//! shards     which row lies where                        options    what is asked for
//! npy        headers, positioned writes, digests         begin      what is there already
//! folder     names, whole files, full disks              run        decoding, beside
//! recipe     all that decides the bytes                  writer     two threads that write
//!                                                        append     past the page cache
//! journal    what is complete                            merge      the last step
//! lock       several processes                           index      export.json
//! manifest   a line a row                                verify     is it all true?
//! lines      the manifest beside the arrays              summary    how far it has come
//! origin     the source's files beside the manifest
//! ```

mod append;
mod begin;
mod folder;
#[cfg(any(test, fuzzing))]
mod fuzzed;
mod index;
mod journal;
mod lines;
mod lock;
mod manifest;
mod merge;
mod npy;
mod options;
mod origin;
mod recipe;
mod run;
mod shards;
mod summary;
mod verify;
mod writer;

pub use folder::MANIFEST;
#[cfg(test)]
pub(crate) use fuzzed::number_of;
#[cfg(any(test, fuzzing))]
pub(crate) use fuzzed::read_any;
pub use merge::merge;
pub use npy::NpyElement;
pub use options::Export;
pub use run::Exporting;
pub use shards::ShardSize;
pub use summary::{Progress, Summary};
pub use verify::{Problem, Verified, verify, verify_with};
pub use writer::WriteStats;
