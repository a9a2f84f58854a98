//! What is said of the sheet and of a sample.

use std::fmt::Write as _;
use std::path::Path;

use super::{Seen, Sheet, Tile};
use crate::choices::{Choices, ColorChange};
use crate::config::{Decoding, Filter, Fit, Normalize, Resolved, Sampling, Shard};

/// A text on one line: what would break it, or turn the reading direction around,
/// is told by its number. So are the controls by which a name would rule a terminal.
///
/// ```
/// assert_eq!(infeed::view::plain("a\nb\u{1b}[2J.jpg"), "a\\nb\\u{1b}[2J.jpg");
/// ```
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                plain.extend(char.escape_unicode());
            }
            char if char.is_control() => plain.extend(char.escape_default()),
            char => plain.push(char),
        }
    }
    plain
}

pub(super) fn path(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

/// `forest (1)`.
pub(super) fn class(tile: &Tile) -> Option<String> {
    let label = tile.label?;
    Some(match &tile.class {
        Some(name) if *name != label.to_string() => format!("{} ({label})", plain(name)),
        _ => label.to_string(),
    })
}

/// The first few numbers of a target.
pub(super) fn target(tile: &Tile) -> Option<String> {
    const SHOWN: usize = 6;
    let numbers: Vec<String> = tile.target.iter().take(SHOWN).map(f32::to_string).collect();
    let rest = if tile.target.len() > SHOWN { ", .." } else { "" };
    (!numbers.is_empty()).then(|| format!("{}{rest}", numbers.join(", ")))
}

/// Which sample it is.
pub(super) fn place(tile: &Tile, seed: u64) -> String {
    let position = tile.position.map_or(String::new(), |position| format!("position {position}, "));
    format!("index {}, {position}epoch {}, seed {seed}", tile.index, tile.epoch)
}

/// What is cut from the original.
pub(super) fn crop(choices: &Choices) -> String {
    let (crop, original) = (choices.crop, choices.original);
    let whole = crop.width >= f64::from(original.width) - 0.01
        && crop.height >= f64::from(original.height) - 0.01;
    match whole {
        true => format!("{original}, all of it"),
        false => format!(
            "{original}, of it {:.0}x{:.0} from {:.0},{:.0}",
            crop.width, crop.height, crop.left, crop.top
        ),
    }
}

/// What else was chosen, in the order in which it is done.
pub(super) fn changes(choices: &Choices) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(choices.mirrored.then(|| "mirrored".to_owned()));
    words.extend(choices.upside_down.then(|| "upside down".to_owned()));
    words.extend(choices.changes.iter().map(|change| match change {
        ColorChange::Brightness(factor) => format!("brightness {factor:.2}"),
        ColorChange::Contrast(factor) => format!("contrast {factor:.2}"),
        ColorChange::Saturation(factor) => format!("saturation {factor:.2}"),
        ColorChange::Hue(shift) => format!("hue {shift:+.3}"),
    }));
    words.extend(choices.grey.then(|| "colour taken away".to_owned()));
    words.extend(choices.erased.map(|region| {
        let (width, height) = (region.width, region.height);
        format!("erased {width}x{height} at {},{}", region.left, region.top)
    }));
    words
}

/// Why there is nothing to see.
pub(super) fn missing(tile: &Tile) -> Option<String> {
    match &tile.seen {
        Seen::Row(_) => None,
        Seen::Failed(stage, cause, message) => {
            Some(format!("{stage} failed, {cause}: {}", plain(message)))
        }
        Seen::Absent => Some("this epoch does not have the sample".to_owned()),
    }
}

/// What the samples are.
pub(super) fn which(sheet: &Sheet) -> String {
    let Sheet { options, config, samples, keys, .. } = sheet;
    let shown = sheet.tiles.len() as u64 / options.repeat;
    let last = options.from + shown.saturating_sub(1);
    let mut words =
        format!("samples {} to {last} of {keys} in epoch {}", options.from, options.epoch);
    if config.shard != Shard::WHOLE {
        _ = write!(words, " on rank {} of {}", config.shard.rank, config.shard.world);
    }
    if options.repeat > 1 {
        _ = write!(words, ", each in {} epochs", options.repeat);
    }
    if keys != samples {
        _ = write!(words, "; the source has {samples}");
    }
    words
}

/// The settings that decide what is seen; those that do nothing are left out.
pub(super) fn settings(config: &Resolved) -> Vec<(&'static str, String)> {
    let Resolved { size, fit, filter, decode, flip, vflip, jitter, random_grey, erase, .. } =
        config;
    let chance = |share: &f64| (*share > 0.0).then(|| share.to_string());
    let numbers = |numbers: [f32; 3]| numbers.map(|number| number.to_string()).join(", ");
    let Normalize { mean, std } = config.normalize;
    let normalize = match config.normalize == Normalize::UNIT {
        true => None,
        false => Some(format!("mean {}; deviation {}", numbers(mean), numbers(std))),
    };
    let drawn = *flip > 0.0
        || *vflip > 0.0
        || matches!(fit, Fit::RandomCrop { .. })
        || config.sampling != Sampling::Sequential
        || *random_grey > 0.0
        || erase.probability > 0.0;
    [
        ("size", Some(size.to_string())),
        ("fit", Some(fit.to_string())),
        ("filter", (*filter != Filter::default()).then(|| filter.to_string())),
        ("decode", (*decode != Decoding::default()).then(|| decode.to_string())),
        ("flip", chance(flip)),
        ("vflip", chance(vflip)),
        ("jitter", (jitter.to_string() != "0").then(|| jitter.to_string())),
        ("random grey", chance(random_grey)),
        ("erase", (erase.probability > 0.0).then(|| erase.to_string())),
        ("normalize", normalize),
        ("batch", Some(format!("{} {} {}", config.dtype, config.layout, config.color))),
        ("order", Some(config.sampling.to_string())),
        ("split", config.split.map(|split| split.to_string())),
        ("seed", (drawn || jitter.to_string() != "0").then(|| config.seed.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_a_line() {
        assert_eq!(plain("a\nb\u{202e}gpj.\u{7}"), "a\\nb\\u{202e}gpj.\\u{7}");
        assert_eq!(plain("Überfluß 写真 <b>"), "Überfluß 写真 <b>");
    }
}
