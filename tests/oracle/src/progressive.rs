//! Progressive files that no encoder makes: any sampling factors and coefficients, in any
//! scans that bring all that a picture needs (ITU-T T.81, annex G).

use std::ops::RangeInclusive;

use crate::Draws;
use crate::synthetic::{Code, Kind, Writer, adobe, factors};

/// Coefficients in zigzag order.
type Block = [i32; 64];

/// Coefficients that libjpeg makes up where bits of them are missing.
const SMOOTHED: usize = 10;

struct Picture {
    factors: Vec<(usize, usize)>,
    /// Whole units in a row, and rows of them.
    units: (usize, usize),
    /// Blocks of a component that its own scans have.
    coded: Vec<(usize, usize)>,
    /// Of each component, row by row.
    blocks: Vec<Vec<Block>>,
}

/// What a scan brings.
#[derive(Clone, Debug)]
struct Script {
    members: Vec<usize>,
    band: RangeInclusive<usize>,
    /// The lowest bit; and the one before, if this is not the first.
    low: u32,
    high: u32,
}

/// A file of this kind.
pub fn file(draws: &mut Draws, kind: Kind) -> Vec<u8> {
    let (width, height) = (1 + draws.below(70), 1 + draws.below(70));
    let picture = Picture::new(draws, kind, width, height);
    let mut writer = Writer::default();
    writer.file.extend([0xff, 0xd8]);
    let most = match kind {
        Kind::Mild => draws.of(&[1, 3]),
        _ => draws.of(&[1, 3, 40, 255]),
    };
    let quantisers: Vec<u8> = (0..64).map(|_| 1 + draws.below(most) as u8).collect();
    writer.segment(0xdb, &[&[0][..], &quantisers].concat());
    adobe(draws, &mut writer, picture.factors.len());
    let mut frame = vec![8];
    frame.extend((height as u16).to_be_bytes());
    frame.extend((width as u16).to_be_bytes());
    frame.push(picture.factors.len() as u8);
    for (number, &(h, v)) in picture.factors.iter().enumerate() {
        frame.extend([number as u8 + 1, (h << 4 | v) as u8, 0]);
    }
    writer.segment(0xc2, &frame);
    let mut codes = [None, None];
    for script in scripts(draws, picture.factors.len()) {
        // New codes and restart intervals, for some of the scans.
        for (class, code) in codes.iter_mut().enumerate() {
            if code.is_none() || draws.below(3) == 0 {
                let new = if class == 0 { any_size(draws) } else { any_symbol(draws) };
                writer.code(class as u8, &new);
                *code = Some(new);
            }
        }
        let interval = draws.of(&[0, 0, 0, 1, 2, 5, 11]);
        writer.segment(0xdd, &(interval as u16).to_be_bytes());
        let mut body = vec![script.members.len() as u8];
        for &number in &script.members {
            body.extend([number as u8 + 1, 0]);
        }
        let (first, last) = (*script.band.start() as u8, *script.band.end() as u8);
        body.extend([first, last, (script.high << 4 | script.low) as u8]);
        writer.segment(0xda, &body);
        let code = codes[usize::from(first > 0)].as_ref().unwrap();
        match first {
            0 => picture.dc(&mut writer, &script, code, interval),
            _ => picture.ac(draws, &mut writer, &script, code, interval),
        }
        writer.flush();
    }
    writer.file.extend([0xff, 0xd9]);
    writer.file
}

/// A code of differences of up to 15 bits.
fn any_size(draws: &mut Draws) -> Code {
    let mut counts = [0; 16];
    (counts[2], counts[4], counts[13]) = (3, 9, 4);
    Code::shuffled(draws, counts, (0..16).collect())
}

/// A code of all symbols, some of them longer than any table's look.
fn any_symbol(draws: &mut Draws) -> Code {
    let mut counts = [0; 16];
    (counts[6], counts[7], counts[12]) = (20, 100, 136);
    Code::shuffled(draws, counts, (0..=255).collect())
}

