//! What a file says beside its image data (ITU-T T.81, annex B), as far as this decoder
//! takes it: Huffman-coded scans, 8 bits, one, three or four components.

use super::block::{Block, by_rows};
use super::huffman::Code;
use super::markers::{APP0, APP1, APP14, DAC, DHT, DQT, DRI, Found, SOS, Segment, Segments};
use super::usual::usual;
use crate::error::{Cause, CauseKind};

/// A picture that this decoder takes.
#[derive(Debug)]
pub(super) struct Header<'a> {
    width: usize,
    height: usize,
    /// Samples of a side of the blocks that have the most pixels each: 8, or fewer of a
    /// picture that comes reduced.
    pub(super) side: usize,
    pub(super) components: Vec<Component>,
    pub(super) color: Color,
    /// The largest sampling factors.
    pub(super) factors: (usize, usize),
    /// What EXIF has to say, as a TIFF file.
    pub(super) exif: Option<&'a [u8]>,
    /// Whether each scan has some bits of some coefficients; else it has all of its
    /// components, which come in no other.
    pub(super) progressive: bool,
    pub(super) scans: Vec<Scan<'a>>,
}

/// A scan of all of the components, or some.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) members: Vec<Member<'a>>,
    pub(super) band: Band,
    /// Units between restart markers; 0 if there are none.
    pub(super) restart_interval: u32,
    /// From its first byte to the file's end.
    pub(super) data: &'a [u8],
}

/// A component in a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// In the frame.
    pub(super) number: usize,
    /// `None` where the file has none by then.
    pub(super) dc: Option<Code<'a>>,
    pub(super) ac: Option<Code<'a>>,
}

/// What a scan of a progressive file brings: of the coefficients from the `first` to the
/// `last`, in zigzag order, the bits from `high` down to `low`, or from the top where
/// `high` is 0 (B.2.3: Ss, Se, Ah and Al).
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) high: u32,
    pub(super) low: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Component {
    /// Blocks in a unit, horizontally and vertically.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Samples of a side of its blocks.
    pub(super) side: usize,
    pub(super) quantisers: Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Grey,
    YCbCr,
    Rgb,
    /// Inks, each as what it leaves of white.
    Cmyk,
    /// The same, but for the black one stored as the YCbCr of their opposites.
    Ycck,
}

/// Of the frame's segment: size, and identifier, factors and table of each component.
struct Frame<'a> {
    width: usize,
    height: usize,
    progressive: bool,
    components: &'a [[u8; 3]],
}

impl<'a> Header<'a> {
    /// Of a file up to the scan that has the last of the components, or of all scans of a
    /// progressive one.
    pub(super) fn of(file: &'a [u8]) -> Result<Self, Cause> {
        let mut quantisers = [None; 4];
        let mut codes = [[None; 4]; 2];
        let (mut frame, mut restart_interval) = (None, 0);
        let (mut jfif, mut adobe, mut exif) = (false, None, None);
        let (mut known, mut scans) = (Vec::new(), Vec::new());
        for found in Segments::of(file) {
            let Found::Segment(Segment { marker, body, at }) = found else { break };
            let wrong = |what: &str| corrupt(format!("{what} that contradicts itself"));
            match marker {
                DQT => read_quantisers(body, &mut quantisers)
                    .ok_or_else(|| wrong("a quantisation table"))?,
                DHT => read_codes(body, &mut codes).ok_or_else(|| wrong("a Huffman table"))?,
                DRI => {
                    let interval = body.first_chunk().ok_or_else(|| wrong("a restart interval"))?;
                    restart_interval = u32::from(u16::from_be_bytes(*interval));
                }
                0xc0..=0xc2 if frame.is_none() => {
                    let read = read_frame(body, marker == 0xc2)?;
                    known.resize(read.components.len(), None);
                    frame = Some(read);
                }
                DAC => {}
                0xc0..=0xcf => return Err(corrupt("a second frame")),
                SOS => {
                    let frame = frame.as_ref().ok_or_else(|| corrupt("a scan before its frame"))?;
                    let (members, band) = read_scan(frame, body, &codes)?;
                    for member in &members {
                        let component = &mut known[member.number];
                        // Quantisers are those of a component's first scan, as in libjpeg.
                        if component.is_none() {
                            *component = Some(frame.component(member.number, &quantisers)?);
                        } else if !frame.progressive {
                            return Err(corrupt("two scans of one component"));
                        }
                    }
                    let data = &file[at + body.len()..];
                    scans.push(Scan { members, band, restart_interval, data });
                    // Each brings a bit at least of one coefficient.
                    if scans.len() > known.len() * 64 * 14 {
                        return Err(corrupt("more scans than there are bits"));
                    }
                    if !frame.progressive && known.iter().all(Option::is_some) {
                        break;
                    }
                }
                // What follows comes too late for the first scan's pixels.
                _ if !scans.is_empty() => {}
                // Shorter ones count for nothing, as in libjpeg.
                APP0 => jfif |= body.len() >= 14 && body.starts_with(b"JFIF\0"),
                APP1 if exif.is_none() => exif = body.strip_prefix(b"Exif\0\0"),
                APP14 if body.len() >= 12 && body.starts_with(b"Adobe") => adobe = Some(body[11]),
                _ => {}
            }
        }
        let frame = frame.ok_or_else(|| corrupt("no frame"))?;
        let component = |(number, known): (usize, Option<Component>)| match known {
            Some(component) => Ok(component),
            // Of which scans are missing is told later; of none, all coefficients are zero.
            None if frame.progressive => frame.component(number, &[Some([0; 64]); 4]),
            None => {
                Err(Cause::new(CauseKind::Truncated, "a JPEG without a scan for each component"))
            }
        };
        let components = known.into_iter().enumerate().map(component);
        let components = components.collect::<Result<Vec<_>, _>>()?;
        let most = |of: fn(&Component) -> usize| components.iter().map(of).max().unwrap_or(1);
        let header = Header {
            width: frame.width,
            height: frame.height,
            side: 8,
            color: color(&frame, jfif, adobe),
            factors: (most(|c| c.h), most(|c| c.v)),
            components,
            exif,
            progressive: frame.progressive,
            scans,
        };
        header.check_factors()?;
        Ok(header)
    }

