//! Decoders that are plugged in: rows that come in bands, and decoders that do
//! not keep their word.

#![allow(clippy::unwrap_used)]

mod common;

use common::trees::{ppm, tree};
use common::within;
use infeed::decode::{Channels, Decode, Picture, Region, StandardDecoder};
use infeed::{Cause, CauseKind, Fit, Limits, Loader, LoaderBuilder, OnError, Size, Stage};

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
