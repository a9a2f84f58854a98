//! Looking at a source before training: what is chosen for a picture, the contact
//! sheet, the survey and what follows from it, completions and manual pages.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![cfg(feature = "cli")]

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::command::{code, dir, infeed, stderr, stdout};
use common::scripted::{Act, Scripted};
use common::trees::{jpeg, paths, ppm, tree};
use common::within;
use infeed::decode::{Format, Region};
use infeed::survey::Survey;
use infeed::view::Options;
use infeed::{
    CauseKind, Choices, Color, ColorChange, Erase, Filter, Fit, Jitter, Layout, Loader,
    LoaderBuilder, Preprocessor, Size, SkipList, Split, Stage,
};
use serde_json::Value;
use tempfile::TempDir;

// ---- what is chosen

/// A picture whose colours say where its pixels are, turned by an EXIF tag.
fn gradient(width: u16, height: u16, orientation: u8) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            let (x, y) = (x * 255 / u32::from(width), y * 255 / u32::from(height));
            pixels.extend([x as u8, y as u8, ((x + y) / 2) as u8]);
        }
    }
    let mut tag = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tag.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut encoded = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut encoded, 100);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
    encoder.add_app_segment(1, tag).unwrap();
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    encoded
}

const ROW: Size = Size { width: 24, height: 20 };

fn plain() -> LoaderBuilder<u8> {
    // Nothing is read from it.
    Loader::folder("nowhere").dtype::<u8>().size(ROW.width, ROW.height).layout(Layout::Hwc).seed(5)
}

/// The row that follows from what was told, by looking at the upright picture.
fn followed(preprocessor: &mut Preprocessor<u8>, encoded: &[u8], told: &Choices) -> Vec<f64> {
    let (size, pixels) = preprocessor.decode_rgb8(encoded).unwrap();
    assert_eq!(size, told.original);
    let level = |x: f64, y: f64, channel: usize| {
        let (x, y) =
            (x.clamp(0.0, f64::from(size.width - 1)), y.clamp(0.0, f64::from(size.height - 1)));
        let (left, top) = (x.floor(), y.floor());
        let at = |x: f64, y: f64| {
            let (x, y) = (x.min(f64::from(size.width - 1)), y.min(f64::from(size.height - 1)));
            f64::from(pixels[3 * (y as usize * size.width as usize + x as usize) + channel])
        };
        let (dx, dy) = (x - left, y - top);
        let upper = at(left, top) * (1.0 - dx) + at(left + 1.0, top) * dx;
        let lower = at(left, top + 1.0) * (1.0 - dx) + at(left + 1.0, top + 1.0) * dx;
        upper * (1.0 - dy) + lower * dy
    };
    let mut row = Vec::new();
    for y in 0..ROW.height {
        for x in 0..ROW.width {
            let x = if told.mirrored { ROW.width - 1 - x } else { x };
            let y = if told.upside_down { ROW.height - 1 - y } else { y };
            let place = |at: u32, of: u32, start: f64, length: f64| {
                start + (f64::from(at) + 0.5) * length / f64::from(of) - 0.5
            };
            let x = place(x, ROW.width, told.crop.left, told.crop.width);
            let y = place(y, ROW.height, told.crop.top, told.crop.height);
            row.extend([0, 1, 2].map(|channel| level(x, y, channel)));
        }
    }
    row
}

#[test]
fn the_told_part_turned_as_told_is_the_row() {
    let shapes = [(90_u16, 60_u16), (60, 90), (64, 64), (25, 21)];
    let fits = [
        (Fit::Stretch, None),
        (Fit::Crop { shorter: None }, None),
        (Fit::Crop { shorter: Some(31) }, None),
        (Fit::random_crop(), None),
        (Fit::random_crop(), Some(40)),
    ];
    let (mut mirrored, mut upside_down, mut cases) = (0, 0, 0);
    for (fit, side) in fits {
        let builder = plain().fit(fit).flip(0.5).vflip(0.5);
        let builder = match side {
            Some(side) => builder.cache_side(side),
            None => builder,
        };
        let mut preprocessor = builder.preprocessor().unwrap();
        for (position, (width, height)) in (0..).zip(shapes) {
            for orientation in 1..=8 {
                let encoded = gradient(width, height, orientation);
                let (epoch, position) = (u64::from(orientation), position);
                let swaps = orientation > 4;
                let (w, h) = if swaps { (height, width) } else { (width, height) };
                let size = Size { width: w.into(), height: h.into() };
                let told = preprocessor.choices(epoch, position, size);
                let mut row = vec![0; preprocessor.row_len()];
                preprocessor.preprocess_as(epoch, position, &encoded, &mut row).unwrap();
                let expected = followed(&mut preprocessor, &encoded, &told);
                let off = row.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
                let worst = off.fold(0.0, f64::max);
                // Rounding, JPEG, and scaling twice; a pixel of the row is ten levels.
                assert!(worst < 4.5, "{fit} {side:?} {orientation} {told:?}: {worst}");
                mirrored += u32::from(told.mirrored);
                upside_down += u32::from(told.upside_down);
                cases += 1;
            }
        }
    }
    assert!((cases / 4..cases * 3 / 4).contains(&mirrored), "{mirrored} of {cases}");
    assert!((cases / 4..cases * 3 / 4).contains(&upside_down), "{upside_down} of {cases}");
}

