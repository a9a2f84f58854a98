//! Pixels that text and frames are drawn into.

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point};
use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13, FONT_7X13_BOLD};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Baseline, Text};

use super::Picture;
use crate::config::Size;

/// Red, green, blue.
pub(super) type Ink = [u8; 3];

/// Pixels of a character, and of a line.
pub(super) const CHARACTER: u32 = 7;
pub(super) const LINE: u32 = 15;

/// Draws; what lies outside is left out.
pub(super) struct Canvas(pub(super) Picture);

impl Canvas {
    pub(super) fn new(size: Size, ground: Ink) -> Self {
        Canvas(Picture { size, pixels: ground.repeat(size.pixels()) })
    }

    fn pixel(&mut self, x: i64, y: i64) -> Option<&mut [u8]> {
        let Size { width, height } = self.0.size;
        let inside = (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y);
        let at = 3 * (y * i64::from(width) + x) as usize;
        inside.then(|| &mut self.0.pixels[at..at + 3])
    }

    pub(super) fn put(&mut self, left: u32, top: u32, picture: &Picture) {
        let width = picture.size.width as usize;
        for (y, row) in (i64::from(top)..).zip(picture.pixels.chunks_exact(3 * width)) {
            for (x, pixel) in (i64::from(left)..).zip(row.chunks_exact(3)) {
                if let Some(to) = self.pixel(x, y) {
                    to.copy_from_slice(pixel);
                }
            }
        }
    }

    pub(super) fn fill(&mut self, left: u32, top: u32, size: Size, ink: Ink) {
        for y in top..top + size.height {
            for x in left..left + size.width {
                if let Some(to) = self.pixel(x.into(), y.into()) {
                    to.copy_from_slice(&ink);
                }
            }
        }
    }

    /// A frame of two pixels inside a rectangle (left, top, right, bottom), and half
    /// of the light around it, within an area.
    pub(super) fn frame(&mut self, area: [u32; 4], inside: [u32; 4], ink: Ink) {
        let [left, top, right, bottom] = inside;
        for y in area[1]..area[3] {
            for x in area[0]..area[2] {
                let Some(pixel) = self.pixel(x.into(), y.into()) else { continue };
                let outside = !(left..right).contains(&x) || !(top..bottom).contains(&y);
                let edge = [x - left.min(x), right.saturating_sub(x + 1), y - top.min(y)];
                let edge = edge.into_iter().chain([bottom.saturating_sub(y + 1)]).min();
                if outside {
                    pixel.iter_mut().for_each(|level| *level /= 2);
                } else if edge < Some(2) {
                    pixel.copy_from_slice(&ink);
                }
            }
        }
    }

    /// A line of text; what the font does not have becomes a question mark, and the
    /// end of what is too long is left out.
    pub(super) fn text(
        &mut self,
        left: u32,
        top: u32,
        width: u32,
        bold: bool,
        ink: Ink,
        text: &str,
    ) {
        let shown = fitting(text, (width / CHARACTER) as usize);
        let font: &MonoFont<'_> = if bold { &FONT_7X13_BOLD } else { &FONT_7X13 };
        let style = MonoTextStyle::new(font, Rgb888::new(ink[0], ink[1], ink[2]));
        let point = Point::new(left as i32, top as i32);
        let text = Text::with_baseline(&shown, point, style, Baseline::Top);
        // It cannot fail.
        let Ok(_) = embedded_graphics::Drawable::draw(&text, self);
    }
}

/// In characters that the font has, and no more of them than that.
pub(super) fn fitting(text: &str, characters: usize) -> String {
    let known = |char: char| matches!(char, ' '..='~' | '\u{a0}'..='\u{ff}');
    let mut shown: Vec<char> =
        text.chars().map(|char| if known(char) { char } else { '?' }).collect();
    if shown.len() > characters {
        shown.truncate(characters.saturating_sub(2));
        shown.extend("..".chars().take(characters));
    }
    shown.into_iter().collect()
}

impl OriginDimensions for Canvas {
    fn size(&self) -> embedded_graphics::geometry::Size {
        let Size { width, height } = self.0.size;
        embedded_graphics::geometry::Size::new(width, height)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            if let Some(to) = self.pixel(x.into(), y.into()) {
                to.copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_drawn() {
        let mut canvas = Canvas::new(Size { width: 60, height: 15 }, [255; 3]);
        for text in ["", "a", "写真とても長い名前", "é\u{1F600}\u{202e}\n\0", &"x".repeat(1_000)]
        {
            canvas.text(2, 1, 50, true, [0; 3], text);
        }
        assert!(canvas.0.pixels.contains(&0));
        assert_eq!(fitting("写a é", 10), "?a é");
        assert_eq!(fitting("abcdefgh", 6), "abcd..");
        assert_eq!(fitting("abc", 1), ".");
        assert_eq!(fitting("abc", 0), "");
    }
}
