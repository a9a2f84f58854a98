//! Files that no encoder makes: any sampling factors, tables and coefficients, as the
//! format allows them (ITU-T T.81, annexes B, C and F).

use crate::Draws;

/// How far a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sampling factors as they are used.
    Usual,
    /// Any sampling factors that are whole multiples of each other.
    Odd,
    /// The same, of coefficients as large as a picture's.
    Mild,
    /// Coefficients and quantisers as large as they can be written.
    Wild,
}

/// How many codes there are of each length in the standard's table of AC coefficients
/// (table K.5), for 162 symbols; and of DC differences, for 12 (table K.3).
const AC_COUNTS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
const DC_COUNTS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];

pub(crate) struct Code {
    counts: [u8; 16],
    symbols: Vec<u8>,
    /// Code and length of each symbol.
    codes: [(u32, u32); 256],
}

impl Code {
    pub(crate) fn new(counts: [u8; 16], symbols: Vec<u8>) -> Self {
        let mut codes = [(0, 0); 256];
        let (mut code, mut symbol) = (0, symbols.iter());
        for (length, &count) in (1..).zip(&counts) {
            for _ in 0..count {
                codes[usize::from(*symbol.next().unwrap())] = (code, length);
                code += 1;
            }
            code <<= 1;
        }
        Code { counts, symbols, codes }
    }

    pub(crate) fn shuffled(draws: &mut Draws, counts: [u8; 16], mut symbols: Vec<u8>) -> Self {
        for last in (1..symbols.len()).rev() {
            let other = draws.below(last + 1);
            symbols.swap(last, other);
        }
        Code::new(counts, symbols)
    }
}

/// Bits, stuffed.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) file: Vec<u8>,
    word: u64,
    count: u32,
}

impl Writer {
    pub(crate) fn put(&mut self, bits: u32, count: u32) {
        self.word = self.word << count | u64::from(bits);
        self.count += count;
        while self.count >= 8 {
            let byte = (self.word >> (self.count - 8)) as u8;
            self.file.push(byte);
            if byte == 0xff {
                self.file.push(0);
            }
            self.count -= 8;
        }
    }

    /// To the end of a byte, with ones.
    pub(crate) fn flush(&mut self) {
        if self.count > 0 {
            let count = 8 - self.count;
            self.put((1 << count) - 1, count);
        }
        (self.word, self.count) = (0, 0);
    }

    pub(crate) fn symbol(&mut self, code: &Code, symbol: u8) {
        let (bits, length) = code.codes[usize::from(symbol)];
        assert!(length > 0, "no code for {symbol:#x}");
        self.put(bits, length);
    }

    /// A value after its symbol (F.1.2.1).
    pub(crate) fn value(&mut self, code: &Code, run: u32, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.symbol(code, (run << 4 | size) as u8);
        let low = if value < 0 { value - 1 } else { value };
        self.put(low as u32 & ((1 << size) - 1), size);
    }

    /// A code as a file defines it (B.2.4.2), number 0 of its class.
    pub(crate) fn code(&mut self, class: u8, code: &Code) {
        self.segment(0xc4, &[&[class << 4][..], &code.counts, &code.symbols].concat());
    }

    /// A restart marker after `units` units, if one is due there.
    pub(crate) fn restart(&mut self, units: usize, interval: usize) -> bool {
        let due = interval > 0 && units > 0 && units.is_multiple_of(interval);
        if due {
            self.flush();
            self.file.extend([0xff, 0xd0 | ((units / interval - 1) & 7) as u8]);
        }
        due
    }

    pub(crate) fn segment(&mut self, marker: u8, body: &[u8]) {
        self.file.extend([0xff, marker]);
        self.file.extend((body.len() as u16 + 2).to_be_bytes());
        self.file.extend(body);
    }
}

/// A file of this kind, in one scan.
pub fn file(draws: &mut Draws, kind: Kind) -> Vec<u8> {
    file_of(draws, kind, |_, components| vec![(0..components).collect()])
}

/// The same with scans for some of the components, in any order.
pub fn separate(draws: &mut Draws, kind: Kind) -> Vec<u8> {
    file_of(draws, kind, |draws, components| {
        let mut scans: Vec<Vec<usize>> = match (components, draws.below(3)) {
            (1, _) => vec![vec![0]],
            (_, 0) => (0..components).map(|number| vec![number]).collect(),
            (_, 1) => vec![vec![0], (1..components).collect()],
            _ => vec![vec![0, 1], (2..components).collect()],
        };
        let first = draws.below(scans.len());
        scans.rotate_left(first);
        scans
    })
}

