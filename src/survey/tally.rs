//! What was seen of each sample, and what all of it comes to: pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{
    Channel, Copies, Counted, Duplicates, Good, LARGE_PIXELS, Misnamed, SHOWN_SIZES, Spread,
};
use crate::config::{Color, Size};
use crate::decode::{Format, Stored};

/// A sample that became a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) index: u64,
    pub(super) bytes: u64,
    pub(super) hash: u128,
    /// Upright.
    pub(super) size: Size,
    pub(super) format: Option<Format>,
    pub(super) stored: Stored,
    pub(super) turned: bool,
}

/// Sums over the levels of rows, exact in any order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    /// Of each channel.
    count: u64,
    sums: [u64; 3],
    squares: [u128; 3],
}

impl Levels {
    /// Adds a row, `[channel, height, width]`.
    pub(super) fn add(&mut self, row: &[u8], channels: usize) {
        let plane = row.len() / channels;
        self.count += plane as u64;
        for (channel, levels) in row.chunks_exact(plane).enumerate() {
            // A table of counts would do too; sums of short stretches are vectors.
            for stretch in levels.chunks(1 << 15) {
                let sum: u32 = stretch.iter().map(|&level| u32::from(level)).sum();
                let squares: u32 =
                    stretch.iter().map(|&level| u32::from(level) * u32::from(level)).sum();
                self.sums[channel] += u64::from(sum);
                self.squares[channel] += u128::from(squares);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Levels) {
        self.count += other.count;
        for channel in 0..3 {
            self.sums[channel] += other.sums[channel];
            self.squares[channel] += other.squares[channel];
        }
    }

    /// Means and deviations of all levels together, on the scale `0.0..=1.0`.
    pub(super) fn channels(&self, color: Color) -> Vec<Channel> {
        let names: &[&str] =
            if color == Color::Grey { &["grey"] } else { &["red", "green", "blue"] };
        if self.count == 0 {
            return Vec::new();
        }
        let count = u128::from(self.count);
        let channel = |(name, channel): (&&'static str, usize)| {
            let sum = u128::from(self.sums[channel]);
            // Of integers: nothing is rounded before the division.
            let spread = count * self.squares[channel] - sum * sum;
            let scale = count as f64 * 255.0;
            Channel { name, mean: sum as f64 / scale, std: (spread as f64).sqrt() / scale }
        };
        names.iter().zip(0..).map(channel).collect()
    }
}

/// What the good ones come to; `seen` in the order of the source, `path` of an
/// index.
pub(super) fn good(
    seen: &[Seen],
    levels: &Levels,
    color: Color,
    path: impl Fn(u64) -> PathBuf,
) -> Good {
    let count = |of: &dyn Fn(&Seen) -> Option<String>| {
        let mut counts = BTreeMap::<String, u64>::new();
        seen.iter().filter_map(of).for_each(|what| *counts.entry(what).or_default() += 1);
        most_first(counts)
    };
    let mut sizes = count(&|seen| Some(seen.size.to_string()));
    let distinct_sizes = sizes.len() as u64;
    sizes.truncate(SHOWN_SIZES);
    let pixels = |seen: &Seen| seen.size.pixels() as u64;
    let misnamed = seen.iter().filter_map(|seen| {
        let (path, content) = (path(seen.index), seen.format?);
        let promised = Format::promised(&path)?;
        (promised != content).then_some(Misnamed { index: seen.index, path, promised, content })
    });
    Good {
        samples: seen.len() as u64,
        total_bytes: seen.iter().map(|seen| seen.bytes).sum(),
        bytes: Spread::of(seen.iter().map(|seen| seen.bytes)),
        formats: count(&|seen| {
            Some(seen.format.map_or("other".to_owned(), |format| format.to_string()))
        }),
        misnamed: misnamed.collect(),
        width: Spread::of(seen.iter().map(|seen| u64::from(seen.size.width))),
        height: Spread::of(seen.iter().map(|seen| u64::from(seen.size.height))),
        pixels: Spread::of(seen.iter().map(pixels)),
        sizes,
        distinct_sizes,
        large: seen.iter().filter(|seen| pixels(seen) > LARGE_PIXELS).count() as u64,
        colors: count(&|seen| Some(seen.stored.to_string())),
        turned: seen.iter().filter(|seen| seen.turned).count() as u64,
        duplicates: duplicates(seen, path),
        channels: levels.channels(color),
    }
}

/// The largest counts first, equal ones by name.
fn most_first(counts: BTreeMap<String, u64>) -> Vec<Counted> {
    let mut counts: Vec<_> =
        counts.into_iter().map(|(what, samples)| Counted { what, samples }).collect();
    counts.sort_by_key(|counted| std::cmp::Reverse(counted.samples));
    counts
}

/// Files of the same bytes under several names.
fn duplicates(seen: &[Seen], path: impl Fn(u64) -> PathBuf) -> Duplicates {
    let mut order: Vec<&Seen> = seen.iter().collect();
    order.sort_by_key(|seen| (seen.hash, seen.bytes, seen.index));
    let mut groups = Vec::new();
    for same in order.chunk_by(|a, b| (a.hash, a.bytes) == (b.hash, b.bytes)) {
        let [first, _, ..] = same else { continue };
        // A list may name a file twice, which makes it no copy.
        let mut samples: Vec<_> = same.iter().map(|seen| (path(seen.index), seen.index)).collect();
        samples.sort();
        samples.dedup_by(|a, b| a.0 == b.0);
        samples.sort_by_key(|(_, index)| *index);
        if samples.len() > 1 {
            let (paths, indices) = samples.into_iter().unzip();
            groups.push(Copies { hash: first.hash, bytes: first.bytes, indices, paths });
        }
    }
    groups.sort_by_key(|copies| copies.indices.first().copied());
    let extra = groups.iter().map(|copies| copies.paths.len() as u64 - 1).sum();
    Duplicates { extra, groups }
}

impl Spread {
    /// All zero of nothing.
    pub(super) fn of(values: impl Iterator<Item = u64>) -> Spread {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        let [min, .., max] = values[..] else {
            let only = values.first().copied().unwrap_or(0);
            return Spread { min: only, median: only, max: only };
        };
        // Of an even number of values the lower one in the middle.
        Spread { min, median: values[(values.len() - 1) / 2], max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_a_slow_loop() {
        let rows: Vec<Vec<u8>> = (0..5_u32)
            .map(|row| (0..3 * 70_000).map(|at| ((at * 7 + at / 255 * row) % 256) as u8).collect())
            .collect();
        let mut levels = Levels::default();
        rows.iter().for_each(|row| levels.add(row, 3));
        let channels = levels.channels(Color::Rgb);
        assert_eq!(channels.len(), 3);
        for (channel, told) in channels.iter().enumerate() {
            let plane = |row: &Vec<u8>| row[channel * 70_000..][..70_000].to_vec();
            let all: Vec<f64> =
                rows.iter().flat_map(plane).map(|level| f64::from(level) / 255.0).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|level| (level - mean).powi(2)).sum::<f64>();
            assert!((told.mean - mean).abs() < 1e-12, "{told:?} {mean}");
            assert!((told.std - (variance / all.len() as f64).sqrt()).abs() < 1e-12, "{told:?}");
        }
        let (mut one, mut other) = (Levels::default(), Levels::default());
        rows[..2].iter().for_each(|row| one.add(row, 3));
        rows[2..].iter().for_each(|row| other.add(row, 3));
        other.merge(&one);
        assert_eq!(other.channels(Color::Rgb), channels);
        assert!(Levels::default().channels(Color::Grey).is_empty());
    }

    #[test]
    fn what_was_seen_is_counted() {
        let names = ["a.jpg", "b.jpg", "c.png", "d", "a.jpg", "e.jpg", "f.jpg"];
        let sizes = [(4_000, 3_000), (4_000, 3_000), (4_001, 3_000), (20, 10), (20, 10)];
        let sizes = sizes.into_iter().chain([(30, 10), (20, 10)]);
        let seen: Vec<Seen> = (0..)
            .zip(sizes)
            .map(|(index, (width, height))| Seen {
                index,
                // The first and the fifth are one file, named twice; the last is a copy of
                // the third, and the one before it is only as long.
                bytes: [10, 20, 30, 40, 10, 30, 30][index as usize],
                hash: [1, 2, 3, 4, 1, 5, 3][index as usize],
                size: Size { width, height },
                format: (index != 3).then_some(Format::Jpeg),
                stored: if index == 1 { Stored::Grey } else { Stored::Rgb },
                turned: index % 3 == 0,
            })
            .collect();
        let path = |index: u64| PathBuf::from(names[index as usize]);
        let mut levels = Levels::default();
        levels.add(&[0, 255], 1);
        let good = good(&seen, &levels, Color::Grey, path);
        assert_eq!((good.samples, good.total_bytes, good.large, good.turned), (7, 170, 1, 3));
        assert_eq!(good.bytes, Spread { min: 10, median: 30, max: 40 });
        assert_eq!(good.width, Spread { min: 20, median: 30, max: 4_001 });
        assert_eq!(good.height, Spread { min: 10, median: 10, max: 3_000 });
        assert_eq!(good.pixels, Spread { min: 200, median: 300, max: 12_003_000 });
        let told = |counts: &[Counted]| {
            let words =
                counts.iter().map(|counted| format!("{} {}", counted.samples, counted.what));
            words.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(told(&good.formats), "6 JPEG, 1 other");
        assert_eq!(told(&good.colors), "6 RGB, 1 grey");
        assert_eq!(told(&good.sizes), "3 20x10, 2 4000x3000, 1 30x10, 1 4001x3000");
        assert_eq!(good.distinct_sizes, 4);
        let [misnamed] = &good.misnamed[..] else { panic!("{:?}", good.misnamed) };
        assert_eq!((misnamed.index, misnamed.promised), (2, Format::Png));
        let [copies] = &good.duplicates.groups[..] else { panic!("{:?}", good.duplicates) };
        assert_eq!(
            (good.duplicates.extra, &copies.indices[..], copies.bytes),
            (1, &[2, 6][..], 30)
        );
        assert_eq!(copies.paths, [path(2), path(6)]);
        let [channel] = &good.channels[..] else { panic!("{:?}", good.channels) };
        assert_eq!((channel.name, channel.mean, channel.std), ("grey", 0.5, 0.5));
    }

    #[test]
    fn spreads_have_a_middle() {
        let of = |values: &[u64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[]), Spread { min: 0, median: 0, max: 0 });
        assert_eq!(of(&[7]), Spread { min: 7, median: 7, max: 7 });
        assert_eq!(of(&[9, 1]), Spread { min: 1, median: 1, max: 9 });
        assert_eq!(of(&[9, 1, 4]), Spread { min: 1, median: 4, max: 9 });
    }
}
