//! Bytes -> pixels, by every way that a configuration can choose.

use super::{Input, allocated};
use crate::Loader;
use crate::config::{Color, Decoding, Erase, Filter, Fit, Jitter, Layout, Limits, Size};
use crate::decode::{Channels, Decode, Grey, Picture, Region, StandardDecoder};
use crate::element::Element;
use crate::error::{Cause, CauseKind};
use crate::fence::fence;
use crate::source::Folder;

/// Bytes of an input in front of the file.
#[cfg(test)]
pub(super) const HEAD: usize = 13;

/// What reading may allocate beyond what the picture said, for tables that are kept from file
/// to file, and for messages.
const SLACK: u64 = 256 << 10;

/// What a part of a WebP's data may claim to have: its decoder asks for as many zeroes
/// before it looks whether they are there, and does not touch them where they are not.
const CLAIMED: u64 = 1 << 24;

fn slack(file: &[u8]) -> u64 {
    if file.get(8..12) == Some(b"WEBP") { SLACK + CLAIMED } else { SLACK }
}

/// Panics of decoder crates that have been reported there, by their beginning: in a loader
/// they are errors of a sample.
const KNOWN_PANICS: &[&str] = &[];

#[derive(Debug)]
struct Choices {
    limits: Limits,
    lenient: bool,
    reduced: u32,
    size: Size,
    fit: Fit,
    filter: Filter,
    fast: bool,
    color: Color,
    layout: Layout,
    changes: u8,
    turn: u64,
    /// Of a region, in 256ths of the picture's sides.
    region: [u8; 4],
}

impl Choices {
    fn of(input: &mut Input<'_>) -> Self {
        let bits = input.byte();
        let limits = Limits {
            max_pixels: 1 << [16, 18, 12, 20][usize::from(bits & 3)],
            max_scans: [100, 3][usize::from(bits >> 2 & 1)],
            max_side: [65_535, 4_096][usize::from(bits >> 3 & 1)],
            ..Limits::default()
        };
        let (lenient, fast) = (bits >> 4 & 1 == 1, bits >> 5 & 1 == 1);
        let color = [Color::Rgb, Color::Grey, Color::Bgr, Color::Rgb][usize::from(bits >> 6)];
        let how = input.byte();
        let size = Size { width: 1 + input.below(96) as u32, height: 1 + input.below(96) as u32 };
        let shorter = size.width.max(size.height) + u32::from(how >> 5);
        let fit = match how & 3 {
            0 => Fit::Stretch,
            1 => Fit::Crop { shorter: None },
            2 => Fit::Crop { shorter: Some(shorter) },
            _ => Fit::random_crop(),
        };
        let filters = [Filter::OpencvBilinear, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];
        let filter = filters[usize::from(how >> 2 & 3)];
        let layout = [Layout::Chw, Layout::Hwc][usize::from(how >> 4 & 1)];
        let (changes, turn) = (input.byte(), input.number(3));
        let reduced = input.of(&[1, 2, 4, 8]);
        let region = std::array::from_fn(|_| input.byte());
        Choices {
            limits,
            lenient,
            reduced,
            size,
            fit,
            filter,
            fast,
            color,
            layout,
            changes,
            turn,
            region,
        }
    }
}

/// Decodes what comes behind the choices, whole, in rows, in part and reduced, and makes rows
/// of it as a loader would. An error or a picture, the same each time, within the memory that
/// was told; what can be decoded becomes a row.
pub fn pixels(data: &[u8]) {
    let mut input = Input(data);
    let choices = Choices::of(&mut input);
    let file = input.rest();
    let strict = StandardDecoder::default();
    let decoder = strict.allow_truncated(choices.lenient);
    let decoded = decoded(&decoder, file, &choices);
    if choices.lenient
        && let Ok(whole) = whole(&strict, file, &choices, Channels::Rgb, 3)
    {
        let same = decoded.as_ref().is_ok_and(|pixels| *pixels == whole);
        assert!(same, "a whole file is another picture where truncated ones are allowed");
    }
    let taken = match choices.changes & 1 {
        0 => rows::<u8>(file, &choices, u32::from),
        _ => rows::<f32>(file, &choices, f32::to_bits),
    };
    if let (Ok(_), Err(cause)) = (&decoded, &taken) {
        panic!("it can be decoded, and makes no row: {cause}");
    }
}

