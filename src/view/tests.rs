//! That a sheet shows what a loader delivers.

use std::path::Path;

use super::picture::Picture;
use super::png::{self, Plan};
use super::{Options, Seen, Sheet};
use crate::config::{Color, Erase, Fit, Jitter, LastBatch, Layout, Size};
use crate::element::Element;
use crate::{Loader, LoaderBuilder};

const SIZE: Size = Size { width: 200, height: 170 };

/// Pictures in class folders, one of them cut off.
fn photos() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for number in 0..7_u32 {
        let folder = root.path().join(if number < 4 { "a" } else { "b" });
        std::fs::create_dir_all(&folder).unwrap();
        let (width, height) = (230 + number * 3, 180 - number * 5);
        let mut picture = format!("P6 {width} {height} 255\n").into_bytes();
        picture.extend((0..width * height * 3).map(|at| {
            let (x, y) = (at / 3 % width, at / 3 / width);
            ((x * (1 + at % 3) + y * number) / 3 % 256) as u8
        }));
        if number == 5 {
            picture.truncate(1_000);
        }
        std::fs::write(folder.join(format!("{number}.ppm")), picture).unwrap();
    }
    root
}

fn augmented<T: Element>(root: &Path) -> LoaderBuilder<T> {
    Loader::folder(root)
        .dtype::<T>()
        .size(SIZE.width, SIZE.height)
        .batch_size(7)
        .fit(Fit::random_crop())
        .flip(0.5)
        .vflip(0.5)
        .jitter(Jitter { brightness: 0.3, contrast: 0.2, saturation: 0.3, hue: 0.1 })
        .random_grey(0.3)
        .erase(Erase::new(0.5))
        .shuffle(11)
        .on_error(crate::OnError::skip())
}

fn sheet<T: Element>(builder: &LoaderBuilder<T>, change: impl FnOnce(&mut Options)) -> Sheet {
    let mut options = Options::default();
    change(&mut options);
    builder.sheet(&options).unwrap()
}

/// The rows of an epoch by their index, as pictures.
fn delivered<T: Element>(builder: LoaderBuilder<T>, epoch: u64) -> Vec<(u64, Picture)> {
    let mut loader = builder.build().unwrap();
    let config = loader.config().clone();
    let mut rows = Vec::new();
    for batch in loader.epoch(epoch).unwrap() {
        let batch = batch.unwrap();
        let len = batch.as_slice().len() / batch.len();
        for (sample, row) in batch.samples().iter().zip(batch.as_slice().chunks_exact(len)) {
            let (layout, color) = (config.layout, config.color);
            let picture = Picture::of_row(row, config.size, layout, color, &config.normalize);
            rows.push((sample.index(), picture));
        }
    }
    rows
}

#[test]
fn a_png_has_the_pixels_of_the_batch() {
    let root = photos();
    let builder = || augmented::<u8>(root.path()).layout(Layout::Hwc);
    let sheet = sheet(&builder(), |options| (options.epoch, options.columns) = (3, 2));
    let rows = delivered(builder(), 3);
    assert_eq!((sheet.tiles().len(), rows.len()), (7, 6));
    let mut encoded = Vec::new();
    sheet.write_png(&mut encoded).unwrap();
    let decoded = image::load_from_memory(&encoded).unwrap().into_rgb8();
    let plan = Plan::new(&sheet).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (plan.size.width, plan.size.height));
    let mut shown = 0;
    for (number, tile) in (0..).zip(sheet.tiles()) {
        let Some((_, row)) = rows.iter().find(|(index, _)| *index == tile.index) else {
            assert_eq!(tile.path, Path::new("b/5.ppm"));
            assert!(tile.failure().is_some());
            continue;
        };
        let (left, top) = plan.picture(number, 1, SIZE);
        for (at, pixel) in row.pixels.chunks_exact(3).enumerate() {
            let (x, y) = (at as u32 % SIZE.width, at as u32 / SIZE.width);
            assert_eq!(decoded.get_pixel(left + x, top + y).0, pixel, "{x},{y} of {number}");
        }
        shown += 1;
    }
    assert_eq!(shown, 6);
}

