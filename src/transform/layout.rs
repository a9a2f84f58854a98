//! From 8-bit levels to elements, in their places of the batch.

use crate::config::{Color, Layout, Normalize, Size};
use crate::element::Element;

/// Writes finished lines into a row of the batch.
pub(super) struct Places<T> {
    /// The element of every level, for the channels in the order red, green,
    /// blue: normalising costs a look-up.
    tables: Box<[[T; 256]; 3]>,
    layout: Layout,
    color: Color,
    size: Size,
}

impl<T: Element> Places<T> {
    pub(super) fn new(size: Size, layout: Layout, color: Color, normalize: &Normalize) -> Self {
        let mut tables = Box::new([[T::default(); 256]; 3]);
        for (channel, table) in tables.iter_mut().enumerate() {
            for (level, element) in (0..=255).zip(table) {
                *element = T::from_level(level, channel, normalize);
            }
        }
        Places { tables, layout, color, size }
    }

    /// Writes line `y` (`[width, 3]` levels, RGB) of the picture into `row`, the
    /// picture's whole place in the batch (`3 * height * width` elements).
    pub(super) fn write(&self, y: usize, line: &[u8], row: &mut [T]) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let (pixels, _) = line.as_chunks::<3>();
        let [red, green, blue] = &*self.tables;
        match self.layout {
            Layout::Chw => {
                let (first, rest) = row.split_at_mut(height * width);
                let (second, third) = rest.split_at_mut(height * width);
                let mut planes =
                    [first, second, third].map(|plane| &mut plane[y * width..][..width]);
                if self.color == Color::Bgr {
                    planes.reverse();
                }
                let [reds, greens, blues] = planes;
                let places = reds.iter_mut().zip(greens).zip(blues);
                for (((r, g), b), pixel) in places.zip(pixels) {
                    *r = red[usize::from(pixel[0])];
                    *g = green[usize::from(pixel[1])];
                    *b = blue[usize::from(pixel[2])];
                }
            }
            Layout::Hwc => {
                let (places, _) = row[y * 3 * width..][..3 * width].as_chunks_mut::<3>();
                for (place, pixel) in places.iter_mut().zip(pixels) {
                    let (r, g, b) = (
                        red[usize::from(pixel[0])],
                        green[usize::from(pixel[1])],
                        blue[usize::from(pixel[2])],
                    );
                    *place = if self.color == Color::Bgr { [b, g, r] } else { [r, g, b] };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 2, height: 2 };
    const LINES: [[u8; 6]; 2] = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]];

    fn write<T: Element>(layout: Layout, color: Color, normalize: &Normalize) -> Vec<T> {
        let places = Places::<T>::new(SIZE, layout, color, normalize);
        let mut row = vec![T::default(); 12];
        for (y, line) in LINES.iter().enumerate() {
            places.write(y, line, &mut row);
        }
        row
    }

    #[test]
    fn every_layout_and_color_has_its_places() {
        let levels = |layout, color| write::<u8>(layout, color, &Normalize::UNIT);
        assert_eq!(levels(Layout::Chw, Color::Rgb), [1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]);
        assert_eq!(levels(Layout::Chw, Color::Bgr), [3, 6, 9, 12, 2, 5, 8, 11, 1, 4, 7, 10]);
        assert_eq!(levels(Layout::Hwc, Color::Rgb), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(levels(Layout::Hwc, Color::Bgr), [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
    }

    #[test]
    fn mean_and_deviation_belong_to_the_colour_not_the_place() {
        let normalize = Normalize { mean: [0.1, 0.2, 0.3], std: [0.5, 1.0, 2.0] };
        let rgb = write::<f32>(Layout::Chw, Color::Rgb, &normalize);
        let bgr = write::<f32>(Layout::Chw, Color::Bgr, &normalize);
        assert_eq!(rgb[..4], bgr[8..]);
        assert_eq!(rgb[4..8], bgr[4..8]);
        assert_eq!(rgb[8..], bgr[..4]);
        assert_eq!(rgb[0], (1.0 / 255.0 - 0.1) / 0.5);
        assert_eq!(rgb[8], (3.0 / 255.0 - 0.3) / 2.0);
    }
}