/// Whether an input is a picture that its own choices take.
#[cfg(test)]
pub(super) fn is_taken(data: &[u8]) -> bool {
    let mut input = Input(data);
    let choices = Choices::of(&mut input);
    let file = input.rest();
    assert_eq!(data.len() - file.len(), HEAD);
    whole(&StandardDecoder::default(), file, &choices, Channels::Rgb, 0).is_ok()
}

/// What the work came to, of which a panic is told unless it is known.
fn told<R>(work: impl FnOnce() -> Result<R, Cause>) -> Result<R, Cause> {
    let done = fence(work).and_then(|done| done);
    if let Err(cause) = &done
        && cause.kind() == CauseKind::Panicked
    {
        let known = KNOWN_PANICS.iter().any(|known| cause.message().starts_with(known));
        assert!(known, "a decoder panicked: {cause}");
    }
    done
}

fn opened<'a>(
    decoder: &StandardDecoder,
    file: &'a [u8],
    choices: &Choices,
) -> Result<Box<dyn Picture + 'a>, Cause> {
    let picture = told(|| decoder.open(file, &choices.limits))?;
    let Size { width, height } = picture.size();
    let pixels = u64::from(width) * u64::from(height);
    let Limits { max_pixels, max_side, .. } = choices.limits;
    assert!((1..=max_pixels).contains(&pixels) && width.max(height) <= max_side);
    Ok(picture)
}

/// The whole picture, into memory that held something else.
fn whole(
    decoder: &StandardDecoder,
    file: &[u8],
    choices: &Choices,
    channels: Channels,
    dirt: u8,
) -> Result<Vec<u8>, Cause> {
    allocated();
    let picture = opened(decoder, file, choices)?;
    let (opening, size, working) = (allocated(), picture.size(), picture.working_bytes());
    let mut pixels = vec![dirt; channels.count() * size.pixels()];
    allocated();
    let read = told(|| picture.read(channels, &mut pixels));
    let reading = allocated() as u64;
    let most = working + slack(file);
    assert!(reading <= most, "{reading} bytes were taken, and {working} told of");
    // Tables and metadata are in the file, or of a fixed size.
    let most = 4 * file.len() + (512 << 10);
    assert!(opening <= most, "{opening} bytes were taken to open {} bytes", file.len());
    read.map(|()| pixels)
}

/// The pixels in three channels, the same in whatever way they are had.
fn decoded(decoder: &StandardDecoder, file: &[u8], choices: &Choices) -> Result<Vec<u8>, Cause> {
    let one = whole(decoder, file, choices, Channels::Rgb, 0xa5);
    let two = whole(decoder, file, choices, Channels::Rgb, 0x11);
    match (&one, &two) {
        (Ok(one), Ok(two)) => assert!(one == two, "other pixels the second time"),
        (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string()),
        _ => panic!("a picture and an error of the same bytes: {:?}", one.err().or(two.err())),
    }
    let pixels = one?;
    in_rows(decoder, file, choices, &pixels);
    Ok(pixels)
}

/// Rows, of a region and of a reduced picture.
fn in_rows(decoder: &StandardDecoder, file: &[u8], choices: &Choices, pixels: &[u8]) {
    let Ok(picture) = opened(decoder, file, choices) else { panic!("it opens no more") };
    let (size, grey) = (picture.size(), picture.grey());
    let [left, top, right, bottom] = choices.region;
    let part = |side: u32, one: u8, other: u8| {
        let (low, high) = (u64::from(one.min(other)), u64::from(one.max(other)));
        let low = u64::from(side) * low / 256;
        let high = (u64::from(side) * (high + 1)).div_ceil(256).max(low + 1);
        (low as u32, (high - low) as u32)
    };
    let ((left, width), (top, height)) =
        (part(size.width, left, right), part(size.height, top, bottom));
    let wanted = Region { left, top, width, height };
    let rows = read_rows(picture, file, wanted);
    let rows = rows.unwrap_or_else(|cause| panic!("no rows of what can be read: {cause}"));
    let stride = 3 * size.width as usize;
    for y in top..top + height {
        let from = y as usize * stride + 3 * left as usize;
        let to = from + 3 * width as usize;
        assert!(rows[from..to] == pixels[from..to], "other pixels in row {y} of {wanted:?}");
    }
    if grey != Grey::No {
        let levels = whole(decoder, file, choices, Channels::Grey, 9);
        assert_eq!(levels.map(|levels| levels.len()).ok(), Some(size.pixels()));
    }
    let Ok(mut picture) = opened(decoder, file, choices) else { panic!("it opens no more") };
    let by = picture.reduce(choices.reduced);
    assert!(by.is_power_of_two() && by <= choices.reduced);
    let comes = picture.size();
    let expected = Size { width: size.width.div_ceil(by), height: size.height.div_ceil(by) };
    assert_eq!(comes, expected);
    let all = Region { left: 0, top: 0, width: comes.width, height: comes.height };
    let reduced = read_rows(picture, file, all);
    let reduced = reduced.unwrap_or_else(|cause| panic!("no reduced picture: {cause}"));
    assert_eq!(reduced.len(), 3 * comes.pixels());
}