impl Picture {
    fn new(draws: &mut Draws, kind: Kind, width: usize, height: usize) -> Self {
        let factors = factors(draws, kind);
        let most = |of: fn(&(usize, usize)) -> usize| factors.iter().map(of).max().unwrap();
        let (h_max, v_max) = (most(|f| f.0), most(|f| f.1));
        let alone = factors.len() == 1;
        // Of a picture of a single component a unit is a block, whatever its factors.
        let factors = if alone { vec![(1, 1)] } else { factors };
        let (h_max, v_max) = if alone { (1, 1) } else { (h_max, v_max) };
        let units = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        let coded = factors
            .iter()
            .map(|(h, v)| ((width * h).div_ceil(8 * h_max), (height * v).div_ceil(8 * v_max)))
            .collect();
        let limit = match kind {
            Kind::Wild => 8_191,
            Kind::Mild => draws.of(&[3, 60, 250]),
            Kind::Usual | Kind::Odd => draws.of(&[3, 60, 1_000]),
        };
        let density = draws.of(&[0, 1, 4, 20, 63]);
        let mut block = || {
            let end = 1 + draws.below(64);
            let mut block = [0; 64];
            block[0] = draws.between(-limit, limit);
            for value in &mut block[1..end] {
                if draws.below(64) < density {
                    *value = draws.between(-limit, limit) >> draws.below(8);
                }
            }
            block
        };
        let blocks = factors
            .iter()
            .map(|(h, v)| (0..h * v * units.0 * units.1).map(|_| block()).collect())
            .collect();
        Picture { factors, units, coded, blocks }
    }

    /// The blocks of a scan, unit by unit: of each the component, and its coefficients.
    fn scanned(&self, members: &[usize]) -> Vec<Vec<(usize, &Block)>> {
        let block = |number: usize, column: usize, line: usize| {
            let width = self.units.0 * self.factors[number].0;
            (number, &self.blocks[number][line * width + column])
        };
        if let &[alone] = members {
            let (across, down) = self.coded[alone];
            return (0..across * down)
                .map(|at| vec![block(alone, at % across, at / across)])
                .collect();
        }
        let unit = |at: usize| {
            let (x, y) = (at % self.units.0, at / self.units.0);
            let of = |&number: &usize| {
                let (h, v) = self.factors[number];
                (0..h * v).map(move |i| block(number, x * h + i % h, y * v + i / h))
            };
            members.iter().flat_map(of).collect()
        };
        (0..self.units.0 * self.units.1).map(unit).collect()
    }

    /// G.1.2.1.
    fn dc(&self, writer: &mut Writer, script: &Script, code: &Code, interval: usize) {
        let mut before = vec![0; self.factors.len()];
        for (at, unit) in self.scanned(&script.members).into_iter().enumerate() {
            if writer.restart(at, interval) {
                before.fill(0);
            }
            for (number, block) in unit {
                let value = block[0] >> script.low;
                if script.high == 0 {
                    writer.value(code, 0, value - before[number]);
                    before[number] = value;
                } else {
                    writer.put(value as u32 & 1, 1);
                }
            }
        }
    }

    /// G.1.2.2 and G.1.2.3.
    fn ac(
        &self,
        draws: &mut Draws,
        writer: &mut Writer,
        script: &Script,
        code: &Code,
        interval: usize,
    ) {
        let mut over = Over::default();
        // How many blocks may end at once.
        let most = draws.of(&[1, 2, 40, 0x7fff]);
        for (at, unit) in self.scanned(&script.members).into_iter().enumerate() {
            if interval > 0 && at.is_multiple_of(interval) {
                over.put(writer, code);
            }
            writer.restart(at, interval);
            for (_, block) in unit {
                over.block(writer, script, code, block);
                if over.blocks == most {
                    over.put(writer, code);
                }
            }
        }
        over.put(writer, code);
    }
}

