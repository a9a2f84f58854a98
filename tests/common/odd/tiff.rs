//! TIFF: photometrics, depths, planes, tiles, both byte orders, and directories that
//! lead in circles.

use infeed::CauseKind;

use super::jpeg::marker;
use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, levels};

/// A directory in the making. Values are of 16 or 32 bits.
struct Tiff {
    little: bool,
    entries: Vec<(u16, u16, Vec<u32>)>,
    data: Vec<u8>,
}

const SHORT: u16 = 3;
const LONG: u16 = 4;

impl Tiff {
    fn number16(&self, value: u16) -> [u8; 2] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn number32(&self, value: u32) -> [u8; 4] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// A picture of `samples` samples of `depth` bits in one strip.
    fn new(width: u32, height: u32, depth: u16, samples: u16, photometric: u32) -> Self {
        let data = levels(width, height, samples.into());
        let data = match depth {
            16 => data.iter().flat_map(|&level| [level, level]).collect(),
            _ => data,
        };
        Tiff::of(width, height, depth, samples, photometric, data)
    }

    fn of(width: u32, height: u32, depth: u16, samples: u16, photo: u32, data: Vec<u8>) -> Self {
        let len = data.len() as u32;
        let mut tiff = Tiff { little: true, entries: Vec::new(), data };
        tiff.set(256, LONG, vec![width]);
        tiff.set(257, LONG, vec![height]);
        tiff.set(258, SHORT, vec![depth.into(); samples.into()]);
        tiff.set(259, SHORT, vec![1]);
        tiff.set(262, SHORT, vec![photo]);
        // Where the data begin: behind the header.
        tiff.set(273, LONG, vec![8]);
        tiff.set(277, SHORT, vec![samples.into()]);
        tiff.set(278, LONG, vec![height]);
        tiff.set(279, LONG, vec![len]);
        tiff
    }

    fn set(&mut self, tag: u16, kind: u16, values: Vec<u32>) {
        self.entries.retain(|(known, ..)| *known != tag);
        self.entries.push((tag, kind, values));
        self.entries.sort_by_key(|(tag, ..)| *tag);
    }

    fn with(mut self, tag: u16, kind: u16, values: Vec<u32>) -> Self {
        self.set(tag, kind, values);
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.entries.retain(|(known, ..)| *known != tag);
        self
    }

    fn big_endian(mut self) -> Self {
        self.little = false;
        self
    }

    /// The header, the data, the values that do not fit an entry, the directory.
    fn bytes(&self) -> Vec<u8> {
        let mut file = if self.little { b"II".to_vec() } else { b"MM".to_vec() };
        file.extend(self.number16(42));
        let pointer = file.len();
        file.extend([0; 4]);
        file.extend(&self.data);
        let mut directory = self.number16(self.entries.len() as u16).to_vec();
        for (tag, kind, values) in &self.entries {
            directory.extend(self.number16(*tag));
            directory.extend(self.number16(*kind));
            directory.extend(self.number32(values.len() as u32));
            let mut stored: Vec<u8> = match *kind {
                SHORT => values.iter().flat_map(|&v| self.number16(v as u16)).collect(),
                _ => values.iter().flat_map(|&v| self.number32(v)).collect(),
            };
            if stored.len() > 4 {
                let at = self.number32(file.len() as u32);
                file.append(&mut stored);
                stored = at.to_vec();
            }
            stored.resize(4, 0);
            directory.extend(stored);
        }
        directory.extend([0; 4]);
        if file.len() % 2 == 1 {
            file.push(0);
        }
        let at = self.number32(file.len() as u32);
        file[pointer..pointer + 4].copy_from_slice(&at);
        file.extend(directory);
        file
    }
}