/// Antialiased filters show the same part.
#[test]
fn a_filter_changes_nothing_of_what_is_chosen() {
    let size = Size { width: 640, height: 480 };
    let told = |filter| {
        let builder = plain().fit(Fit::random_crop()).flip(0.5).filter(filter);
        builder.preprocessor().unwrap().choices(3, 9, size)
    };
    assert_eq!(told(Filter::OpencvBilinear), told(Filter::Lanczos));
}

#[test]
fn told_changes_of_colour_are_what_was_done() {
    let encoded = gradient(80, 60, 1);
    let size = Size { width: 80, height: 60 };
    let rows = |builder: &LoaderBuilder<u8>, epoch| {
        let mut preprocessor = builder.preprocessor().unwrap();
        let mut row = vec![0; preprocessor.row_len()];
        preprocessor.preprocess_as(epoch, 4, &encoded, &mut row).unwrap();
        (preprocessor.choices(epoch, 4, size), row)
    };
    let brighter = plain().jitter(Jitter { brightness: 0.6, ..Jitter::default() });
    let grey = plain().random_grey(0.5);
    let erased = plain().erase(Erase::new(0.6));
    let (mut greys, mut erasures) = (0, 0);
    for epoch in 0..24 {
        let (none, levels) = rows(&plain(), epoch);
        assert!(none.changes.is_empty() && !none.grey && none.erased.is_none());
        let (told, row) = rows(&brighter, epoch);
        let [ColorChange::Brightness(factor)] = told.changes[..] else { panic!("{told:?}") };
        assert!((0.4..1.6).contains(&factor));
        for (level, changed) in levels.iter().zip(&row) {
            let expected = (f32::from(*level) * factor).min(255.0);
            assert!((f32::from(*changed) - expected).abs() <= 1.0, "{level} {factor} {changed}");
        }
        let (told, row) = rows(&grey, epoch);
        let colourless = row.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
        assert_eq!(told.grey, colourless);
        greys += u32::from(told.grey);
        let (told, row) = rows(&erased, epoch);
        erasures += u32::from(told.erased.is_some());
        let inside = |x: u32, y: u32| {
            told.erased.is_some_and(|Region { left, top, width, height }| {
                (left..left + width).contains(&x) && (top..top + height).contains(&y)
            })
        };
        for (at, pixel) in row.chunks_exact(3).enumerate() {
            let (x, y) = (at as u32 % ROW.width, at as u32 / ROW.width);
            let expected = if inside(x, y) { &[0; 3] } else { &levels[3 * at..][..3] };
            assert_eq!(pixel, expected, "{x},{y}");
        }
    }
    assert!((4..20).contains(&greys) && (6..23).contains(&erasures), "{greys} {erasures}");

    // In their order, and of a grey batch only those that do something.
    let all = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let orders: std::collections::BTreeSet<String> = (0..40)
        .map(|epoch| {
            let told = rows(&plain().jitter(all), epoch).0;
            assert_eq!(told.changes.len(), 4);
            told.changes.iter().map(|change| format!("{change:?}")[..1].to_owned()).collect()
        })
        .collect();
    assert!(orders.len() > 10, "{orders:?}");
    let of_grey = rows(&plain().jitter(all).random_grey(1.0).color(Color::Grey), 0).0;
    assert!(of_grey.changes.len() == 2 && !of_grey.grey, "{of_grey:?}");
}

// ---- the sheet

