//! Decoding alone, one thread: encoded bytes in memory to RGB pixels.
//!
//! ```sh
//! cargo bench --bench decoders                      # on pictures made on the spot
//! INFEED_BENCH_DIR=path/to/photos cargo bench --bench decoders
//! ```
//!
//! infeed's decoder beside zune-jpeg into a buffer that is used again, and
//! `image::load_from_memory`, which makes a new one for each picture. With a
//! folder, each takes its first 64 files in one iteration.
#![allow(missing_docs)]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use infeed::{Folder, Loader, Size};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Files used at most, so that an iteration takes well below a second.
const FILES: usize = 64;
const SIZE: Size = Size { width: 500, height: 375 };

fn decoders(criterion: &mut Criterion) {
    match std::env::var_os("INFEED_BENCH_DIR") {
        Some(folder) => beside_each_other(criterion, "photographs", &photographs(folder.into())),
        None => {
            let colour = |sampling| encoded(ColorType::Rgb, sampling);
            beside_each_other(criterion, "4:2:0", &[colour(SamplingFactor::R_4_2_0)]);
            beside_each_other(criterion, "4:4:4", &[colour(SamplingFactor::R_4_4_4)]);
            let grey = encoded(ColorType::Luma, SamplingFactor::R_4_4_4);
            beside_each_other(criterion, "grey", &[grey]);
        }
    }
}

fn beside_each_other(criterion: &mut Criterion, name: &str, files: &[Vec<u8>]) {
    let mut group = criterion.benchmark_group(format!("decode {name}"));
    group.throughput(Throughput::Elements(files.len() as u64));
    let mut preprocessor = Loader::folder("unused").preprocessor().expect("the defaults");
    group.bench_function("infeed", |bencher| {
        bencher.iter(|| {
            for file in files {
                black_box(preprocessor.decode_rgb8(file).expect("a picture"));
            }
        });
    });
    if files.iter().all(|file| file.starts_with(&[0xff, 0xd8])) {
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut pixels = Vec::new();
        group.bench_function("zune-jpeg, buffer used again", |bencher| {
            bencher.iter(|| {
                for file in files {
                    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
                    decoder.decode_headers().expect("a JPEG");
                    let bytes = decoder.output_buffer_size().expect("its headers are read");
                    if pixels.len() < bytes {
                        pixels.resize(bytes, 0);
                    }
                    decoder.decode_into(&mut pixels[..bytes]).expect("a JPEG");
                    black_box(&mut pixels);
                }
            });
        });
    }
    group.bench_function("image::load_from_memory", |bencher| {
        bencher.iter(|| {
            for file in files {
                black_box(image::load_from_memory(file).expect("a picture").into_rgb8());
            }
        });
    });
}

fn photographs(folder: PathBuf) -> Vec<Vec<u8>> {
    let listed = infeed::source::list(&Folder::new(&folder)).expect("a folder that can be read");
    assert!(!listed.is_empty(), "a folder without images measures nothing");
    let read = |(path, _): (PathBuf, _)| std::fs::read(folder.join(path)).expect("a readable file");
    listed.into_iter().take(FILES).map(read).collect()
}

/// Ramps, an edge and grain, about as large as a photograph is.
fn encoded(color: ColorType, sampling: SamplingFactor) -> Vec<u8> {
    let mut grain = 1_u32;
    let mut pixels = Vec::new();
    for y in 0..SIZE.height {
        for x in 0..SIZE.width {
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (grain >> 27) as u8;
            let disc = u8::from(x.abs_diff(250).pow(2) + y.abs_diff(180).pow(2) < 9_000) * 70;
            let ramp = (x * 127 / SIZE.width) as u8;
            let red = ramp + disc + noise;
            match color {
                ColorType::Luma => pixels.push(red),
                _ => pixels.extend([red, (y / 3) as u8 + noise, 128 - ramp + noise]),
            }
        }
    }
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 92);
    encoder.set_sampling_factor(sampling);
    let (width, height) = (SIZE.width as u16, SIZE.height as u16);
    encoder.encode(&pixels, width, height, color).expect("a picture of that size");
    jpeg
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = decoders
}
criterion_main!(benches);