pub(super) fn add(files: &mut Files) {
    let picture = Fate::Picture(31, 17);
    for (width, height) in [(1, 1), (65_535, 1), (1, 65_535)] {
        let fate = Fate::Picture(width, height);
        let tiff = Tiff::new(width, height, 8, 1, 1);
        files.add(format!("tiff/{width}x{height}.tiff"), fate, tiff.bytes());
    }
    // White is zero 0, black is zero 1, RGB 2, CMYK 5.
    for (name, depth, samples, photometric) in [
        ("white-is-zero", 8, 1, 0),
        ("black-is-zero", 8, 1, 1),
        ("deep-grey", 16, 1, 1),
        ("rgb", 8, 3, 2),
        ("deep-rgb", 16, 3, 2),
        ("cmyk", 8, 4, 5),
    ] {
        let tiff = Tiff::new(31, 17, depth, samples, photometric);
        files.add(format!("tiff/{name}.tiff"), picture.clone(), tiff.bytes());
        let name = format!("tiff/{name}-big-endian.tiff");
        files.add(name, picture.clone(), tiff.big_endian().bytes());
    }
    let profile = Tiff::new(31, 17, 8, 1, 1).with(34_675, LONG, vec![7; 1_000_000]);
    files.add("tiff/icc.tiff", Fate::Open, profile.bytes());
    let alpha = Tiff::new(31, 17, 8, 4, 2).with(338, SHORT, vec![2]);
    files.add("tiff/rgba.tiff", picture.clone(), alpha.bytes());
    let grey_alpha = Tiff::new(31, 17, 8, 2, 1).with(338, SHORT, vec![2]);
    files.add("tiff/grey-alpha.tiff", Fate::Open, grey_alpha.bytes());
    let bits: Vec<u8> = (0..4 * 17).map(|at: u32| (at * 29) as u8).collect();
    let bilevel = Tiff::of(31, 17, 1, 1, 1, bits.clone());
    files.add("tiff/bilevel.tiff", picture.clone(), bilevel.bytes());
    let white = Tiff::of(31, 17, 1, 1, 0, bits);
    files.add("tiff/bilevel-white-is-zero.tiff", picture.clone(), white.bytes());
    let colors: Vec<u32> = (0..768).map(|at| at * 85 % 65_536).collect();
    let palette = Tiff::new(31, 17, 8, 1, 3).with(320, SHORT, colors);
    files.add("tiff/palette.tiff", Fate::Open, palette.bytes());
    let floats = Tiff::of(31, 17, 32, 1, 1, vec![0; 31 * 17 * 4]).with(339, SHORT, vec![3]);
    let kinds = Fate::Refused(&[CauseKind::Unsupported]);
    files.add("tiff/floats.tiff", kinds.clone(), floats.bytes());
    let lab = Tiff::new(31, 17, 8, 3, 8);
    files.add("tiff/lab.tiff", Fate::Open, lab.bytes());
    let planes = Tiff::new(31, 17, 8, 3, 2).with(284, SHORT, vec![2]);
    let each = 31 * 17;
    let places = vec![8, 8 + each, 8 + 2 * each];
    let planes = planes.with(273, LONG, places).with(279, LONG, vec![each; 3]);
    files.add("tiff/planes.tiff", Fate::Open, planes.bytes());
    // Strips of a row each.
    let strips: Vec<u32> = (0..17).map(|row| 8 + row * 31).collect();
    let rows = Tiff::new(31, 17, 8, 1, 1).with(278, LONG, vec![1]);
    let rows = rows.with(273, LONG, strips).with(279, LONG, vec![31; 17]);
    files.add("tiff/strips.tiff", picture.clone(), rows.bytes());
    let tiles = Tiff::of(32, 16, 8, 1, 1, levels(16, 32, 1));
    let tiles = tiles.without(273).without(278).without(279);
    let tiles = tiles.with(322, LONG, vec![16]).with(323, LONG, vec![16]);
    let tiles = tiles.with(324, LONG, vec![8, 8 + 256]).with(325, LONG, vec![256; 2]);
    files.add("tiff/tiles.tiff", Fate::Picture(32, 16), tiles.bytes());
    for orientation in 1..=8 {
        let turned = (5..=8).contains(&orientation);
        let fate = if turned { Fate::Picture(17, 31) } else { picture.clone() };
        let tiff = Tiff::new(31, 17, 8, 3, 2).with(274, SHORT, vec![orientation]);
        files.add(format!("tiff/orientation-{orientation}.tiff"), fate, tiff.bytes());
    }
    packed(files);
    lies(files);
}