/// Elements opened and closed in pairs, attributes in quotes, nothing that runs.
fn well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "img", "!doctype"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>') || open.last().is_some_and(|tag| tag == "style"));
        let mut quoted = false;
        let end = rest[at..].find(|char| {
            quoted ^= char == '"';
            char == '>' && !quoted
        });
        let tag = &rest[at + 1..at + end.unwrap()];
        rest = &rest[at + end.unwrap() + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        let name = tag.split_whitespace().next().unwrap().to_owned();
        let unquoted: String = tag.split('"').step_by(2).collect();
        assert!(name != "script" && !unquoted.contains(" on"), "{tag}");
        if !VOID.contains(&&*name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn from_base64(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte: u8| digits.iter().position(|digit| *digit == byte).unwrap() as u32;
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let word = (0..4).fold(0, |word, at| word << 6 | group.get(at).map_or(0, |b| value(*b)));
        bytes.extend(&word.to_be_bytes()[1..group.len()]);
    }
    bytes
}

/// The pictures in a page.
fn pictures(html: &str) -> Vec<image::RgbImage> {
    let data = html.split("src=\"data:image/").skip(1);
    data.map(|data| {
        let text = data.split_once("base64,").unwrap().1.split('"').next().unwrap();
        image::load_from_memory(&from_base64(text)).unwrap().into_rgb8()
    })
    .collect()
}

#[test]
fn a_page_shows_the_rows_whatever_files_are_called() {
    let mut names: Vec<PathBuf> = [
        "<script>alert(1)</script>.ppm",
        "a & \"b\" 'c' onload=x.ppm",
        "写真/é\u{202e}.ppm",
        "line\nbreak.ppm",
    ]
    .map(PathBuf::from)
    .into();
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        names.push(std::ffi::OsStr::from_bytes(b"\xff\xfe<i>.ppm").into());
    }
    let root = tree(names.iter().map(|name| (name.clone(), ppm(40, 30, 3))));
    std::fs::write(root.path().join("<b>.jpg"), "no picture <img src=x onerror=y>").unwrap();
    let builder = Loader::folder(root.path()).size(16, 12).flip(0.5);
    let sheet = builder.sheet(&Options::default()).unwrap();
    assert_eq!(sheet.tiles().len(), names.len() + 1);
    let mut html = Vec::new();
    sheet.write_html(&mut html).unwrap();
    let html = String::from_utf8(html).unwrap();
    well_formed(&html);
    for part in ["&lt;script&gt;", "&quot;b&quot; &#39;c&#39;", "line\\nbreak", "\\u{202e}", "写真"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains("decode failed, unsupported"));
    let shown = pictures(&html);
    assert_eq!(shown.len(), 2 * names.len());
    let mut loader = builder
        .dtype::<u8>()
        .layout(Layout::Hwc)
        .on_error(infeed::OnError::skip())
        .build()
        .unwrap();
    let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.len(), names.len());
    for (pair, row) in shown.chunks(2).zip(batch.as_slice().chunks(16 * 12 * 3)) {
        assert_eq!((pair[0].width(), pair[0].height()), (40, 30));
        assert_eq!((pair[1].width(), pair[1].height()), (16, 12));
        assert!(pair[1].as_raw() == row);
    }
    let mut png = Vec::new();
    sheet.write_png(&mut png).unwrap();
    assert!(image::load_from_memory(&png).is_ok());
}

