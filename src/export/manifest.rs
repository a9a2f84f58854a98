//! One line of the manifest for each row.

use std::borrow::Cow;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::batch::Sample;
use crate::source::Fingerprint;

#[derive(Serialize)]
struct Line<'a> {
    index: u64,
    path: Cow<'a, str>,
    /// The path's bytes in hexadecimal digits, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    label: Option<u32>,
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    target: &'a [f32],
    /// The index of the failed sample in whose place it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    padding: bool,
    shard: u64,
    file: &'a str,
    row: u64,
    /// Of the source's file, in bytes, and when it was changed last, in nanoseconds
    /// since 1970: as [`Fingerprint`] has them.
    size: Option<u64>,
    mtime: Option<u64>,
}

/// Where a row lies.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) shard: u64,
    pub(super) file: &'a str,
    pub(super) row: u64,
}

/// Appends the line of a row.
pub(super) fn tell(
    lines: &mut Vec<u8>,
    sample: &Sample,
    Place { shard, file, row }: Place<'_>,
    fingerprint: Option<Fingerprint>,
) -> std::io::Result<()> {
    let path_bytes = sample.path().to_str().is_none().then(|| {
        let bytes = sample.path().as_os_str().as_encoded_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    let line = Line {
        index: sample.index(),
        path: sample.path().to_string_lossy(),
        path_bytes,
        label: sample.label(),
        target: sample.target(),
        replaces: sample.replaces(),
        padding: sample.is_padding(),
        shard,
        file,
        row,
        size: fingerprint.map(|fingerprint| fingerprint.bytes),
        mtime: fingerprint.map(|fingerprint| fingerprint.version),
    };
    serde_json::to_writer(&mut *lines, &line)?;
    lines.write_all(b"\n")
}

/// What is compared with the arrays.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    pub(super) label: Option<u32>,
    /// JSON has no number for what is not finite.
    #[serde(default)]
    pub(super) target: Vec<Option<f32>>,
    pub(super) shard: u64,
    pub(super) file: String,
    pub(super) row: u64,
}
