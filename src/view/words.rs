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
    use crate::config::{Config, Erase, Size, Split};
    use crate::error::{CauseKind, Stage};
    use crate::transform::{Area, Region};
    use crate::view::Options;

    #[test]
    fn no_name_breaks_a_line() {
        assert_eq!(plain("a\nb\u{202e}gpj.\u{7}"), "a\\nb\\u{202e}gpj.\\u{7}");
        assert_eq!(plain("Überfluß 写真 <b>"), "Überfluß 写真 <b>");
    }

    fn tile() -> Tile {
        Tile {
            index: 7,
            position: Some(3),
            epoch: 2,
            path: "a/b.jpg".into(),
            label: Some(1),
            class: None,
            target: Box::default(),
            seen: Seen::Absent,
        }
    }

    #[test]
    fn a_sample_is_told_by_class_target_and_place() {
        let named = |class: Option<&str>, label| {
            super::class(&Tile { class: class.map(str::to_owned), label, ..tile() })
        };
        assert_eq!(named(Some("forest"), Some(1)).as_deref(), Some("forest (1)"));
        assert_eq!(named(Some("1"), Some(1)).as_deref(), Some("1"));
        assert_eq!(named(None, Some(1)).as_deref(), Some("1"));
        assert_eq!(named(Some("a\nb"), Some(1)).as_deref(), Some("a\\nb (1)"));
        assert_eq!(named(None, None), None);

        let numbers = |count: u16| {
            let target = (0..count).map(|number| f32::from(number) / 2.0).collect();
            super::target(&Tile { target, ..tile() })
        };
        assert_eq!(numbers(0), None);
        assert_eq!(numbers(2).as_deref(), Some("0, 0.5"));
        assert_eq!(numbers(6).as_deref(), Some("0, 0.5, 1, 1.5, 2, 2.5"));
        assert_eq!(numbers(7).as_deref(), Some("0, 0.5, 1, 1.5, 2, 2.5, .."));

        assert_eq!(path(&tile().path), "a/b.jpg");
        assert_eq!(path(Path::new("a\nb.jpg")), "a\\nb.jpg");
        assert_eq!(place(&tile(), 5), "index 7, position 3, epoch 2, seed 5");
        let nowhere = Tile { position: None, ..tile() };
        assert_eq!(place(&nowhere, 5), "index 7, epoch 2, seed 5");

        assert_eq!(missing(&tile()).as_deref(), Some("this epoch does not have the sample"));
        let failed = Seen::Failed(Stage::Decode, CauseKind::Corrupt, "no\nend".to_owned());
        let told = missing(&Tile { seen: failed, ..tile() });
        assert_eq!(told.as_deref(), Some("decode failed, corrupt: no\\nend"));
    }

    fn choices() -> Choices {
        Choices {
            original: Size { width: 40, height: 30 },
            crop: Area { left: 0.0, top: 0.0, width: 40.0, height: 30.0 },
            mirrored: false,
            upside_down: false,
            changes: Vec::new(),
            grey: false,
            erased: None,
        }
    }

    #[test]
    fn what_was_chosen_is_told_in_the_order_in_which_it_is_done() {
        let with = |width, height| {
            let crop = Area { left: 1.0, top: 2.0, width, height };
            super::crop(&Choices { crop, ..choices() })
        };
        assert_eq!(with(39.995, 29.995), "40x30, all of it");
        assert_eq!(with(39.9, 30.0), "40x30, of it 40x30 from 1,2");
        assert_eq!(with(40.0, 12.0), "40x30, of it 40x12 from 1,2");

        assert_eq!(changes(&choices()), [""; 0]);
        let all = Choices {
            mirrored: true,
            upside_down: true,
            changes: vec![
                ColorChange::Hue(0.0625),
                ColorChange::Brightness(1.25),
                ColorChange::Saturation(0.5),
                ColorChange::Contrast(0.75),
            ],
            grey: true,
            erased: Some(Region { left: 1, top: 2, width: 3, height: 4 }),
            ..choices()
        };
        let told = [
            "mirrored",
            "upside down",
            "hue +0.062",
            "brightness 1.25",
            "saturation 0.50",
            "contrast 0.75",
            "colour taken away",
            "erased 3x4 at 1,2",
        ];
        assert_eq!(changes(&all), told);
    }

    #[test]
    fn a_sheet_says_which_samples_it_has() {
        let config = Config::default().resolve::<f32>().unwrap();
        let told = |change: &dyn Fn(&mut Sheet)| {
            let mut sheet = Sheet {
                root: "root".into(),
                config: config.clone(),
                options: Options { epoch: 3, from: 10, count: 4, ..Options::default() },
                samples: 50,
                keys: 50,
                tiles: (0..4).map(|_| tile()).collect(),
            };
            change(&mut sheet);
            which(&sheet)
        };
        assert_eq!(told(&|_| {}), "samples 10 to 13 of 50 in epoch 3");
        assert_eq!(
            told(&|sheet| sheet.options.repeat = 2),
            "samples 10 to 11 of 50 in epoch 3, each in 2 epochs"
        );
        let rank = |sheet: &mut Sheet| {
            (sheet.config.shard, sheet.keys) = (Shard { rank: 1, world: 2 }, 25);
        };
        assert_eq!(
            told(&rank),
            "samples 10 to 13 of 25 in epoch 3 on rank 1 of 2; the source has 50"
        );
    }

    #[test]
    fn settings_that_do_nothing_are_left_out() {
        let told = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            let told = settings(&config.resolve::<f32>().unwrap());
            told.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        let plain = ["size: 512x512", "fit: stretch", "batch: f32 chw rgb", "order: sequential"];
        assert_eq!(told(&|_| {}), plain);
        let all = told(&|config| {
            config.fit = Fit::random_crop();
            config.filter = Filter::Lanczos;
            config.decode = Decoding::Fast;
            (config.augmentation.flip, config.augmentation.vflip) = (0.5, 0.25);
            config.augmentation.random_grey = 0.125;
            config.augmentation.jitter.contrast = 0.5;
            config.augmentation.erase = Erase::new(0.75);
            config.normalize.mean[2] = 0.5;
            config.split = Some(Split::train(0.1));
            config.sampling = Sampling::Shuffle;
            config.seed = 9;
        });
        let expected = [
            "size: 512x512",
            "fit: random-crop",
            "filter: lanczos",
            "decode: fast",
            "flip: 0.5",
            "vflip: 0.25",
            "jitter: 0,0.5",
            "random grey: 0.125",
            "erase: 0.75",
            "normalize: mean 0, 0, 0.5; deviation 1, 1, 1",
            "batch: f32 chw rgb",
            "order: shuffle",
            "split: train=0.1",
            "seed: 9",
        ];
        assert_eq!(all, expected);
        // A seed is worth a word where anything is drawn.
        let drawn: [&dyn Fn(&mut Config); 7] = [
            &|config| config.fit = Fit::random_crop(),
            &|config| config.augmentation.flip = 0.5,
            &|config| config.augmentation.vflip = 0.5,
            &|config| config.augmentation.random_grey = 0.5,
            &|config| config.augmentation.jitter.hue = 0.1,
            &|config| config.augmentation.erase = Erase::new(0.5),
            &|config| config.sampling = Sampling::Shuffle,
        ];
        for (number, change) in drawn.into_iter().enumerate() {
            assert_eq!(told(change).last().map(String::as_str), Some("seed: 0"), "{number}");
        }
    }
}