#[test]
fn the_command_writes_a_sheet() {
    let root = tree([
        ("cats/0.jpg", jpeg(40, 30, 1)),
        ("cats/1.jpg", jpeg(40, 30, 2)),
        ("dogs/2.jpg", jpeg(40, 30, 3)[..300].to_vec()),
    ]);
    let out = tempfile::tempdir().unwrap();
    let (html, png) = (out.path().join("v.html"), out.path().join("v.png"));
    for (file, more) in [
        (&html, &["--dtype", "bf16", "--repeat", "3", "--columns", "2"][..]),
        (&png, &["--dtype", "u8", "--layout", "hwc", "--shuffle", "--fit", "random-crop"]),
    ] {
        let base = ["view", dir(&root), "--size", "32", "--out", file.to_str().unwrap()];
        let output = infeed(&[&base[..], more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains("with the cause"), "{}", stdout(&output));
    }
    let html = std::fs::read_to_string(&html).unwrap();
    well_formed(&html);
    assert_eq!(pictures(&html).len(), 2 * 2 * 3);
    assert!(html.contains("class <bdi>dogs (1)</bdi>") && html.contains("epoch 2"), "{html}");
    assert!(image::open(&png).unwrap().width() > 1_000);
    for (flags, part) in [
        (["--out", "v.jpg"], ".html or .png"),
        (["--from", "3"], "the epoch has 3 samples"),
        (["--count", "0"], "1 to 2000 tiles"),
    ] {
        let other = out.path().join("other.html");
        let to = ["--out", other.to_str().unwrap()];
        let to = if flags[0] == "--out" { &[][..] } else { &to };
        let output = infeed(&[&["view", dir(&root)], to, &flags].concat());
        assert_eq!(code(&output), 2, "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert!(!other.exists());
    }
    let nowhere = ["view", dir(&root), "--out", "/nowhere/v.html", "--count", "0"];
    let output = infeed(&nowhere);
    assert_eq!(code(&output), 1, "told before all else: {}", stderr(&output));
    assert!(stderr(&output).contains("/nowhere/v.html: the file cannot be made"));
}

/// Where there is no colour, nothing is told of it.
#[test]
fn a_grey_picture_has_no_changes_of_colour() {
    let root = tree([("0.pgm", pgm(20, 16)), ("1.ppm", ppm(20, 16, 1))]);
    let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2 };
    let builder = Loader::folder(root.path()).dtype::<u8>().size(8, 8).jitter(jitter);
    let sheet = builder.random_grey(1.0).sheet(&Options::default()).unwrap();
    let told: Vec<_> = sheet.tiles().iter().map(|tile| tile.choices().unwrap()).collect();
    assert_eq!((told[0].changes.len(), told[0].grey), (2, false), "{:?}", told[0]);
    assert_eq!((told[1].changes.len(), told[1].grey), (4, true), "{:?}", told[1]);
}

// ---- the survey

fn pgm(width: u32, height: u32) -> Vec<u8> {
    let mut encoded = format!("P5 {width} {height} 255\n").into_bytes();
    encoded.extend((0..width * height).map(|at| (at % 200) as u8));
    encoded
}

/// Good files and broken ones of every kind; class `c` is empty.
fn mixed() -> TempDir {
    let root = tree([
        ("a/0.jpg", jpeg(40, 30, 1)),
        ("a/1-cut.jpg", jpeg(40, 30, 2)[..400].to_vec()),
        ("a/2-copy.jpeg", jpeg(40, 30, 1)),
        ("a/3.ppm", ppm(40, 30, 3)),
        ("b/0-called.png", jpeg(20, 50, 4)),
        ("b/1-empty.jpg", Vec::new()),
        ("b/2-garbage.gif", b"GIF87 or not".to_vec()),
        ("b/3-huge.ppm", b"P6 40000 30000 255\n".to_vec()),
        ("b/4-turned.jpg", gradient(60, 20, 6)),
        ("d/0-copy.jpg", jpeg(40, 30, 1)),
        ("top.pgm", pgm(30, 30)),
    ]);
    std::fs::create_dir(root.path().join("c")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", root.path().join("b/5-gone.jpg")).unwrap();
    root
}

fn small(root: &Path) -> LoaderBuilder<u8> {
    Loader::folder(root).dtype::<u8>().size(16, 12).batch_size(4)
}

fn survey(builder: &LoaderBuilder<u8>) -> Survey {
    builder.survey(|_| ControlFlow::Continue(())).unwrap()
}

#[test]
#[cfg(unix)]
fn a_survey_tells_all_of_a_source() {
    let root = mixed();
    let found = survey(&small(root.path()).threads(1));
    assert_eq!((found.samples, found.opened, found.complete), (12, 12, true));
    let broken: Vec<_> = found
        .broken
        .iter()
        .map(|b| (b.index, b.path.to_str().unwrap(), b.stage, b.cause, b.bytes))
        .collect();
    let (read, decode) = (Stage::Read, Stage::Decode);
    assert_eq!(
        broken,
        [
            (1, "a/1-cut.jpg", decode, CauseKind::Truncated, Some(400)),
            (5, "b/1-empty.jpg", decode, CauseKind::Corrupt, Some(0)),
            (6, "b/2-garbage.gif", decode, CauseKind::Unsupported, Some(12)),
            (7, "b/3-huge.ppm", decode, CauseKind::Limit, Some(19)),
            (9, "b/5-gone.jpg", read, CauseKind::NotFound, None),
        ]
    );
    // Of no bytes, by the algorithm's definition.
    assert_eq!(found.broken[1].hash, Some(0x99aa_06d3_0147_98d8_6001_c324_468d_497f));
    assert_eq!((found.broken[4].hash, found.broken[4].class.as_deref()), (None, Some("b")));
    let good = &found.good;
    let told = |counted: &[infeed::survey::Counted]| {
        counted.iter().map(|c| (c.what.clone(), c.samples)).collect::<Vec<_>>()
    };
    let counts = |all: &[(&str, u64)]| {
        all.iter().map(|(what, samples)| ((*what).to_owned(), *samples)).collect::<Vec<_>>()
    };
    assert_eq!(good.samples, 7);
    assert_eq!(told(&good.formats), counts(&[("JPEG", 5), ("PNM", 2)]));
    assert_eq!(told(&good.colors), counts(&[("RGB", 6), ("grey", 1)]));
    assert_eq!(
        told(&good.sizes),
        counts(&[("40x30", 4), ("20x50", 1), ("20x60", 1), ("30x30", 1)])
    );
    assert_eq!((good.distinct_sizes, good.large, good.turned), (4, 0, 1));
    let spread = |s: infeed::survey::Spread| (s.min, s.median, s.max);
    assert_eq!(spread(good.width), (20, 40, 40));
    assert_eq!(spread(good.height), (30, 30, 60));
    assert_eq!(spread(good.pixels), (900, 1_200, 1_200));
    let sizes: Vec<u64> = ["a/0.jpg", "a/2-copy.jpeg", "a/3.ppm", "b/0-called.png"]
        .iter()
        .chain(&["b/4-turned.jpg", "d/0-copy.jpg", "top.pgm"])
        .map(|path| std::fs::metadata(root.path().join(path)).unwrap().len())
        .collect();
    assert_eq!(good.total_bytes, sizes.iter().sum::<u64>());
    assert_eq!(Some(&good.bytes.max), sizes.iter().max());
    let [misnamed] = &good.misnamed[..] else { panic!("{:?}", good.misnamed) };
    assert_eq!(
        (misnamed.index, misnamed.promised, misnamed.content),
        (4, Format::Png, Format::Jpeg)
    );
    let [copies] = &good.duplicates.groups[..] else { panic!("{:?}", good.duplicates) };
    assert_eq!((good.duplicates.extra, &copies.indices[..]), (2, &[0, 2, 10][..]));
    assert_eq!(copies.paths[2], Path::new("d/0-copy.jpg"));
    let classes: Vec<_> =
        found.classes.iter().map(|c| (c.label, &*c.name, c.good, c.broken)).collect();
    assert_eq!(classes, [(0, "a", 3, 1), (1, "b", 2, 4), (2, "c", 0, 0), (3, "d", 1, 0)]);
    assert_eq!(found.unlabelled, 1);

    for threads in [2, 4, 16] {
        assert_eq!(survey(&small(root.path()).threads(threads)), found, "{threads} threads");
    }
}

/// Mean and deviation of the rows of all good files, by a slow loop.
fn reference(builder: &LoaderBuilder<u8>, root: &Path, channels: usize) -> Vec<(f64, f64)> {
    let mut preprocessor = builder.preprocessor().unwrap();
    let mut values = vec![Vec::new(); channels];
    for (path, _) in infeed::source::list(&infeed::Folder::new(root)).unwrap() {
        let mut row = vec![0; preprocessor.row_len()];
        let Ok(encoded) = std::fs::read(root.join(path)) else { continue };
        if preprocessor.preprocess(&encoded, &mut row).is_ok() {
            for (at, level) in row.iter().enumerate() {
                values[at % channels].push(f64::from(*level) / 255.0);
            }
        }
    }
    let of = |values: &Vec<f64>| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (squares / values.len() as f64).sqrt())
    };
    values.iter().map(of).collect()
}

