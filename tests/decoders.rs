//! Decoders that are plugged in: rows that come in bands, and decoders that do
//! not keep their word.

#![allow(clippy::unwrap_used)]

mod common;

use common::trees::{ppm, tree};
use common::within;
use infeed::decode::{Channels, Decode, Picture, Region, StandardDecoder};
use infeed::{Cause, CauseKind, Color, Decoding, Filter, Fit, Limits, Loader, LoaderBuilder};
use infeed::{OnError, Size, Stage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// What becomes of the standard decoder's rows.
#[derive(Clone, Copy, Debug)]
enum Rows {
    /// In bands of so many; outside what is wanted anything, below it nothing.
    Bands(usize),
    /// The last wanted one does not come.
    Short,
    /// The first two change places.
    Swapped,
    /// One comes twice.
    Twice,
    /// One more than the picture has.
    TooMany,
}

impl Decode for Rows {
    fn open<'a>(&self, encoded: &'a [u8], limits: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        let picture = StandardDecoder::default().open(encoded, limits)?;
        Ok(Box::new(Banded { picture, rows: *self }))
    }
}

struct Banded<'a> {
    picture: Box<dyn Picture + 'a>,
    rows: Rows,
}

impl Picture for Banded<'_> {
    fn size(&self) -> Size {
        self.picture.size()
    }

    fn working_bytes(&self) -> u64 {
        self.picture.working_bytes()
    }

    fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause> {
        self.picture.read(channels, out)
    }

    fn read_rows(
        self: Box<Self>,
        channels: Channels,
        wanted: Region,
        memory: &mut [u8],
        rows: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Cause> {
        let Size { width, height } = self.size();
        self.picture.read(channels, memory)?;
        let pixel = channels.count();
        let stride = width as usize * pixel;
        let bottom = (wanted.top + wanted.height) as usize;
        assert!(bottom <= height as usize && wanted.left + wanted.width <= width);
        // What nobody has asked for is not looked at.
        let columns = wanted.left as usize * pixel..(wanted.left + wanted.width) as usize * pixel;
        for (at, byte) in memory.iter_mut().enumerate() {
            let inside = (wanted.top as usize..bottom).contains(&(at / stride));
            if !inside || !columns.contains(&(at % stride)) {
                *byte = 0x5a;
            }
        }
        let row = |number: usize| &memory[number * stride..(number + 1) * stride];
        match self.rows {
            Rows::Bands(height) => {
                let bands = memory[..bottom * stride].chunks(height * stride);
                bands.enumerate().for_each(|(number, band)| rows((number * height) as u32, band));
            }
            Rows::Short => rows(0, &memory[..(bottom - 1) * stride]),
            Rows::Swapped => {
                rows(1, row(1));
                rows(0, row(0));
                rows(2, &memory[2 * stride..]);
            }
            Rows::Twice => {
                rows(0, row(0));
                rows(0, memory);
            }
            Rows::TooMany => {
                rows(0, memory);
                rows(height, row(0));
            }
        }
        Ok(())
    }
}

/// Pictures of several shapes.
fn photos() -> tempfile::TempDir {
    let shapes = [(40, 30), (17, 90), (64, 64), (5, 3)].into_iter().enumerate();
    tree(shapes.map(|(number, (width, height))| {
        (format!("{number}.ppm"), ppm(width, height, number as u32))
    }))
}

fn values(builder: LoaderBuilder<f32>) -> Vec<f32> {
    let mut loader = builder.batch_size(3).build().unwrap();
    let epoch = loader.epoch(0).unwrap();
    epoch.flat_map(|batch| batch.unwrap().as_slice().to_vec()).collect()
}

#[test]
fn bands_make_the_same_batches() {
    within(|_| {
        let root = photos();
        let fits = [
            (Fit::Stretch, None),
            (Fit::Crop { shorter: Some(30) }, None),
            (Fit::random_crop(), None),
            (Fit::random_crop(), Some(24)),
        ];
        for (fit, side) in fits {
            for filter in ["opencv-bilinear", "lanczos"] {
                let builder = || {
                    let builder = Loader::folder(root.path()).size(20, 16).fit(fit);
                    let builder = builder.filter(filter.parse().unwrap());
                    match side {
                        Some(side) => builder.cache_side(side),
                        None => builder,
                    }
                };
                let whole = values(builder());
                assert_eq!(whole.len(), 4 * 3 * 20 * 16);
                for band in [1, 2, 8, 1_000] {
                    let banded = values(builder().decoder(Rows::Bands(band)));
                    assert_eq!(banded, whole, "{fit} {filter} {side:?} in bands of {band}");
                }
            }
        }
    });
}

#[test]
fn a_decoder_that_does_not_keep_its_word_fails_the_sample() {
    within(|_| {
        let root = photos();
        let broken = [
            (Rows::Short, "ended before"),
            (Rows::Swapped, "one after the other"),
            (Rows::Twice, "one after the other"),
            (Rows::TooMany, "one after the other"),
        ];
        for (rows, message) in broken {
            let builder = || Loader::folder(root.path()).size(20, 16).decoder(rows);
            let mut loader = builder().on_error(OnError::Fail).batch_size(1).build().unwrap();
            let error = loader.epoch(0).unwrap().next().unwrap().unwrap_err();
            let failed = error.sample().unwrap();
            assert_eq!(failed.stage(), Stage::Decode, "{rows:?}");
            assert_eq!(failed.cause().kind(), CauseKind::Corrupt, "{rows:?}");
            assert!(failed.cause().message().contains(message), "{rows:?}: {error}");
            // Alone it is no different.
            let encoded = std::fs::read(root.path().join("0.ppm")).unwrap();
            let mut alone = builder().preprocessor().unwrap();
            let mut row = vec![0.0; alone.row_len()];
            let (stage, cause) = alone.preprocess(&encoded, &mut row).unwrap_err();
            assert_eq!((stage, cause.kind()), (Stage::Decode, CauseKind::Corrupt), "{rows:?}");
            assert!(alone.decode_rgb8(&encoded).is_err(), "{rows:?}");
        }
    });
}