/// Compressions.
fn packed(files: &mut Files) {
    let picture = Fate::Picture(31, 17);
    let runs: Vec<u8> =
        levels(31, 17, 1).chunks(31).flat_map(|row| [&[30][..], row].concat()).collect();
    let packbits = Tiff::of(31, 17, 8, 1, 1, runs).with(259, SHORT, vec![32_773]);
    files.add("tiff/packbits.tiff", picture.clone(), packbits.bytes());
    let zlib = super::bits::zlib(&levels(31, 17, 1));
    let deflated = Tiff::of(31, 17, 8, 1, 1, zlib).with(259, SHORT, vec![8]);
    files.add("tiff/deflate.tiff", picture.clone(), deflated.bytes());
    // Far more than the picture has use for.
    let zeros = super::bits::zlib_of_zeros(200_000_000);
    let bomb = Tiff::of(31, 17, 8, 1, 1, zeros).with(259, SHORT, vec![8]);
    files.add("tiff/deflate-too-much.tiff", Fate::Open, bomb.bytes());
    let runs = [0x81, 0].repeat(1_000_000);
    let bomb = Tiff::of(31, 17, 8, 1, 1, runs).with(259, SHORT, vec![32_773]);
    files.add("tiff/packbits-too-much.tiff", Fate::Open, bomb.bytes());
    let mut photo = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut photo, 90);
    encoder.encode(&levels(31, 17, 1), 31, 17, jpeg_encoder::ColorType::Luma).unwrap();
    assert_eq!(marker(&photo, 0xd8), 0);
    let jpeg = Tiff::of(31, 17, 8, 1, 1, photo).with(259, SHORT, vec![7]);
    files.add("tiff/jpeg.tiff", Fate::Open, jpeg.bytes());
    let damaged = Tiff::of(31, 17, 8, 1, 1, vec![0xff; 60]).with(259, SHORT, vec![7]);
    files.add("tiff/no-jpeg.tiff", Fate::Refused(ANY), damaged.bytes());
    for kind in [2, 3, 4, 6, 9, 34_712, 50_000, 65_000] {
        let tiff = Tiff::new(31, 17, 8, 1, 1).with(259, SHORT, vec![kind]);
        files.add(format!("tiff/compression-{kind}.tiff"), Fate::Refused(ANY), tiff.bytes());
    }
}

const ANY: &[CauseKind] = &[CauseKind::Unsupported, CauseKind::Corrupt, CauseKind::Truncated];

fn lies(files: &mut Files) {
    let grey = || Tiff::new(31, 17, 8, 1, 1);
    files.add("tiff/no-width.tiff", Fate::Refused(ANY), grey().without(256).bytes());
    files.add("tiff/width-zero.tiff", Fate::Refused(ANY), grey().with(256, LONG, vec![0]).bytes());
    files.add("tiff/no-strips.tiff", Fate::Refused(ANY), grey().without(273).bytes());
    let beyond = grey().with(273, LONG, vec![1 << 30]);
    files.add("tiff/strip-beyond.tiff", DAMAGED, beyond.bytes());
    let many = grey().with(279, LONG, vec![u32::MAX]);
    files.add("tiff/strip-too-long.tiff", Fate::Open, many.bytes());
    let taller = grey().with(257, LONG, vec![90]).with(278, LONG, vec![90]);
    files.add("tiff/says-taller.tiff", DAMAGED, taller.bytes());
    let huge = grey().with(256, LONG, vec![60_000]).with(257, LONG, vec![60_000]);
    let huge = huge.with(278, LONG, vec![60_000]);
    files.add("tiff/huge.tiff", OVER_A_LIMIT, huge.bytes());
    let endless = grey().with(256, LONG, vec![u32::MAX]).with(257, LONG, vec![u32::MAX]);
    files.add(
        "tiff/endless.tiff",
        Fate::Refused(&[CauseKind::Limit, CauseKind::Corrupt]),
        endless.bytes(),
    );
    let samples = grey().with(277, SHORT, vec![65_535]);
    files.add("tiff/samples.tiff", Fate::Refused(ANY), samples.bytes());
    // 25 megapixels of one strip that is not there.
    let large = grey().with(256, LONG, vec![5_000]).with(257, LONG, vec![5_000]);
    files.add("tiff/says-25-megapixels.tiff", DAMAGED, large.bytes());
    // The next directory is the first.
    let mut circle = grey().bytes();
    let len = circle.len();
    let first: [u8; 4] = circle[4..8].try_into().unwrap();
    circle[len - 4..].copy_from_slice(&first);
    files.add("tiff/circle.tiff", Fate::Open, circle);
    // A count of values that no file holds.
    let mut counted = grey().bytes();
    let directory = u32::from_le_bytes(first) as usize;
    counted[directory + 2 + 4..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    files.add("tiff/count.tiff", Fate::Open, counted);
    let mut beyond = grey().bytes();
    beyond[4..8].copy_from_slice(&0x7fff_fff0_u32.to_le_bytes());
    files.add("tiff/directory-beyond.tiff", DAMAGED, beyond);
    files.add("tiff/only-a-header.tiff", DAMAGED, b"II*\0\x08\0\0\0".to_vec());
    files.add(
        "tiff/big-tiff-header.tiff",
        Fate::Refused(ANY),
        b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0".to_vec(),
    );
}
