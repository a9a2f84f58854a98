//! What each knob may be, alone and beside the others.

use std::time::Duration;

use super::{
    Budget, Cache, Color, Config, Fit, Normalize, OnError, Order, Sampling, Size, Split, Subset,
    refuse,
};
use crate::cache;
use crate::element::{Dtype, Element};
use crate::error::Result;

/// Samples of a batch.
pub(crate) const MOST_IN_A_BATCH: usize = 1 << 20;
/// Beyond it a deadline may not be a point in time any more.
const MAX_READ_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Threads beyond this are a mistyped number, not a machine.
const MAX_THREADS: usize = 4_096;
/// Of an epoch of weighted sampling: more would last for centuries, and what is
/// counted in batches and ranks has room.
const MOST_SAMPLES: u64 = 1 << 48;

impl Config {
    pub(super) fn check<T: Element>(&self) -> Result<()> {
        self.split.as_ref().map_or(Ok(()), Split::check)?;
        self.subset.as_ref().map_or(Ok(()), Subset::check)?;
        if self.batch_size == 0 || self.batch_size > MOST_IN_A_BATCH {
            return refuse("batch_size", self.batch_size, "expected 1 to 1048576 samples");
        }
        let Size { width, height } = self.size;
        if width == 0 || height == 0 || width > 65_535 || height > 65_535 {
            return refuse("size", self.size, "expected 1 to 65535 pixels a side");
        }
        if let Fit::Crop { shorter: Some(shorter) } = self.fit
            && (shorter < width.max(height) || shorter > 65_535)
        {
            let reason = format!(
                "the shorter side must be at least the larger side of the size, {}, and at most \
                 65535, or the cut would reach beyond the picture",
                width.max(height)
            );
            return refuse("fit", self.fit, reason);
        }
        self.check_sampling()?;
        self.check_augmentation()?;
        self.check_normalize::<T>()?;
        self.check_limits()?;
        self.check_on_error()?;
        self.check_cache()?;
        if self.threads > MAX_THREADS {
            return refuse("threads", self.threads, "expected 0 (one per core) to 4096");
        }
        if self.readers > MAX_THREADS {
            return refuse("readers", self.readers, "expected 0 (choose) to 4096");
        }
        if self.prefetch > 1 << 16 {
            return refuse("prefetch", self.prefetch, "expected 0 (choose) to 65536 batches");
        }
        if self.held_batches == 0 || self.held_batches > 1 << 20 {
            return refuse("held_batches", self.held_batches, "expected 1 to 1048576");
        }
        if !(0.0..=0.5).contains(&self.wait_target) {
            let reason = "expected a share of the consumer's time, 0 to 0.5";
            return refuse("wait_target", self.wait_target, reason);
        }
        if self.stall_report.is_some_and(|after| after.is_zero()) {
            return refuse("stall_report", "0", "expected a positive duration, or none");
        }
        if self.read_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return refuse("read_timeout", "0", "expected a positive duration, or none");
        }
        if let Some(timeout) = self.read_timeout.filter(|timeout| *timeout > MAX_READ_TIMEOUT) {
            let reason = "expected at most a year, or none to wait for ever";
            return refuse("read_timeout", format_args!("{timeout:?}"), reason);
        }
        Ok(())
    }

    fn check_sampling(&self) -> Result<()> {
        let shard = self.shard.clone()?;
        if let Err(reason) = shard.check() {
            return refuse("shard", shard, reason);
        }
        let skips = matches!(self.on_error, OnError::Skip { .. });
        if shard.world > 1 && self.order == Order::Unordered && skips {
            let reason = "unordered, a rank on which samples are skipped has fewer batches than \
                          the others, which then wait for it. Replace failed samples, or choose \
                          the order ordered";
            return refuse("on_error", self.on_error, reason);
        }
        let Sampling::Weighted { weights, samples } = &self.sampling else { return Ok(()) };
        if *samples == Some(0) {
            return refuse("sampling", &self.sampling, "expected at least 1 sample in an epoch");
        }
        if samples.is_some_and(|samples| samples > MOST_SAMPLES) {
            let reason = format!("expected at most {MOST_SAMPLES} samples in an epoch");
            return refuse("sampling", &self.sampling, reason);
        }
        if !weights.given().iter().all(|weight| weight.is_finite() && *weight >= 0.0) {
            let reason = "expected weights that are finite numbers, 0 or more";
            return refuse("sampling", &self.sampling, reason);
        }
        Ok(())
    }

    fn check_normalize<T: Element>(&self) -> Result<()> {
        let Normalize { mean, std } = self.normalize;
        if self.color == Color::Grey && [mean, std].iter().any(|c| c[1..] != [c[0]; 2]) {
            let reason = "grey batches have one channel: give it one mean and one deviation, three \
                          times";
            return refuse("normalize", format_args!("{mean:?}, {std:?}"), reason);
        }
        if T::DTYPE == Dtype::U8 && self.normalize != Normalize::UNIT {
            let reason = "u8 batches hold the levels as they are; leave mean and std out, or \
                          choose the element type f32";
            return refuse("normalize", format_args!("{mean:?}, {std:?}"), reason);
        }
        if !mean.iter().all(|mean| mean.is_finite()) {
            return refuse("normalize", format_args!("mean {mean:?}"), "expected finite numbers");
        }
        if !std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return refuse("normalize", format_args!("std {std:?}"), "expected positive numbers");
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<()> {
        if let Some(bytes) = self.max_file_bytes
            && (bytes == 0 || bytes > 1 << 40)
        {
            return refuse("max_file_bytes", bytes, "expected 1 byte to 1 TiB");
        }
        if let Some(pixels) = self.max_pixels
            && (pixels == 0 || pixels > 1 << 33)
        {
            return refuse("max_pixels", pixels, "expected 1 to 8589934592 pixels");
        }
        if self.max_side == 0 || self.max_side > 1 << 20 {
            return refuse("max_side", self.max_side, "expected 1 to 1048576 pixels");
        }
        if self.max_scans == 0 {
            return refuse("max_scans", self.max_scans, "expected at least 1 scan");
        }
        Ok(())
    }

    fn check_cache(&self) -> Result<()> {
        let random = matches!(self.fit, Fit::RandomCrop { .. });
        match self.cache_side {
            Some(side) if !random => {
                let reason = "only random crops are cut from a scaled picture; with this fit the \
                              finished rows are cached. Leave it out";
                return refuse("cache_side", side, reason);
            }
            Some(side) if side == 0 || side > 65_535 => {
                return refuse("cache_side", side, "expected 1 to 65535 pixels");
            }
            None if random && self.cache != Cache::None => {
                let reason = "random crops differ from epoch to epoch, so whole pictures would be \
                              cached: say with cache_side to how many pixels their shorter side is \
                              scaled, which changes results";
                return refuse("cache", &self.cache, reason);
            }
            _ => {}
        }
        let pixels = self.kept_bytes();
        let (limit, least) = match &self.cache {
            Cache::None => return Ok(()),
            Cache::Memory { limit } => (*limit, cache::memory_bytes(pixels)),
            Cache::Disk { limit, .. } => (*limit, cache::file_bytes(pixels)),
        };
        if limit < least || limit > 1 << 50 {
            let reason = format!("expected {least} bytes, which one picture takes there, to 1 PiB");
            return refuse("cache", &self.cache, reason);
        }
        Ok(())
    }

    fn check_on_error(&self) -> Result<()> {
        if let OnError::Replace { attempts, .. } = self.on_error
            && (attempts == 0 || attempts > 1_000)
        {
            return refuse(
                "on_error",
                format_args!("replace, {attempts} attempts"),
                "expected 1 to 1000 attempts",
            );
        }
        if let Budget::Fraction(fraction) = self.on_error.budget()
            && !(0.0..=1.0).contains(&fraction)
        {
            return refuse("max_failures", self.on_error.budget(), "expected 0% to 100%");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Shard, Weights};
    use crate::error::Error;

    fn refused(change: impl FnOnce(&mut Config)) -> Error {
        let mut config = Config::default();
        change(&mut config);
        config.resolve::<f32>().unwrap_err()
    }

    #[test]
    fn the_defaults_resolve() {
        let resolved = Config::default().resolve::<f32>().unwrap();
        assert_eq!(resolved.batch_size, 32);
        assert_eq!(resolved.prefetch, 2);
        assert!(resolved.threads >= 1);
    }

    #[test]
    fn every_wrong_value_names_its_field() {
        assert_eq!(refused(|c| c.split = Some(Split::train(f64::NAN))).field(), Some("split"));
        assert_eq!(refused(|c| c.split = Some(Split::validation(0.0))).field(), Some("split"));
        assert_eq!(refused(|c| c.split = Some(Split::train(1.1))).field(), Some("split"));
        assert_eq!(refused(|c| c.subset = Some(Subset::new([]))).field(), Some("subset"));
        let twice = refused(|c| c.subset = Some(Subset::new([4, 1, 4])));
        assert!(twice.to_string().starts_with("subset = 4: it is there twice"), "{twice}");
        assert_eq!(refused(|c| c.batch_size = 0).field(), Some("batch_size"));
        assert_eq!(refused(|c| c.size.width = 0).field(), Some("size"));
        assert_eq!(refused(|c| c.fit = Fit::Crop { shorter: Some(511) }).field(), Some("fit"));
        assert_eq!(refused(|c| c.normalize.std[1] = 0.0).field(), Some("normalize"));
        assert_eq!(refused(|c| c.normalize.mean[1] = f32::NAN).field(), Some("normalize"));
        assert_eq!(refused(|c| c.max_pixels = Some(0)).field(), Some("max_pixels"));
        assert_eq!(refused(|c| c.max_file_bytes = Some(0)).field(), Some("max_file_bytes"));
        assert_eq!(refused(|c| c.max_side = 0).field(), Some("max_side"));
        assert_eq!(refused(|c| c.max_scans = 0).field(), Some("max_scans"));
        assert_eq!(refused(|c| c.threads = 1 << 20).field(), Some("threads"));
        assert_eq!(refused(|c| c.readers = 1 << 20).field(), Some("readers"));
        assert_eq!(refused(|c| c.prefetch = 1 << 20).field(), Some("prefetch"));
        assert_eq!(refused(|c| c.held_batches = 0).field(), Some("held_batches"));
        assert_eq!(
            refused(|c| c.read_timeout = Some(Duration::ZERO)).field(),
            Some("read_timeout")
        );
        for (scale, ratio) in [
            ((0.0, 1.0), (1.0, 1.0)),
            ((0.5, 0.4), (1.0, 1.0)),
            ((0.5, 1.1), (1.0, 1.0)),
            ((0.5, 1.0), (0.0, 1.0)),
            ((0.5, 1.0), (2.0, 1.0)),
            ((0.5, 1.0), (1.0, f32::INFINITY)),
            ((f32::NAN, 1.0), (1.0, 1.0)),
        ] {
            assert_eq!(refused(|c| c.fit = Fit::RandomCrop { scale, ratio }).field(), Some("fit"));
        }
        let grey = refused(|c| (c.color, c.normalize) = (Color::Grey, Normalize::IMAGENET));
        assert_eq!(grey.field(), Some("normalize"));
        let attempts = OnError::Replace { attempts: 0, max_failures: Budget::Unlimited };
        assert_eq!(refused(|c| c.on_error = attempts).field(), Some("on_error"));
        let share = OnError::Skip { max_failures: Budget::Fraction(1.5) };
        assert_eq!(refused(|c| c.on_error = share).field(), Some("max_failures"));
    }

    #[test]
    fn a_cache_of_random_crops_says_what_it_keeps() {
        let random = |c: &mut Config| c.fit = Fit::random_crop();
        let cached = |c: &mut Config| c.cache = Cache::memory(1 << 30);
        let error = refused(|c| {
            random(c);
            cached(c);
        });
        assert_eq!(error.field(), Some("cache"));
        assert!(error.to_string().contains("cache_side"), "{error}");
        for side in [0, 1 << 16] {
            let error = refused(|c| {
                random(c);
                c.cache_side = Some(side);
            });
            assert_eq!(error.field(), Some("cache_side"));
        }
        let error = refused(|c| {
            cached(c);
            c.cache_side = Some(256);
        });
        assert_eq!(error.field(), Some("cache_side"));
        for cache in [Cache::memory(100_000), Cache::disk("x", 100_000), Cache::memory(u64::MAX)] {
            assert_eq!(refused(|c| c.cache = cache).field(), Some("cache"));
        }
    }

    #[test]
    fn levels_are_not_normalised() {
        let config = Config { normalize: Normalize::IMAGENET, ..Config::default() };
        assert_eq!(config.resolve::<u8>().unwrap_err().field(), Some("normalize"));
        assert!(config.resolve::<f32>().is_ok());
    }

    /// Those values are taken, and these are refused by the name of the field.
    fn limits<T: Copy + std::fmt::Debug>(
        field: &str,
        set: impl Fn(&mut Config, T),
        taken: &[T],
        refused: &[T],
    ) {
        let check = |value| {
            let mut config = Config::default();
            set(&mut config, value);
            config.check::<f32>()
        };
        for &value in taken {
            assert!(check(value).is_ok(), "{field} = {value:?}");
        }
        for &value in refused {
            let error = check(value).unwrap_err();
            assert_eq!(error.field(), Some(field), "{value:?}");
        }
    }

    #[test]
    fn every_limit_is_the_last_value_that_is_taken() {
        limits("batch_size", |c, n| c.batch_size = n, &[1, 1 << 20], &[0, (1 << 20) + 1]);
        limits("threads", |c, n| c.threads = n, &[0, 4_096], &[4_097]);
        limits("readers", |c, n| c.readers = n, &[0, 4_096], &[4_097]);
        limits("prefetch", |c, n| c.prefetch = n, &[0, 65_536], &[65_537]);
        limits("held_batches", |c, n| c.held_batches = n, &[1, 1 << 20], &[0, (1 << 20) + 1]);
        limits("max_side", |c, n| c.max_side = n, &[1, 1 << 20], &[0, (1 << 20) + 1]);
        limits("max_scans", |c, n| c.max_scans = n, &[1, u32::MAX], &[0]);
        let most = 1 << 40;
        limits("max_file_bytes", |c, n| c.max_file_bytes = Some(n), &[1, most], &[0, most + 1]);
        let most = 1 << 33;
        limits("max_pixels", |c, n| c.max_pixels = Some(n), &[1, most], &[0, most + 1]);
        let size = |c: &mut Config, (width, height)| c.size = Size { width, height };
        let (taken, refused) =
            ([(1, 65_535), (65_535, 1)], [(0, 1), (1, 0), (65_536, 1), (1, 65_536)]);
        limits("size", size, &taken, &refused);

        let target = |c: &mut Config, share| c.wait_target = share;
        limits("wait_target", target, &[0.0, 0.5], &[-0.001, 0.501, f64::NAN]);
        let (least, year) = (Duration::from_nanos(1), MAX_READ_TIMEOUT);
        limits(
            "stall_report",
            |c, n| c.stall_report = n,
            &[None, Some(least)],
            &[Some(Duration::ZERO)],
        );
        limits(
            "read_timeout",
            |c, n| c.read_timeout = n,
            &[None, Some(least), Some(year)],
            &[Some(Duration::ZERO), Some(year + least)],
        );
        assert_eq!(year.as_secs(), 31_536_000);
    }

    #[test]
    fn a_crop_covers_the_size_and_is_no_larger_than_a_side_may_be() {
        for (width, height) in [(300, 200), (200, 300)] {
            let set = |c: &mut Config, shorter| {
                (c.size, c.fit) = (Size { width, height }, Fit::Crop { shorter });
            };
            limits("fit", set, &[None, Some(300), Some(65_535)], &[Some(299), Some(65_536)]);
        }
    }

    #[test]
    fn samples_and_weights_that_can_be_drawn() {
        let samples = |c: &mut Config, samples| {
            c.sampling = Sampling::Weighted { weights: Weights::Balanced, samples };
        };
        let most = 1 << 48;
        limits("sampling", samples, &[None, Some(1), Some(most)], &[Some(0), Some(most + 1)]);
        let weight = |c: &mut Config, weight: f64| {
            let weights = Weights::samples([1.0, weight]);
            c.sampling = Sampling::Weighted { weights, samples: None };
        };
        let wrong = [-0.1, f64::NAN, f64::INFINITY];
        limits("sampling", weight, &[0.0, 1e300], &wrong);
    }

    #[test]
    fn ranks_that_would_wait_for_each_other_are_refused() {
        let set = |c: &mut Config, (world, order, on_error)| {
            c.shard = Ok(Shard { rank: 0, world });
            (c.order, c.on_error) = (order, on_error);
        };
        let (skip, replace) = (OnError::skip(), OnError::replace());
        let taken = [
            (1, Order::Unordered, skip),
            (2, Order::Ordered, skip),
            (2, Order::Unordered, OnError::Fail),
            (2, Order::Unordered, replace),
        ];
        limits("on_error", set, &taken, &[(2, Order::Unordered, skip)]);
        limits("shard", |c, rank| c.shard = Ok(Shard { rank, world: 2 }), &[0, 1], &[2]);
    }

    #[test]
    fn means_and_deviations_that_can_be_computed_with() {
        let mean = |c: &mut Config, mean| c.normalize.mean[1] = mean;
        limits("normalize", mean, &[0.0, -7.0, f32::MAX], &[f32::NAN, f32::INFINITY]);
        let std = |c: &mut Config, std| c.normalize.std[2] = std;
        let wrong = [0.0, -1.0, f32::NAN, f32::INFINITY];
        limits("normalize", std, &[f32::MIN_POSITIVE, 1.0], &wrong);
        let grey = |c: &mut Config, normalize| {
            (c.color, c.normalize) = (Color::Grey, normalize);
        };
        let even = Normalize { mean: [0.4; 3], std: [0.2; 3] };
        let with = |at: usize| {
            let (mut mean, mut std) = (even, even);
            (mean.mean[at], std.std[at]) = (0.5, 0.5);
            [mean, std]
        };
        limits("normalize", grey, &[even], &[with(1), with(2)].concat());
        // Of levels as they are only those are taken that change nothing.
        let config = Config { normalize: Normalize::UNIT, ..Config::default() };
        assert!(config.check::<u8>().is_ok());
    }

    #[test]
    fn a_cache_has_room_for_a_picture() {
        let pixels = 3 * 512 * 512;
        let memory = cache::memory_bytes(pixels);
        let disk = cache::file_bytes(pixels);
        let most = 1 << 50;
        let set = |c: &mut Config, limit| c.cache = Cache::memory(limit);
        limits("cache", set, &[memory, most], &[0, memory - 1, most + 1]);
        let set = |c: &mut Config, limit| c.cache = Cache::disk("cache", limit);
        limits("cache", set, &[disk, most], &[0, disk - 1, most + 1]);
        // Of random crops it is the scaled picture.
        let side = |c: &mut Config, side| {
            (c.fit, c.cache_side) = (Fit::random_crop(), side);
        };
        let (taken, wrong) = ([None, Some(1), Some(65_535)], [Some(0), Some(65_536)]);
        limits("cache_side", side, &taken, &wrong);
        let memory = cache::memory_bytes(3 * 100 * 100);
        let set = |c: &mut Config, limit| {
            (c.fit, c.cache_side) = (Fit::random_crop(), Some(100));
            c.cache = Cache::memory(limit);
        };
        limits("cache", set, &[memory], &[memory - 1]);
        limits("cache_side", |c, side| c.cache_side = side, &[None], &[Some(256)]);
    }

    #[test]
    fn attempts_and_shares_of_failures() {
        let unlimited = Budget::Unlimited;
        let attempts = |c: &mut Config, attempts| {
            c.on_error = OnError::Replace { attempts, max_failures: unlimited };
        };
        limits("on_error", attempts, &[1, 1_000], &[0, 1_001]);
        for policy in [OnError::skip(), OnError::replace()] {
            let share = |c: &mut Config, share| {
                c.on_error = policy.max_failures(Budget::Fraction(share));
            };
            limits("max_failures", share, &[0.0, 1.0], &[-0.01, 1.01, f64::NAN]);
        }
    }
}