/// A smooth photograph whose sides are no multiples of anything, stored as EXIF's
/// orientation says.
fn photograph(sampling: SamplingFactor, orientation: u8) -> Vec<u8> {
    let (width, height) = (611_u16, 405_u16);
    let wave = |at: usize, of: u16| (at as f64 * 9.0 / f64::from(of)).sin();
    let level = |x: usize, y: usize, c: usize| match c {
        0 => (25.0 + 200.0 * x as f64 / f64::from(width)) as u8,
        1 => (25.0 + 200.0 * y as f64 / f64::from(height)) as u8,
        _ => (100.0 + 50.0 * wave(x, width) * wave(y, height)) as u8,
    };
    let pixels = (0..usize::from(width) * usize::from(height) * 3).map(|i| {
        let (pixel, c) = (i / 3, i % 3);
        level(pixel % usize::from(width), pixel / usize::from(width), c)
    });
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 92);
    encoder.set_sampling_factor(sampling);
    // Big-endian TIFF with one field: tag, type, count, value.
    let exif = [
        &b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
        &[orientation, 0, 0, 0, 0, 0, 0][..],
    ];
    encoder.add_app_segment(1, exif.concat()).unwrap();
    let pixels: Vec<u8> = pixels.collect();
    encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
    file
}

#[test]
fn reduced_pictures_look_like_whole_ones_whatever_way_they_are_turned() {
    within(|_| {
        let samplings = [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_2, SamplingFactor::R_4_2_0];
        let root = tempfile::tempdir().unwrap();
        for orientation in 1..=8 {
            for (number, sampling) in samplings.into_iter().enumerate() {
                let path = root.path().join(format!("{orientation}-{number}.jpg"));
                std::fs::write(path, photograph(sampling, orientation)).unwrap();
            }
        }
        let cases = [
            (Fit::Stretch, 150, None),
            (Fit::Crop { shorter: Some(80) }, 70, None),
            (Fit::random_crop(), 30, None),
            (Fit::random_crop(), 30, Some(50)),
        ];
        for (fit, side, cache_side) in cases {
            for color in [Color::Rgb, Color::Grey] {
                let builder = |decode| {
                    let builder = Loader::folder(root.path()).dtype::<u8>().size(side, side - 6);
                    let builder = builder.fit(fit).color(color).filter(Filter::Bilinear);
                    let builder = builder.flip(0.5).seed(3).decode(decode);
                    match cache_side {
                        Some(side) => builder.cache_side(side),
                        None => builder,
                    }
                };
                let levels = |builder: LoaderBuilder<u8>| -> Vec<u8> {
                    let mut loader = builder.build().unwrap();
                    let batches = loader.epoch(0).unwrap();
                    batches.flat_map(|batch| batch.unwrap().as_slice().to_vec()).collect()
                };
                let (exact, fast) = (builder(Decoding::Exact), builder(Decoding::Fast));
                let alone = {
                    let mut alone = fast.preprocessor().unwrap();
                    let mut row = vec![0; alone.row_len()];
                    let encoded = std::fs::read(root.path().join("1-0.jpg")).unwrap();
                    alone.preprocess_as(0, 0, &encoded, &mut row).unwrap();
                    row
                };
                let (exact, fast) = (levels(exact), levels(fast.threads(3)));
                assert_eq!(alone, fast[..alone.len()], "{fit}");
                assert_ne!(exact, fast, "{fit} {color} is not reduced");
                let off = exact.iter().zip(&fast).map(|(a, b)| a.abs_diff(*b));
                let (most, sum) = (off.clone().max().unwrap(), off.map(u64::from).sum::<u64>());
                let mean = sum as f64 / exact.len() as f64;
                assert!(most <= 6 && mean < 0.8, "{fit} {color} {cache_side:?}: {most}, {mean}");
                // A pixel further is a third of a level, and half of one downwards.
                let plane = side as usize * (side as usize - 6);
                for (exact, fast) in exact.chunks(plane).zip(fast.chunks(plane)) {
                    let sum =
                        |levels: &[u8]| levels.iter().map(|&level| f64::from(level)).sum::<f64>();
                    let off: f64 = (sum(fast) - sum(exact)) / plane as f64;
                    assert!(off.abs() < 0.32, "{fit} {color} {cache_side:?}: {off}");
                }
            }
        }
    });
}

/// Says that it comes smaller, and does not.
struct Boastful;

impl Decode for Boastful {
    fn open<'a>(&self, encoded: &'a [u8], limits: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        struct AsLarge<'a>(Box<dyn Picture + 'a>);
        impl Picture for AsLarge<'_> {
            fn size(&self) -> Size {
                self.0.size()
            }

            fn reduce(&mut self, by: u32) -> u32 {
                by
            }

            fn working_bytes(&self) -> u64 {
                0
            }

            fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause> {
                self.0.read(channels, out)
            }
        }
        Ok(Box::new(AsLarge(StandardDecoder::default().open(encoded, limits)?)))
    }
}

#[test]
fn a_picture_that_is_not_as_small_as_its_decoder_says_fails() {
    within(|_| {
        let root = photos();
        let builder = Loader::folder(root.path()).size(4, 4).decode(Decoding::Fast);
        let mut loader = builder.decoder(Boastful).build().unwrap();
        let error = loader.epoch(0).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("not as much smaller"), "{error}");
    });
}
