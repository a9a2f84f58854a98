//! The sheet as one picture.

use std::io::{self, Write};

use super::canvas::{CHARACTER, Canvas, Ink, LINE, fitting};
use super::{Picture, Seen, Sheet, Shown, Tile, words};
use crate::config::Size;

const GROUND: Ink = [246, 247, 249];
const CARD: Ink = [255, 255, 255];
const TEXT: Ink = [27, 31, 36];
const DIM: Ink = [89, 99, 110];
const BAD: Ink = [180, 35, 24];
const FRAME: Ink = [255, 140, 0];

const GAP: u32 = 12;
/// Longer sides are scaled down, short rows shown in squares of pixels.
const LONGEST: u32 = 256;
const LEAST: u32 = 160;
/// Sides of a picture that viewers still open.
const MOST: u32 = 32_000;

/// Where everything goes.
pub(super) struct Plan {
    columns: u32,
    /// Of the place of each picture.
    side: u32,
    header: u32,
    settings: Vec<String>,
    tile_height: u32,
    /// Of each tile.
    said: Vec<Vec<Said>>,
    pub(super) size: Size,
}

impl Plan {
    pub(super) fn new(sheet: &Sheet) -> io::Result<Self> {
        let options = sheet.options;
        let given = if options.columns == 0 { 3 } else { options.columns };
        let columns = match (options.columns, options.repeat) {
            // Those of one sample in one line.
            (0, repeat @ 2..) => repeat.min(8) as u32,
            _ => given.min(sheet.tiles.len() as u32).max(1),
        };
        let rows = (sheet.tiles.len() as u32).div_ceil(columns);
        let Size { width, height } = sheet.config.size;
        let side = width.max(height).clamp(LEAST, LONGEST);
        let tile_width = Self::tile_width(side);
        let fits = ((tile_width - 2 * GAP) / CHARACTER) as usize;
        let said: Vec<_> = sheet.tiles.iter().map(|tile| said(sheet, tile, fits)).collect();
        let lines = said.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let tile_height = 2 * GAP + side + 6 + lines * LINE;
        let width = GAP + columns * (tile_width + GAP);
        let settings = settings(sheet, width - 2 * GAP);
        let header = 2 * GAP + (2 + settings.len() as u32) * LINE;
        let height = u64::from(header) + u64::from(rows) * u64::from(tile_height + GAP) + 12;
        if width > MOST || height > u64::from(MOST) {
            let message = format!(
                "the picture would have {width}x{height} pixels; show fewer samples, or write HTML"
            );
            return Err(io::Error::other(message));
        }
        let size = Size { width, height: height as u32 };
        Ok(Plan { columns, side, header, settings, tile_height, said, size })
    }

    fn tile_width(side: u32) -> u32 {
        3 * GAP + 2 * side
    }

    /// The upper left corner of a tile.
    fn tile(&self, number: u32) -> (u32, u32) {
        let (column, row) = (number % self.columns, number / self.columns);
        let left = GAP + column * (Self::tile_width(self.side) + GAP);
        (left, self.header + row * (self.tile_height + GAP))
    }

    /// The upper left corner of a picture, which stands in the middle of its place:
    /// 0 the original, 1 the row.
    pub(super) fn picture(&self, number: u32, which: u32, size: Size) -> (u32, u32) {
        let (left, top) = self.tile(number);
        let left = left + GAP + which * (self.side + GAP);
        let middle = |side: u32| self.side.saturating_sub(side) / 2;
        (left + middle(size.width), top + GAP + middle(size.height))
    }
}

pub(super) fn write(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&draw(sheet)?.png()?)
}

pub(super) fn draw(sheet: &Sheet) -> io::Result<Picture> {
    let plan = Plan::new(sheet)?;
    let mut canvas = Canvas::new(plan.size, GROUND);
    header(sheet, &plan, &mut canvas);
    for ((number, tile), text) in (0..).zip(&sheet.tiles).zip(&plan.said) {
        draw_tile(&plan, number, tile, text, &mut canvas);
    }
    Ok(canvas.0)
}