#[test]
fn mean_and_deviation_are_those_of_the_rows() {
    let root = mixed();
    let close = |found: &Survey, expected: &[(f64, f64)]| {
        assert_eq!(found.good.channels.len(), expected.len());
        for (channel, (mean, std)) in found.good.channels.iter().zip(expected) {
            assert!((channel.mean - mean).abs() < 1e-9, "{channel:?} {mean}");
            assert!((channel.std - std).abs() < 1e-9, "{channel:?} {std}");
        }
    };
    for fit in [Fit::Stretch, Fit::Crop { shorter: None }] {
        let plain = small(root.path()).fit(fit).layout(Layout::Hwc);
        let expected = reference(&plain, root.path(), 3);
        close(&survey(&small(root.path()).fit(fit)), &expected);
        // Augmentation is switched off, and channels are told red first.
        let jitter = Jitter { brightness: 0.9, ..Jitter::default() };
        let augmented = small(root.path()).fit(fit).jitter(jitter).erase(Erase::new(1.0));
        close(&survey(&augmented.vflip(0.5).color(Color::Bgr)), &expected);
    }
    let whole = reference(&small(root.path()).layout(Layout::Hwc), root.path(), 3);
    close(&survey(&small(root.path()).fit(Fit::random_crop())), &whole);
    let grey = small(root.path()).color(Color::Grey);
    let found = survey(&grey);
    close(&found, &reference(&grey, root.path(), 1));
    let normalize = found.normalize().unwrap();
    assert!((f64::from(normalize.mean[0]) - found.good.channels[0].mean).abs() < 5.1e-5);
    assert!(grey.dtype::<f32>().normalize(normalize.mean, normalize.std).resolve().is_ok());
}

