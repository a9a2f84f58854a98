//! How long decoding takes beside libjpeg-turbo and zune-jpeg, how long a random crop of
//! ImageNet's kind, and how long until a picture is 224x224, `exact` and `fast`: the whole
//! of it, and the middle as models are evaluated. One thread, files in memory, in turn:
//!
//! ```sh
//! cargo run --release -p infeed-oracle --bin times -- photos [ROUNDS] [--progressive]
//! ```
//!
//! With `--progressive`, of the progressive files of the same coefficients.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use infeed::decode::{Channels, Decode, Region, StandardDecoder};
use infeed::{Decoding, Fit, Limits, Loader};
use infeed_oracle::Draws;
use infeed_oracle::turbo::Turbo;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, arguments): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument == "--progressive");
    let mut arguments = arguments.into_iter();
    let usage = "which folder? times FOLDER [ROUNDS [DECODER]] [--progressive]";
    let folder = arguments.next().ok_or(usage)?;
    let rounds = arguments.next().map_or(Ok(9), |rounds| rounds.parse())?;
    // For a profiler.
    let only = arguments.next();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let file = std::fs::read(entry?.path())?;
        if file.starts_with(&[0xff, 0xd8]) {
            files.push(file);
        }
    }
    if !flags.is_empty() {
        let mut transformer = Turbo::transformer();
        files.iter_mut().for_each(|file| *file = transformer.progressive(file));
    }
    let mut room = vec![0; 3 << 26];
    let mut turbo = Turbo::decoder();
    type Way<'a> = (&'a str, Box<dyn FnMut(&[u8]) + 'a>);
    let (mut ours, mut theirs) = (vec![0; 1 << 24], vec![0; 3 << 26]);
    let (mut crops, mut draws) = (vec![0; 1 << 24], Draws(1));
    let mut ways: Vec<Way<'_>> = vec![
        ("infeed", Box::new(|file: &[u8]| by_infeed(file, &mut ours, None))),
        ("random crops", Box::new(|file: &[u8]| by_infeed(file, &mut crops, Some(&mut draws)))),
        (
            "libjpeg-turbo",
            Box::new(|file: &[u8]| {
                turbo.decode_into(file, &mut room).unwrap();
                black_box(&room);
            }),
        ),
        ("zune-jpeg", Box::new(|file: &[u8]| by_zune(file, &mut theirs))),
    ];
    let middle = Fit::Crop { shorter: Some(256) };
    for (name, fit, decode) in [
        ("whole, exact", Fit::Stretch, Decoding::Exact),
        ("whole, fast", Fit::Stretch, Decoding::Fast),
        ("middle, exact", middle, Decoding::Exact),
        ("middle, fast", middle, Decoding::Fast),
    ] {
        let builder = Loader::folder(&folder).dtype::<u8>().size(224, 224).fit(fit);
        let mut whole = builder.decode(decode).preprocessor()?;
        let mut row = vec![0; whole.row_len()];
        ways.push((
            name,
            Box::new(move |file: &[u8]| {
                whole.preprocess(file, &mut row).unwrap();
                black_box(&row);
            }),
        ));
    }
    ways.retain(|(name, _)| only.as_deref().is_none_or(|only| only == *name));
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for ((_, way), times) in ways.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            files.iter().for_each(|file| way(file));
            times.push(begun.elapsed().as_secs_f64() * 1e3 / files.len() as f64);
        }
    }
    println!("{} files, milliseconds a file, medians of {rounds} rounds in turn", files.len());
    for ((name, _), times_of) in ways.iter().zip(&times) {
        let ratios = times[0].iter().zip(times_of).map(|(ours, other)| ours / other).collect();
        let (time, ratio) = (median(times_of.clone()), median(ratios));
        println!("{name:14} {time:.3}   {} of it: {ratio:.3}", ways[0].0);
    }
    Ok(())
}

fn by_infeed(file: &[u8], memory: &mut [u8], draws: Option<&mut Draws>) {
    let picture = StandardDecoder::default().open(file, &Limits::default()).unwrap();
    let size = picture.size();
    let whole = Region { left: 0, top: 0, width: size.width, height: size.height };
    let region = draws.map_or(whole, |draws| crop(draws, whole));
    let memory = &mut memory[..picture.rows_bytes(Channels::Rgb)];
    picture.read_rows(Channels::Rgb, region, memory, &mut |_, rows| _ = black_box(rows)).unwrap();
}

/// As torchvision's `RandomResizedCrop`: 0.08 to 1 of the area, ratio 3:4 to 4:3.
fn crop(draws: &mut Draws, whole: Region) -> Region {
    let mut unit = || draws.below(1 << 30) as f64 / f64::from(1 << 30);
    let (width, height) = (f64::from(whole.width), f64::from(whole.height));
    for _ in 0..10 {
        let area = width * height * (0.08 + 0.92 * unit());
        let ratio = (0.75_f64.ln() + unit() * (4.0_f64 / 3.0 / 0.75).ln()).exp();
        let (w, h) = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round());
        if w >= 1.0 && h >= 1.0 && w <= width && h <= height {
            let (left, top) = ((width - w) * unit(), (height - h) * unit());
            return Region {
                left: left as u32,
                top: top as u32,
                width: w as u32,
                height: h as u32,
            };
        }
    }
    whole
}

fn by_zune(file: &[u8], room: &mut [u8]) {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().unwrap();
    let bytes = decoder.output_buffer_size().unwrap();
    decoder.decode_into(&mut room[..bytes]).unwrap();
    black_box(&room);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
