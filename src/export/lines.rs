//! Lines of a manifest beside the arrays of labels and targets.

use std::io::BufRead;

use super::index::ShardParts;
use super::manifest::Told;
use crate::batch::NO_LABEL;

/// Of one shard, as bytes; what cannot be read is not compared.
pub(super) struct Labels {
    pub(super) labels: Option<Vec<u8>>,
    pub(super) targets: Option<Vec<u8>>,
    pub(super) target_len: usize,
}

/// Reads as many lines as the shard has rows; what is wrong with the first that is not
/// as it should be, in words.
pub(super) fn check_lines(
    shard: &ShardParts,
    labels: &Labels,
    lines: &mut impl BufRead,
) -> Result<(), String> {
    let images = shard.files.first().map_or("", |part| &*part.file);
    let mut line = String::new();
    for at in 0..shard.rows {
        let row = shard.row + at;
        let place = format!("row {row} of {images}");
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) => return Err(format!("the line of {place} is missing")),
            Ok(_) => {}
            Err(error) => return Err(format!("it cannot be read: {error}")),
        }
        let told: Told = serde_json::from_str(&line)
            .map_err(|error| format!("the line of {place} cannot be read: {error}"))?;
        if (told.shard, &*told.file, told.row) != (shard.shard, images, row) {
            let (file, other) = (told.file, told.row);
            return Err(format!("where {place} should be, there is row {other} of {file}"));
        }
        let label = told.label.map_or(NO_LABEL, i64::from);
        if let Some(there) = labels.label(at).filter(|there| *there != label) {
            return Err(format!("{place} has the label {label}, and {there} in its array"));
        }
        if let Some(there) = labels.target(at)
            && !same(&told.target, &there)
        {
            return Err(format!("{place} has another target than in its array"));
        }
    }
    Ok(())
}

/// JSON has no number for what is not finite.
fn same(told: &[Option<f32>], there: &[f32]) -> bool {
    let mut pairs = told.iter().zip(there);
    let agree = |(told, there): (&Option<f32>, &f32)| match told {
        Some(told) => told == there,
        None => !there.is_finite(),
    };
    told.len() == there.len() && pairs.all(agree)
}

impl Labels {
    fn label(&self, at: u64) -> Option<i64> {
        let bytes = self.labels.as_ref()?.chunks_exact(8).nth(at as usize)?;
        Some(bytemuck::pod_read_unaligned(bytes))
    }

    fn target(&self, at: u64) -> Option<Vec<f32>> {
        let bytes = self.targets.as_ref()?.chunks_exact(4 * self.target_len.max(1));
        let values = bytes.clone().nth(at as usize)?.chunks_exact(4);
        Some(values.map(bytemuck::pod_read_unaligned).collect())
    }
}