/// `scans` says which components each has.
fn file_of(
    draws: &mut Draws,
    kind: Kind,
    scans: impl FnOnce(&mut Draws, usize) -> Vec<Vec<usize>>,
) -> Vec<u8> {
    let side = |draws: &mut Draws| 1 + draws.below(70);
    let (width, height) = (side(draws), side(draws));
    let factors = factors(draws, kind);
    let wide = kind == Kind::Wild && draws.below(2) == 0;
    let mut writer = Writer::default();
    writer.file.extend([0xff, 0xd8]);
    let most = match kind {
        Kind::Mild => draws.of(&[1, 3]),
        _ if wide => 65_535,
        _ => draws.of(&[1, 3, 40, 255]),
    };
    for table in 0..factors.len().min(2) {
        let mut body = vec![u8::from(wide) << 4 | table as u8];
        for _ in 0..64 {
            let value = 1 + draws.below(most) as u16;
            match wide {
                true => body.extend(value.to_be_bytes()),
                false => body.push(value as u8),
            }
        }
        writer.segment(0xdb, &body);
    }
    adobe(draws, &mut writer, factors.len());
    let mut frame = vec![8];
    frame.extend((height as u16).to_be_bytes());
    frame.extend((width as u16).to_be_bytes());
    frame.push(factors.len() as u8);
    for (number, &(h, v)) in factors.iter().enumerate() {
        frame.extend([number as u8 + 1, (h << 4 | v) as u8, number.min(1) as u8]);
    }
    writer.segment(draws.of(&[0xc0, 0xc1]), &frame);

    // Of 16 bits, differences can be; of 15, coefficients.
    let sizes = if kind == Kind::Wild { 15 } else { 10 };
    let dc_counts =
        if sizes > 11 { [0, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0] } else { DC_COUNTS };
    let dc_symbols = (0..dc_counts.iter().sum()).collect();
    let dc = Code::shuffled(draws, dc_counts, dc_symbols);
    let symbols = (0..16).flat_map(|run| (1..=sizes).map(move |size| run << 4 | size));
    let symbols: Vec<u8> = symbols.chain([0x00, 0xf0]).collect();
    let mut ac_counts = AC_COUNTS;
    if symbols.len() > 162 {
        ac_counts = [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, symbols.len() as u8 - 3, 0, 0, 0, 0];
    }
    let ac = Code::shuffled(draws, ac_counts, symbols);
    writer.code(0, &dc);
    writer.code(1, &ac);
    let interval = draws.of(&[0, 0, 0, 1, 2, 5, 11]);
    if interval > 0 {
        writer.segment(0xdd, &(interval as u16).to_be_bytes());
    }
    let most = |of: fn(&(usize, usize)) -> usize| factors.iter().map(of).max().unwrap();
    let (h_max, v_max) = (most(|f| f.0), most(|f| f.1));
    let limit = match kind {
        Kind::Wild => 16_383,
        Kind::Mild => draws.of(&[3, 60, 250]),
        Kind::Usual | Kind::Odd => draws.of(&[3, 60, 1_000]),
    };
    let density = draws.of(&[0, 1, 4, 20, 63]);
    for members in scans(draws, factors.len()) {
        let mut scan = vec![members.len() as u8];
        for &number in &members {
            scan.extend([number as u8 + 1, 0]);
        }
        scan.extend([0, 63, 0]);
        writer.segment(0xda, &scan);
        // Of a single component a unit is a block (A.2.2).
        let alone = members.len() == 1;
        let (h, v) = if alone { factors[members[0]] } else { (1, 1) };
        let units = (width * h).div_ceil(8 * h_max) * (height * v).div_ceil(8 * v_max);
        let mut before = vec![0; factors.len()];
        for unit in 0..units {
            if writer.restart(unit, interval) {
                before.fill(0);
            }
            for &number in &members {
                let (h, v) = factors[number];
                for _ in 0..if alone { 1 } else { h * v } {
                    let dc_value = draws.between(-limit, limit).clamp(-16_383, 16_383);
                    writer.value(&dc, 0, dc_value - before[number]);
                    before[number] = dc_value;
                    coefficients(draws, &mut writer, &ac, density, limit.min((1 << sizes) - 1));
                }
            }
        }
        writer.flush();
    }
    writer.file.extend([0xff, 0xd9]);
    writer.file
}

fn coefficients(draws: &mut Draws, writer: &mut Writer, ac: &Code, density: usize, limit: i32) {
    // Where the block ends, so that some are full and some nearly empty.
    let end = 1 + draws.below(64);
    let mut run = 0;
    for place in 1..64 {
        let value = match place < end && draws.below(64) < density {
            true => draws.between(-limit, limit),
            false => 0,
        };
        if value == 0 {
            run += 1;
            continue;
        }
        while run > 15 {
            writer.symbol(ac, 0xf0);
            run -= 16;
        }
        writer.value(ac, run, value);
        run = 0;
    }
    if run > 0 {
        writer.symbol(ac, 0);
    }
}

/// What says which colours they are, for some files.
pub(crate) fn adobe(draws: &mut Draws, writer: &mut Writer, components: usize) {
    let transform = match components {
        4 => draws.of(&[None, Some(0), Some(2)]),
        3 => draws.of(&[None, None, Some(0), Some(1)]),
        _ => None,
    };
    if let Some(transform) = transform {
        writer.segment(0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat());
    }
}

pub(crate) fn factors(draws: &mut Draws, kind: Kind) -> Vec<(usize, usize)> {
    if draws.below(6) == 0 {
        return vec![draws.of(&[(1, 1), (2, 2), (2, 1), (4, 4)])];
    }
    if kind == Kind::Usual {
        let luma = draws.of(&[(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4)]);
        return match draws.below(6) {
            0 => vec![luma, (1, 1), (1, 1), draws.of(&[luma, (1, 1)])],
            _ => vec![luma, (1, 1), (1, 1)],
        };
    }
    loop {
        let mut one = || (1 + draws.below(4), 1 + draws.below(4));
        let mut factors = vec![one(), one(), one()];
        if factors[0].0 == 1 {
            factors.push(one());
        }
        let most = |of: fn(&(usize, usize)) -> usize| factors.iter().map(of).max().unwrap();
        let (h, v) = (most(|f| f.0), most(|f| f.1));
        let blocks: usize = factors.iter().map(|f| f.0 * f.1).sum();
        if blocks <= 10 && factors.iter().all(|f| h % f.0 == 0 && v % f.1 == 0) {
            return factors;
        }
    }
}