#[test]
fn a_survey_can_be_stopped() {
    let root = tree((0..50).map(|number| (format!("{number:02}.ppm"), ppm(8, 8, number))));
    let builder = small(root.path()).threads(2);
    let found = builder
        .survey(|progress| match progress.opened {
            ..10 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        })
        .unwrap();
    assert!(!found.complete && (10..13).contains(&found.opened), "{}", found.opened);
    assert_eq!((found.samples, found.good.samples), (50, found.opened));
    let found = builder
        .survey(|progress| match progress.listed {
            false if progress.samples == 20 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    assert_eq!((found.complete, found.opened), (false, 0));
    let empty = tempfile::tempdir().unwrap();
    let error = small(empty.path()).survey(|_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("no image was found"), "{error}");
}

/// More than a read takes on a busy machine.
const LONG: Duration = Duration::from_millis(500);

/// Storage that hangs, and one that fails now and then, are no broken files.
#[test]
fn what_storage_does_is_not_put_down_to_the_files() {
    within(|_| {
        let mut acts = vec![Act::Good; 12];
        (acts[1], acts[2], acts[5]) = (Act::ReadError, Act::OpenError, Act::HeldThread);
        let source = Scripted::new(acts);
        let list = tempfile::NamedTempFile::new().unwrap();
        let found = survey(&source.loader().read_timeout(Some(LONG)));
        assert_eq!(found.broken.iter().map(|broken| broken.index).collect::<Vec<_>>(), [1, 2, 5]);
        found.save_quarantine(list.path()).unwrap();
        let stays = found.broken.iter().filter(|broken| broken.stays()).count();
        assert_eq!((SkipList::load(list.path()).unwrap().len(), stays), (1, 1));
        let text = std::fs::read_to_string(list.path()).unwrap();
        for part in ["# not in the list, as they may be read another time:", ": timed out: "] {
            assert!(text.contains(part), "{part} in {text}");
        }
        source.gate().open();

        let source = Scripted::new(vec![Act::HeldThread; 20]);
        let builder = source.loader().read_timeout(Some(LONG)).readers(4).threads(2);
        let error = builder.survey(|_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.kind(), infeed::ErrorKind::ReadsStuck, "{error}");
        source.gate().open();
    });
}

/// A thread that panics does not let the others go through all the rest.
#[test]
fn a_thread_that_panics_ends_the_survey() {
    let source = Scripted::good(5_000);
    let error = source.loader().threads(2).survey(|progress| {
        assert!(progress.opened < 10, "as a test has it");
        ControlFlow::Continue(())
    });
    let error = error.unwrap_err();
    assert!(error.to_string().contains("a thread of the survey panicked"), "{error}");
    assert!(source.opened().get() < 1_000);
}

/// Classes may be numbered as somebody likes.
#[test]
fn a_class_with_a_large_number_is_one_class() {
    let root = tree((0..2).map(|number| (format!("{number}.ppm"), ppm(20, 20, number))));
    let list = root.path().join("list.csv");
    std::fs::write(&list, "path,class\n0.ppm,2000000000\n1.ppm,3\n").unwrap();
    let list = infeed::List::open(&list).unwrap();
    let found = survey(&Loader::source(list).dtype::<u8>().size(8, 8));
    let classes: Vec<(u32, u64)> =
        found.classes.iter().map(|class| (class.label, class.good)).collect();
    assert_eq!(classes, [(3, 1), (2_000_000_000, 1)]);
}

/// Sources and decoders of others, which fail, panic, or do not come back.
#[test]
fn no_code_of_others_takes_a_survey_down() {
    within(|_| {
        let mut acts = vec![Act::Good; 30];
        acts.splice(4..11, Act::FAILING);
        (acts[15], acts[16]) = (Act::HeldTask, Act::HeldThread);
        let source = Scripted::new(acts.clone());
        let builder = source.loader().read_timeout(Some(LONG));
        let looked = |threads| {
            let builder = source.loader().read_timeout(Some(LONG));
            survey(&builder.threads(threads))
        };
        let found = looked(1);
        let broken: Vec<u64> = found.broken.iter().map(|broken| broken.index).collect();
        let expected: Vec<u64> =
            (0..30).filter(|index| acts[*index as usize] != Act::Good).collect();
        assert_eq!((broken, found.good.samples), (expected, 21));
        let kinds: Vec<CauseKind> = found.broken.iter().map(|broken| broken.cause).collect();
        let panics = kinds.iter().filter(|kind| **kind == CauseKind::Panicked).count();
        assert_eq!((panics, &kinds[7..]), (4, &[CauseKind::TimedOut; 2][..]));
        assert_eq!(found, looked(3));
        let sheet = builder.sheet(&Options::default()).unwrap();
        let failed = sheet.tiles().iter().filter(|tile| tile.failure().is_some()).count();
        assert_eq!((sheet.tiles().len(), failed), (24, 9));
        source.gate().open();
    });
}

#[test]
#[cfg(unix)]
fn a_quarantine_leaves_out_what_is_broken_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let root = mixed();
    let hostile: [&[u8]; 6] =
        [b"#1.jpg", b"a\nb.jpg", b"\xff\xfe.jpg", b" x .jpg", b"back\\slash.jpg", b"\r.jpg"];
    for name in hostile {
        std::fs::write(root.path().join(std::ffi::OsStr::from_bytes(name)), "broken").unwrap();
    }
    let found = survey(&small(root.path()));
    assert_eq!(found.broken.len(), 5 + hostile.len());
    let list = tempfile::NamedTempFile::new().unwrap();
    found.save_quarantine(list.path()).unwrap();
    let skip = SkipList::load(list.path()).unwrap();
    assert_eq!(skip.len(), found.broken.len());
    let rest = survey(&small(root.path()).skip_list(skip.clone()));
    assert_eq!(
        (rest.samples, rest.broken.len(), &rest.good.channels),
        (7, 0, &found.good.channels)
    );
    let mut loader = small(root.path()).skip_list(skip.clone()).build().unwrap();
    assert_eq!(loader.config().skip_list, Some(skip.len()));
    assert_eq!(paths(&mut loader).len(), 7);
    // A split leaves everybody where they were.
    let side = |builder: LoaderBuilder<u8>| {
        let builder = builder.split(Split::train(0.5)).on_error(infeed::OnError::replace());
        survey(&builder).good.samples
    };
    assert_eq!(side(small(root.path()).skip_list(skip)), side(small(root.path())));
}

/// Each selection has a cache file of its own.
#[test]
fn a_skip_list_is_part_of_the_cache_s_key() {
    let root = tree((0..8).map(|number| (format!("{number}.ppm"), ppm(20, 20, number))));
    let cache = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(cache.path()).unwrap().count();
    for (skipped, expected) in [(&["1.ppm"][..], 1), (&["1.ppm", "2.ppm"], 2), (&["./1.ppm"], 2)] {
        let builder = small(root.path()).cache(infeed::Cache::disk(cache.path(), 1 << 20));
        let mut loader = builder.skip_list(SkipList::new(skipped)).build().unwrap();
        assert_eq!(paths(&mut loader).len(), 8 - skipped.len());
        drop(loader);
        assert_eq!(files(), expected);
    }
}

/// Where other samples are left out, every order is another.
#[test]
fn a_state_knows_what_was_skipped() {
    let root = tree((0..8).map(|number| (format!("{number}.ppm"), ppm(20, 20, number))));
    let skipping = |path: &str| small(root.path()).shuffle(3).skip_list(SkipList::new([path]));
    let mut loader = skipping("2.ppm").build().unwrap();
    let state = loader.epoch(0).unwrap().next().unwrap().unwrap().state();
    let resumed = skipping("./2.ppm").resume(state.clone()).build().unwrap();
    assert_eq!(resumed.batches_of(0), Some(1));
    for other in [skipping("3.ppm"), small(root.path()).shuffle(3)] {
        let error = other.resume(state.clone()).build().unwrap_err();
        assert_eq!(error.kind(), infeed::ErrorKind::Resume, "{error}");
    }
}

// ---- the command line

#[test]
#[cfg(unix)]
fn check_prints_writes_and_exits() {
    let (root, out) = (mixed(), tempfile::tempdir().unwrap());
    let (table, list) = (out.path().join("broken.csv"), out.path().join("skip.txt"));
    let (table_name, list_name) = (table.to_str().unwrap(), list.to_str().unwrap());
    let check = |more: &[&str]| infeed(&[&["check", dir(&root), "--size", "16"], more].concat());
    let output = check(&["--csv", table_name, "--quarantine", list_name]);
    assert_eq!((code(&output), &*stderr(&output)), (1, ""), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "12 files of ",
        "broken     5: ",
        "b/3-huge.ppm  (19 B, ",
        "5 JPEG, 2 PNM",
        "b/0-called.png is JPEG",
        "2 files are copies of another",
        "a/0.jpg = a/2-copy.jpeg = d/0-copy.jpg",
        "without a good image: 1 (c)",
        "without a class: 1 image",
        "--normalize 0.",
        "5 of 12 files cannot be used; leave them out with --skip-list",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let mut rows = csv::Reader::from_path(&table).unwrap();
    assert_eq!(rows.headers().unwrap().get(4), Some("xxh3_128"));
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 5);
    let cell = |row: usize, at: usize| rows[row].get(at).unwrap();
    assert_eq!((cell(0, 1), cell(0, 2), cell(0, 3)), ("a/1-cut.jpg", "a", "400"));
    assert_eq!((cell(4, 3), cell(4, 4), cell(4, 6)), ("", "", "not-found"));
    assert!(cell(3, 7).contains("max_pixels"));

    let output = check(&["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["samples"], &report["good"]["samples"]), (&12.into(), &7.into()));
    assert_eq!(report["broken"][4]["cause"], "not-found");
    assert_eq!(report["classes"][1]["broken"], 4);
    let flag = report["normalize"].as_str().unwrap();

    // What it found is what the others take.
    let run = ["run", dir(&root), "--size", "16", "--json", "--skip-list", list_name];
    let output = infeed(&[&run[..], &["--normalize", flag]].concat());
    assert_eq!((code(&output), &*stderr(&output)), (0, ""), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["images"], &report["skipped"]), (&7.into(), &0.into()));
    let output = check(&["--skip-list", list_name]);
    assert_eq!(code(&output), 0, "{}", stdout(&output));
    assert!(stdout(&output).contains("every file can be used"));
    // The list takes its own place, and loses nothing.
    let before = std::fs::read(&list).unwrap();
    let again = out.path().join("again.txt");
    std::fs::write(&again, "a/0.jpg\n").unwrap();
    let again = again.to_str().unwrap();
    assert_eq!(code(&check(&["--skip-list", again, "--quarantine", again])), 1);
    let (union, broken) = (SkipList::load(again).unwrap(), SkipList::load(&list).unwrap());
    assert_eq!(union.len(), broken.len() + 1);
    assert!(union.below(root.path())(Path::new("a/0.jpg")));
    let text = std::fs::read_to_string(again).unwrap();
    assert!(text.contains("# and 1 that a skip list had left out, at the end"), "{text}");
    assert_eq!(std::fs::read(&list).unwrap(), before);
    // A wrong path is told before anything is opened.
    let nowhere = out.path().join("no/such/folder.csv");
    for flag in ["--csv", "--quarantine"] {
        let output = check(&[flag, nowhere.to_str().unwrap()]);
        assert_eq!((code(&output), &*stdout(&output)), (1, ""), "{}", stderr(&output));
        assert!(stderr(&output).contains("folder.csv"), "{}", stderr(&output));
    }
    let small = ["--size", "16", "--batch-size", "2", "--skip-list", list_name];
    let view = out.path().join("view.html");
    let exported = out.path().join("npy");
    for command in [
        &["compare", dir(&root), "--epochs", "2"][..],
        &["export", dir(&root), exported.to_str().unwrap()],
        &["view", dir(&root), "--out", view.to_str().unwrap()],
        &["check", dir(&root), "--coverage"],
    ] {
        let output = infeed(&[command, &small].concat());
        assert_eq!(code(&output), 0, "{command:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("skip list"), "{}", stderr(&output));
    }
    let bench = ["bench", dir(&root), "--workload", "w224", "--rounds", "1", "--epochs", "1"];
    let output = infeed(&[&bench[..], &["--skip-list", list_name, "--json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_skip_list_that_does_not_fit_says_so() {
    let root = tree((0..3).map(|number| (format!("{number}.ppm"), ppm(8, 8, number))));
    let list = root.path().join("skip.txt");
    let run = |text: &str| {
        std::fs::write(&list, text).unwrap();
        let small = ["--size", "8", "--skip-list", list.to_str().unwrap()];
        infeed(&[&["run", dir(&root)], &small[..]].concat())
    };
    let absolute = root.path().join("1.ppm");
    let output = run(&format!("gone.ppm\n{}\nother.ppm\n", absolute.display()));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("2 images"), "{}", stdout(&output));
    let told = stderr(&output);
    assert!(told.contains("2 of 3 paths match no sample; the first: gone.ppm"), "{told}");
    let output = run("0.ppm\n\\q\n");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("skip.txt, line 2: expected"), "{}", stderr(&output));
    let output = run("0.ppm\n1.ppm\n2.ppm\n");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("leaves none of 3 samples"), "{}", stderr(&output));
    let output = infeed(&["check", dir(&root), "--coverage", "--csv", "x.csv"]);
    assert_eq!(code(&output), 2);
}

#[test]
fn shells_and_man_are_told() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = infeed(&["completions", shell]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains("--skip-list"), "{shell}");
        if shell == "bash" {
            let script = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(script.path(), &output.stdout).unwrap();
            // A machine without bash has no use for it.
            if let Ok(read) = Command::new("bash").arg("-n").arg(script.path()).output() {
                assert!(read.status.success(), "{}", stderr(&read));
            }
        }
    }
    assert_eq!(code(&infeed(&["completions", "cmd"])), 2);
    assert!(stdout(&infeed(&["man"])).contains(".TH infeed 1"));
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("man/man1");
    assert_eq!(code(&infeed(&["man", "--out", folder.to_str().unwrap()])), 0);
    let mut pages: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let help = stdout(&infeed(&["--help"]));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // Where a line goes on, it is indented further.
    let commands = commands.lines().filter_map(|line| {
        let line = line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?;
        line.split(' ').next().filter(|command| *command != "help")
    });
    let mut expected: Vec<String> = commands.map(|command| format!("infeed-{command}.1")).collect();
    assert!(expected.len() >= 10, "{help}");
    expected.push("infeed.1".into());
    expected.sort();
    assert_eq!(pages, expected);
    let page = std::fs::read_to_string(folder.join("infeed-view.1")).unwrap();
    assert!(page.contains("contact sheet") && page.contains("random\\-crop"), "{page}");
}