    /// Whole multiples, and units of at most ten blocks (B.2.3).
    fn check_factors(&self) -> Result<(), Cause> {
        let (h, v) = self.factors;
        if !self.components.iter().all(|c| h % c.h == 0 && v % c.v == 0) {
            let message = "a JPEG with sampling factors that are no whole parts of the largest";
            return Err(Cause::new(CauseKind::Unsupported, message));
        }
        let blocks = |m: &Member<'_>| self.components[m.number].h * self.components[m.number].v;
        let fit = |Scan { members, .. }: &Scan<'_>| {
            members.len() == 1 || members.iter().map(blocks).sum::<usize>() <= 10
        };
        match self.scans.iter().all(fit) {
            true => Ok(()),
            false => Err(corrupt("a scan of more than ten blocks in a unit")),
        }
    }

    /// Has each of the picture's sides come divided by 2, 4 or 8. A component of fewer
    /// samples is divided less, as far as they become the picture's: as in libjpeg.
    pub(super) fn reduce(&mut self, by: usize) {
        let (side, factors) = (8 / by, self.factors);
        for component in &mut self.components {
            let Component { h, v, .. } = *component;
            let fits = |of: &usize| {
                (factors.0 * side).is_multiple_of(h * of)
                    && (factors.1 * side).is_multiple_of(v * of)
            };
            let sides = [side, 2 * side, 4 * side, 8 * side];
            let most = sides.into_iter().take_while(|of| *of <= 8 && fits(of)).last();
            component.side = most.unwrap_or(side);
        }
        self.side = side;
    }

    /// What its lists take at most.
    pub(super) fn bytes(&self) -> usize {
        // As many again may be made room for; and a table of what scans bring.
        let scan = size_of::<Scan<'_>>() + 4 * size_of::<Member<'_>>();
        2 * self.scans.len() * scan + self.components.len() * (size_of::<Component>() + 1024)
    }

    /// Width and height as they come.
    pub(super) fn size(&self) -> (usize, usize) {
        let reduced = |side: usize| (side * self.side).div_ceil(8);
        (reduced(self.width), reduced(self.height))
    }

    /// Units in a row, and rows of them.
    pub(super) fn units(&self) -> (usize, usize) {
        let (h, v) = self.factors;
        (self.width.div_ceil(8 * h), self.height.div_ceil(8 * v))
    }

    /// Blocks of a component in a row, and rows of them, where it has a scan of its own
    /// (A.2.2).
    pub(super) fn blocks(&self, component: &Component) -> (usize, usize) {
        let (h, v) = (8 * self.factors.0, 8 * self.factors.1);
        ((self.width * component.h).div_ceil(h), (self.height * component.v).div_ceil(v))
    }

    /// Width and height of a component in samples (A.1.1).
    pub(super) fn samples(&self, component: &Component) -> (usize, usize) {
        let (h, v) = (8 * self.factors.0, 8 * self.factors.1);
        let Component { side, .. } = *component;
        let samples = |pixels: usize, of: usize, all: usize| (pixels * of * side).div_ceil(all);
        (samples(self.width, component.h, h), samples(self.height, component.v, v))
    }
}