/// Blocks that have ended and are not written.
#[derive(Default)]
struct Over {
    blocks: u32,
    /// Bits of coefficients that were there before.
    bits: Vec<u32>,
}

impl Over {
    fn put(&mut self, writer: &mut Writer, code: &Code) {
        if self.blocks > 0 {
            let size = self.blocks.ilog2();
            writer.symbol(code, (size << 4) as u8);
            writer.put(self.blocks - (1 << size), size);
            self.put_bits(writer);
            self.blocks = 0;
        }
    }

    fn put_bits(&mut self, writer: &mut Writer) {
        self.bits.drain(..).for_each(|bit| writer.put(bit, 1));
    }

    fn block(&mut self, writer: &mut Writer, script: &Script, code: &Code, block: &Block) {
        let size = |k: usize| block[k].unsigned_abs() >> script.low;
        // What begins with this scan.
        let is_new = |k: usize| size(k) == 1 || script.high == 0 && size(k) > 0;
        let last_new = script.band.clone().rev().find(|&k| is_new(k)).unwrap_or(0);
        let (mut run, mut bits) = (0, Vec::new());
        for k in script.band.clone() {
            if size(k) == 0 {
                run += 1;
                continue;
            }
            while run > 15 && k <= last_new {
                self.put(writer, code);
                writer.symbol(code, 0xf0);
                self.bits.append(&mut bits);
                self.put_bits(writer);
                run -= 16;
            }
            if !is_new(k) {
                bits.push(size(k) & 1);
                continue;
            }
            self.put(writer, code);
            if script.high == 0 {
                let sign = block[k].signum();
                writer.value(code, run, sign * size(k) as i32);
            } else {
                writer.symbol(code, (run << 4 | 1) as u8);
                writer.put(u32::from(block[k] > 0), 1);
            }
            self.bits.append(&mut bits);
            self.put_bits(writer);
            run = 0;
        }
        if run > 0 || !bits.is_empty() {
            self.blocks += 1;
            self.bits.append(&mut bits);
        }
    }
}

/// Scans in some order: DC first, and each bit after the one above it.
fn scripts(draws: &mut Draws, components: usize) -> Vec<Script> {
    let all: Vec<usize> = (0..components).collect();
    let mut chains = Vec::new();
    let each: Vec<Vec<usize>> = match draws.below(3) {
        0 => all.iter().map(|&one| vec![one]).collect(),
        1 if components > 2 => vec![vec![0, 2], [&[1], &all[3..]].concat()],
        _ => vec![all.clone()],
    };
    let mut first = Vec::new();
    for members in each {
        let mut chain = chain(draws, members, 0..=0);
        first.push(chain.remove(0));
        chains.push(chain);
    }
    for &number in &all {
        let mut from = 1;
        while from < 64 {
            let to = if draws.below(2) == 0 { 63 } else { from + draws.below(64 - from) };
            let mut chain = chain(draws, vec![number], from..=to);
            // What is missing of the others is zero.
            if from >= SMOOTHED && draws.below(8) == 0 {
                chain.truncate(draws.below(chain.len()));
            }
            chains.push(chain);
            from = to + 1;
        }
    }
    let mut order = first;
    loop {
        chains.retain(|chain| !chain.is_empty());
        if chains.is_empty() {
            return order;
        }
        let at = draws.below(chains.len());
        order.push(chains[at].remove(0));
    }
}

/// All bits of a band.
fn chain(draws: &mut Draws, members: Vec<usize>, band: RangeInclusive<usize>) -> Vec<Script> {
    let lowest = draws.of(&[0, 0, 1, 2, 3, 13]);
    let script = |low: u32| {
        let high = if low == lowest { 0 } else { low + 1 };
        Script { members: members.clone(), band: band.clone(), low, high }
    };
    (0..=lowest).rev().map(script).collect()
}
