//! The transform alone: pixels in memory to a row of the batch, one thread.
//!
//! ```sh
//! cargo bench --bench kernels
//! ```
//!
//! Beside it what one would write without it: `fast_image_resize` and a plain loop
//! from interleaved levels to planar floats.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use fast_image_resize as fir;
use infeed::decode::{Channels, Decode, Picture, Region};
use infeed::{Cause, Color, Element, Erase, Filter, Fit, Jitter, Layout, Limits, Loader};
use infeed::{LoaderBuilder, Normalize, Size, bf16, f16};

const SOURCE: Size = Size { width: 500, height: 375 };

/// Encoded bytes are the pixels already, and are handed on where they lie.
struct Pixels(Size);

struct Opened<'a>(Size, &'a [u8]);

impl Decode for Pixels {
    fn open<'a>(&self, encoded: &'a [u8], _: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        Ok(Box::new(Opened(self.0, encoded)))
    }
}

impl Picture for Opened<'_> {
    fn size(&self) -> Size {
        self.0
    }

    fn working_bytes(&self) -> u64 {
        0
    }

    fn read(self: Box<Self>, _: Channels, out: &mut [u8]) -> Result<(), Cause> {
        out.copy_from_slice(self.1);
        Ok(())
    }

    fn read_rows(
        self: Box<Self>,
        _: Channels,
        _: Region,
        _: &mut [u8],
        rows: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Cause> {
        rows(0, self.1);
        Ok(())
    }

    fn rows_bytes(&self, _: Channels) -> usize {
        0
    }
}

fn noise(size: Size) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..3 * size.width * size.height).map(step).collect()
}

fn builder() -> LoaderBuilder {
    Loader::folder("unused").decoder(Pixels(SOURCE))
}

fn run<T: Element>(criterion: &mut Criterion, name: &str, builder: LoaderBuilder<T>) {
    let pixels = noise(SOURCE);
    let mut preprocessor = builder.preprocessor().expect("a valid configuration");
    let mut row = vec![T::default(); preprocessor.row_len()];
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| preprocessor.preprocess(&pixels, black_box(&mut row)).expect("pixels"));
    });
}

/// The article's job.
fn stretch(criterion: &mut Criterion) {
    run(criterion, "500x375 to 512x512/f32 chw", builder());
    run(criterion, "500x375 to 512x512/f32 hwc", builder().layout(Layout::Hwc));
    run(criterion, "500x375 to 512x512/f16 chw", builder().dtype::<f16>());
    run(criterion, "500x375 to 512x512/bf16 chw", builder().dtype::<bf16>());
    run(criterion, "500x375 to 512x512/u8 chw", builder().dtype::<u8>());
    run(criterion, "500x375 to 512x512/u8 hwc", builder().dtype::<u8>().layout(Layout::Hwc));
    run(criterion, "500x375 to 512x512/f32 grey", builder().color(Color::Grey));
}

/// Evaluation: the shorter side to 256, the middle 224, ImageNet's normalisation.
fn crop(criterion: &mut Criterion) {
    let Normalize { mean, std } = Normalize::IMAGENET;
    for filter in [Filter::OpencvBilinear, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
        let fit = Fit::Crop { shorter: Some(256) };
        let builder = builder().size(224, 224).fit(fit).filter(filter).normalize(mean, std);
        run(criterion, &format!("500x375 crop 224 of 256/{filter}"), builder);
    }
    let training = builder().size(224, 224).fit(Fit::random_crop()).flip(0.5);
    run(criterion, "500x375 random crop 224/opencv-bilinear", training.normalize(mean, std));
}

/// What changes of colour cost on top, each kind always.
fn augment(criterion: &mut Criterion) {
    let off = Jitter::default();
    let changes = [
        ("none", off),
        ("brightness", Jitter { brightness: 0.4, ..off }),
        ("contrast", Jitter { contrast: 0.4, ..off }),
        ("saturation", Jitter { saturation: 0.4, ..off }),
        ("hue", Jitter { hue: 0.1, ..off }),
        ("all four", Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
    ];
    for layout in [Layout::Chw, Layout::Hwc] {
        let training = || builder().size(224, 224).fit(Fit::random_crop()).flip(0.5).layout(layout);
        for (name, jitter) in changes {
            let name = format!("random crop 224 {layout}, jitter/{name}");
            run(criterion, &name, training().jitter(jitter));
        }
        let grey = training().random_grey(1.0);
        run(criterion, &format!("random crop 224 {layout}/random grey"), grey);
        let erased = training().erase(Erase::new(1.0));
        run(criterion, &format!("random crop 224 {layout}/erase"), erased);
    }
}

/// The same by `fast_image_resize`, then a plain loop into planes of floats.
fn by_hand(criterion: &mut Criterion) {
    let pixels = noise(SOURCE);
    let (width, height) = (512, 512);
    let mut resizer = fir::Resizer::new();
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Interpolation(fir::FilterType::Bilinear));
    let (w, h) = (SOURCE.width, SOURCE.height);
    let source = fir::images::ImageRef::new(w, h, &pixels, fir::PixelType::U8x3);
    let source = source.expect("as many bytes as the size says");
    let mut resized = fir::images::Image::new(width, height, fir::PixelType::U8x3);
    let plane = (width * height) as usize;
    let mut row = vec![0_f32; 3 * plane];
    criterion.bench_function("500x375 to 512x512/fast_image_resize and a loop", |bencher| {
        bencher.iter(|| {
            resizer.resize(&source, &mut resized, &options).expect("two images of one type");
            let (reds, rest) = row.split_at_mut(plane);
            let (greens, blues) = rest.split_at_mut(plane);
            let planes = reds.iter_mut().zip(greens).zip(blues);
            for (((r, g), b), pixel) in planes.zip(resized.buffer().chunks_exact(3)) {
                *r = f32::from(pixel[0]) / 255.0;
                *g = f32::from(pixel[1]) / 255.0;
                *b = f32::from(pixel[2]) / 255.0;
            }
            black_box(&mut row);
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = stretch, crop, augment, by_hand
}
criterion_main!(benches);