fn header(sheet: &Sheet, plan: &Plan, canvas: &mut Canvas) {
    let width = plan.size.width - 2 * GAP;
    let name = format!("What the model sees of {}", words::path(&sheet.root));
    canvas.text(GAP, GAP, width, true, TEXT, &name);
    canvas.text(GAP, GAP + LINE, width, false, DIM, &words::which(sheet));
    for (line, text) in (2..).zip(&plan.settings) {
        canvas.text(GAP, GAP + line * LINE, width, false, TEXT, text);
    }
}

/// The settings, as many in a line as fit.
fn settings(sheet: &Sheet, width: u32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (name, value) in words::settings(&sheet.config) {
        let word = format!("{name} {value}");
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.len() + 3 + word.len() <= (width / CHARACTER) as usize => {
                *line = format!("{line}   {word}");
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn draw_tile(plan: &Plan, number: u32, tile: &Tile, text: &[Said], canvas: &mut Canvas) {
    let (left, top) = plan.tile(number);
    let (width, height) = (Plan::tile_width(plan.side), plan.tile_height);
    canvas.fill(left, top, Size { width, height }, CARD);
    if let Seen::Row(shown) = &tile.seen {
        pictures(plan, number, shown, canvas);
    }
    let mut line = top + GAP + plan.side + 6;
    for Said { bold, ink, text } in text {
        canvas.text(left + GAP, line, width - 2 * GAP, *bold, *ink, text);
        line += LINE;
    }
}

/// A line of text below the pictures.
struct Said {
    bold: bool,
    ink: Ink,
    text: String,
}

/// What is said of a tile, in lines of so many characters.
fn said(sheet: &Sheet, tile: &Tile, fits: usize) -> Vec<Said> {
    let mut lines = Vec::new();
    let mut say = |bold, ink, text| lines.push(Said { bold, ink, text });
    // Of a long path the end says more.
    let path = words::path(&tile.path);
    let path = match path.chars().count().saturating_sub(fits) {
        0 => path,
        skipped => format!("..{}", path.chars().skip(skipped + 2).collect::<String>()),
    };
    say(true, TEXT, path);
    let label = words::class(tile).map(|class| format!("class {class}"));
    let target = words::target(tile).map(|target| format!("target {target}"));
    let labels: Vec<String> = label.into_iter().chain(target).collect();
    if !labels.is_empty() {
        say(false, TEXT, labels.join("   "));
    }
    if let Some(missing) = words::missing(tile) {
        broken(&missing, fits).into_iter().take(4).for_each(|text| say(false, BAD, text));
    }
    if let Some(choices) = tile.choices() {
        // Nothing is parted from its number.
        let changes = words::changes(choices).join(", ").replace(' ', "\u{a0}");
        let changes = changes.replace(",\u{a0}", ", ");
        broken(&changes, fits).into_iter().take(3).for_each(|text| say(false, TEXT, text));
        say(false, DIM, words::crop(choices));
    }
    say(false, DIM, words::place(tile, sheet.config.seed));
    lines
}

fn pictures(plan: &Plan, number: u32, shown: &Shown, canvas: &mut Canvas) {
    let Shown { choices, original, row } = shown;
    let original = Picture::within(original.size, &original.pixels, plan.side);
    let (left, top) = plan.picture(number, 0, original.size);
    canvas.put(left, top, &original);
    let Size { width, height } = original.size;
    let across = f64::from(width) / f64::from(choices.original.width);
    let down = f64::from(height) / f64::from(choices.original.height);
    let crop = choices.crop.scaled(across, down);
    let at = |from: u32, part: f64| from + part.round().max(0.0) as u32;
    let inside = [
        at(left, crop.left),
        at(top, crop.top),
        at(left, crop.left + crop.width).min(left + width),
        at(top, crop.top + crop.height).min(top + height),
    ];
    canvas.frame([left, top, left + width, top + height], inside, FRAME);
    let row = row.to_look_at(LEAST, LONGEST);
    let (left, top) = plan.picture(number, 1, row.size);
    canvas.put(left, top, &row);
}

/// In lines of so many characters, broken between words where that is possible.
fn broken(text: &str, characters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        let (used, more) = (line.chars().count(), word.chars().count());
        if used > 0 && used + 1 + more > characters {
            lines.push(fitting(word, characters));
        } else {
            line.push_str(if used > 0 { " " } else { "" });
            line.push_str(word);
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}