/// B.2.4.1.
fn read_quantisers(mut body: &[u8], to: &mut [Option<Block>; 4]) -> Option<()> {
    while let Some((&first, rest)) = body.split_first() {
        let to = to.get_mut(usize::from(first & 15))?;
        let (values, rest) = match first >> 4 {
            0 => {
                let (values, rest) = rest.split_first_chunk::<64>()?;
                (values.map(u16::from), rest)
            }
            1 => {
                let (values, rest) = rest.split_first_chunk::<128>()?;
                let values = values.as_chunks::<2>().0;
                (std::array::from_fn(|i| u16::from_be_bytes(values[i])), rest)
            }
            _ => return None,
        };
        *to = Some(by_rows(&values));
        body = rest;
    }
    Some(())
}

/// B.2.4.2.
fn read_codes<'a>(mut body: &'a [u8], to: &mut [[Option<Code<'a>>; 4]; 2]) -> Option<()> {
    while let Some((&first, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let symbols = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(symbols)?;
        let to = to.get_mut(usize::from(first >> 4))?.get_mut(usize::from(first & 15))?;
        *to = Some(Code { counts, symbols });
        body = rest;
    }
    Some(())
}

/// B.2.2.
fn read_frame(body: &[u8], progressive: bool) -> Result<Frame<'_>, Cause> {
    let [8, h1, h0, w1, w0, count, rest @ ..] = body else {
        return Err(corrupt("a frame that is too short"));
    };
    let components = rest.as_chunks::<3>().0.get(..usize::from(*count));
    let components = components.ok_or_else(|| corrupt("a frame that is too short"))?;
    if !matches!(count, 1 | 3 | 4) {
        let message = format!("a JPEG of {count} components; 1, 3 or 4 are read");
        return Err(Cause::new(CauseKind::Unsupported, message));
    }
    let factors = |c: &[u8; 3]| (1..=4).contains(&(c[1] >> 4)) && (1..=4).contains(&(c[1] & 15));
    if !components.iter().all(factors) {
        return Err(corrupt("sampling factors that are not 1 to 4"));
    }
    let side = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
    let (width, height) = (side(*w1, *w0), side(*h1, *h0));
    Ok(Frame { width, height, progressive, components })
}

/// As libjpeg guesses: JFIF is YCbCr, Adobe says what it is, and else the components'
/// names do.
fn color(frame: &Frame<'_>, jfif: bool, adobe: Option<u8>) -> Color {
    let names: Vec<u8> = frame.components.iter().map(|&[name, ..]| name).collect();
    match (names.len(), adobe) {
        (1, _) => Color::Grey,
        (4, None | Some(0)) => Color::Cmyk,
        (4, _) => Color::Ycck,
        _ if jfif => Color::YCbCr,
        (_, Some(0)) => Color::Rgb,
        (_, None) if names == b"RGB" => Color::Rgb,
        _ => Color::YCbCr,
    }
}

impl Frame<'_> {
    fn component(
        &self,
        number: usize,
        quantisers: &[Option<Block>; 4],
    ) -> Result<Component, Cause> {
        let [_, factors, table] = self.components[number];
        // Of a picture of a single component a unit is a block, whatever its factors
        // (A.2.2).
        let alone = self.components.len() == 1;
        let (h, v) = if alone { (1, 1) } else { (factors >> 4, factors & 15) };
        let quantisers = quantisers.get(usize::from(table)).copied().flatten();
        let quantisers = quantisers.ok_or_else(|| corrupt("a quantisation table is missing"))?;
        Ok(Component { h: h.into(), v: v.into(), side: 8, quantisers })
    }
}

/// B.2.3. Where a sequential scan's code is missing, it is the usual one.
fn read_scan<'a>(
    frame: &Frame<'_>,
    body: &[u8],
    codes: &[[Option<Code<'a>>; 4]; 2],
) -> Result<(Vec<Member<'a>>, Band), Cause> {
    let short = || corrupt("a scan's header that is too short");
    let (&count, rest) = body.split_first().ok_or_else(short)?;
    let (chosen, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(short)?;
    let &[first, last, bits] = rest.first_chunk().ok_or_else(short)?;
    let mut members: Vec<Member<'a>> = Vec::with_capacity(frame.components.len().min(count.into()));
    for &[id, tables] in chosen.as_chunks::<2>().0 {
        // Some files give all components one identifier: they come in order then, as in libjpeg.
        let number = (0..frame.components.len()).find(|&number| {
            frame.components[number][0] == id && members.iter().all(|m| m.number != number)
        });
        let number = number.ok_or_else(|| corrupt("a scan of a component that is not there"))?;
        let code = |class: usize, table: u8| {
            let table = usize::from(table);
            let usual = if frame.progressive { None } else { usual(class, table) };
            codes[class].get(table).copied().flatten().or(usual)
        };
        members.push(Member { number, dc: code(0, tables >> 4), ac: code(1, tables & 15) });
    }
    if members.is_empty() {
        return Err(corrupt("a scan of nothing"));
    }
    let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
    Ok((members, Band { first: first.into(), last: last.into(), high, low }))
}

fn corrupt(message: impl Into<String>) -> Cause {
    Cause::new(CauseKind::Corrupt, message.into())
}