/// Whatever the element type, the axes and the normalisation, levels come back.
#[test]
fn normalisation_is_taken_back() {
    let root = photos();
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let plain = delivered(augmented::<u8>(root.path()).erase(Erase::new(0.0)), 1);
    let same = |rows: &[(u64, Picture)], off: u8| {
        assert_eq!(rows.len(), plain.len());
        for ((index, row), (expected, levels)) in rows.iter().zip(&plain) {
            assert_eq!(index, expected);
            let worst = row.pixels.iter().zip(&levels.pixels).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(off), "{worst:?} levels off");
        }
    };
    for layout in [Layout::Chw, Layout::Hwc] {
        for color in [Color::Rgb, Color::Bgr] {
            let builder = augmented::<f32>(root.path()).erase(Erase::new(0.0));
            same(&delivered(builder.layout(layout).color(color).normalize(mean, std), 1), 0);
        }
    }
    let builder = augmented::<crate::f16>(root.path()).erase(Erase::new(0.0));
    same(&delivered(builder.normalize(mean, std), 1), 0);
    // Eight bits of precision are not enough for all levels away from zero.
    let builder = augmented::<crate::bf16>(root.path()).erase(Erase::new(0.0));
    same(&delivered(builder.normalize(mean, std), 1), 1);
    let grey = delivered(augmented::<f32>(root.path()).color(Color::Grey), 1);
    assert!(grey[0].1.pixels.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
    let wild = [f32::NAN, -3.0, 9.0];
    let (size, unit) = (Size { width: 1, height: 1 }, crate::config::Normalize::UNIT);
    let shown = Picture::of_row(&wild, size, Layout::Hwc, Color::Rgb, &unit);
    assert_eq!(shown.pixels, [0, 0, 255]);
}

#[test]
fn the_same_samples_in_several_epochs() {
    let root = photos();
    let builder = augmented::<u8>(root.path());
    let sheet = sheet(&builder, |options| {
        (options.epoch, options.from, options.count, options.repeat) = (2, 1, 3, 3);
    });
    assert_eq!(sheet.tiles().len(), 9);
    for same in sheet.tiles().chunks(3) {
        for (tile, epoch) in same.iter().zip(2..) {
            assert_eq!((tile.index, tile.epoch), (same[0].index, epoch));
            let rows = delivered(augmented::<u8>(root.path()), epoch);
            let row = rows.iter().find(|(index, _)| *index == tile.index);
            match (&tile.seen, row) {
                (Seen::Row(shown), Some((_, row))) => assert!(shown.row == *row),
                (Seen::Failed(..), None) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // In later epochs wherever they are: on another rank, or among the last.
    let dropping = builder.batch_size(4).last_batch(LastBatch::Drop);
    for builder in [builder_of(&root, 0), dropping] {
        let sheet = self::sheet(&builder, |options| options.repeat = 5);
        assert!(sheet.tiles().len() >= 20);
        assert!(sheet.tiles().iter().all(|tile| !matches!(tile.seen, Seen::Absent)));
    }
    // One rank's samples, in its order.
    let first = |rank| {
        let sheet = builder_of(&root, rank).sheet(&Options::default()).unwrap();
        sheet.tiles().iter().map(|tile| tile.position.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((first(0), first(1)), (vec![0, 2, 4, 6], vec![1, 3, 5, 7]));
}

fn builder_of(root: &tempfile::TempDir, rank: u32) -> LoaderBuilder<u8> {
    augmented::<u8>(root.path()).shard(rank, 2)
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let root = photos();
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        augmented::<u8>(root.path()).sheet(&options).unwrap_err().field().unwrap()
    };
    assert_eq!(refused(&|options| options.from = 7), "from");
    assert_eq!(refused(&|options| options.count = 0), "count");
    assert_eq!(refused(&|options| options.repeat = 100), "count");
    assert_eq!(refused(&|options| options.epoch = u64::MAX), "epoch");
    assert_eq!(refused(&|options| options.columns = 1_000), "columns");
    assert_eq!(Sheet::check_name("a.jpg").unwrap_err().field(), Some("out"));
    assert!(Sheet::check_name("a.PNG").is_ok() && Sheet::check_name("b/c.html").is_ok());
}

/// Sizes from one pixel to long strips: nothing is drawn outside, nothing panics.
#[test]
fn any_shape_is_drawn() {
    let root = photos();
    for (width, height) in [(1, 1), (3, 500), (700, 2), (64, 64)] {
        let builder = augmented::<u8>(root.path()).size(width, height);
        for columns in [0, 1, 9] {
            let sheet = sheet(&builder, |options| options.columns = columns);
            assert!(png::draw(&sheet).is_ok(), "{width}x{height}");
        }
    }
}