/// Rows as they come, put together.
fn read_rows(
    picture: Box<dyn Picture + '_>,
    file: &[u8],
    wanted: Region,
) -> Result<Vec<u8>, Cause> {
    let channels = Channels::Rgb;
    let (size, working) = (picture.size(), picture.working_bytes());
    let stride = channels.count() * size.width as usize;
    let mut memory = vec![0x77; picture.rows_bytes(channels)];
    let mut pixels = Vec::with_capacity(stride * size.height as usize);
    allocated();
    told(|| {
        picture.read_rows(channels, wanted, &mut memory, &mut |top, rows| {
            assert_eq!((top as usize * stride, rows.len() % stride), (pixels.len(), 0));
            assert!(pixels.len() + rows.len() <= pixels.capacity(), "more rows than there are");
            pixels.extend_from_slice(rows);
        })
    })?;
    let reading = allocated() as u64;
    let most = working + slack(file);
    assert!(reading <= most, "{reading} bytes were taken, and {working} told of");
    assert!(pixels.len() / stride >= (wanted.top + wanted.height) as usize, "rows are missing");
    Ok(pixels)
}

/// The row of a batch, twice by one preprocessor and once by another.
fn rows<T: Element>(file: &[u8], choices: &Choices, bits: impl Fn(T) -> u32) -> Result<(), Cause> {
    let make = || {
        let Choices { limits, size, fit, filter, color, layout, changes, .. } = *choices;
        let decoding = if choices.fast { Decoding::Fast } else { Decoding::Exact };
        let mut builder = Loader::source(Folder::new("nowhere"))
            .dtype::<T>()
            .size(size.width, size.height)
            .fit(fit)
            .filter(filter)
            .decode(decoding)
            .color(color)
            .layout(layout)
            .allow_truncated(choices.lenient)
            .max_pixels(limits.max_pixels)
            .max_side(limits.max_side)
            .max_scans(limits.max_scans)
            .seed(choices.turn);
        if changes & 2 != 0 {
            builder = builder.flip(0.5).vflip(0.5);
        }
        if changes & 4 != 0 {
            let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
            builder = builder.jitter(jitter).random_grey(0.3);
        }
        if changes & 8 != 0 {
            builder = builder.erase(Erase::new(0.7));
        }
        if changes & 16 != 0 && matches!(fit, Fit::RandomCrop { .. }) {
            builder = builder.cache_side(1 + u32::from(changes >> 5) * 23);
        }
        match builder.preprocessor() {
            Ok(preprocessor) => preprocessor,
            Err(error) => panic!("{choices:?}: {error}"),
        }
    };
    let (mut first, mut second) = (make(), make());
    let mut made = Vec::new();
    for (preprocessor, level) in [(&mut first, 0_u8), (&mut second, 255)] {
        for dirt in [level, 99] {
            let dirt = T::from_level(dirt, 0, &crate::Normalize::UNIT);
            let mut row = vec![dirt; preprocessor.row_len()];
            let done = told(|| {
                let epoch = choices.turn % 3;
                let done = preprocessor.preprocess_as(epoch, choices.turn, file, &mut row);
                done.map_err(|(_, cause)| cause)
            });
            let row: Vec<u32> = row.into_iter().map(&bits).collect();
            made.push(done.map(|()| row));
        }
    }
    let Some(last) = made.pop() else { return Ok(()) };
    for other in made {
        match (&last, &other) {
            (Ok(one), Ok(other)) => assert!(one == other, "another row the second time"),
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
            _ => panic!("a row and an error of the same bytes"),
        }
    }
    last.map(|_| ())
}
