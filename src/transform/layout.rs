//! From lines of 8-bit levels to elements, in their places of the batch.

use super::kernel::{self, Convert, Isa, Scales};
use super::separable::refill;
use crate::config::{Color, Layout, Size};

/// Where the values of a picture's row of the batch lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    layout: Layout,
    color: Color,
    size: Size,
}

/// What of a row changes places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mirror {
    /// Left and right.
    pub(super) across: bool,
    /// Top and bottom.
    pub(super) down: bool,
}

impl Places {
    pub(crate) fn new(size: Size, layout: Layout, color: Color) -> Self {
        Places { layout, color, size }
    }

    /// Elements of one picture.
    pub(crate) fn len(&self) -> usize {
        self.color.channels() * self.size.pixels()
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn color(&self) -> Color {
        self.color
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// The axes of a row: `[channel, height, width]` or `[height, width, channel]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        match self.layout {
            Layout::Chw => [self.color.channels(), height, width],
            Layout::Hwc => [height, width, self.color.channels()],
        }
    }

    /// The channels, 0 red to 2 blue, in the order of the batch.
    fn order(&self) -> [usize; 3] {
        match self.color {
            Color::Rgb | Color::Grey => [0, 1, 2],
            Color::Bgr => [2, 1, 0],
        }
    }

    /// Writes line `y` of the picture into `row`, the picture's whole place in
    /// the batch. `line` is planar, `[channel, width]` levels in the order red,
    /// green, blue; a line of one channel stands for all three. `pixels` is
    /// scratch.
    pub(super) fn write<T: Convert>(
        &self,
        isa: Isa,
        scales: &Scales<T>,
        y: usize,
        line: &[u8],
        pixels: &mut Vec<u8>,
        row: &mut [T],
    ) {
        let width = self.size.width as usize;
        let plane = |channel: usize| match line.len() > width {
            true => &line[channel * width..][..width],
            false => line,
        };
        if self.color == Color::Grey {
            return T::convert(isa, plane(0), &scales[0], &mut row[y * width..][..width]);
        }
        let order = self.order();
        match self.layout {
            Layout::Chw => {
                let planes = row.chunks_exact_mut(self.size.pixels());
                for (to, channel) in planes.zip(order) {
                    let to = &mut to[y * width..][..width];
                    T::convert(isa, plane(channel), &scales[channel], to);
                }
            }
            Layout::Hwc => {
                refill(pixels, 3 * width);
                let pixels = &mut pixels[..3 * width];
                kernel::interleave(isa, order.map(plane), pixels);
                let to = &mut row[y * 3 * width..][..3 * width];
                T::convert_pixels(isa, pixels, order.map(|channel| &scales[channel]), to);
            }
        }
    }

    /// Turns a whole row of levels, in its places already, into elements.
    pub(super) fn convert<T: Convert>(
        &self,
        isa: Isa,
        scales: &Scales<T>,
        levels: &[u8],
        row: &mut [T],
    ) {
        let order = self.order();
        match (self.color, self.layout) {
            (Color::Grey, _) => T::convert(isa, levels, &scales[0], row),
            (_, Layout::Chw) => {
                let plane = self.size.pixels();
                let planes = levels.chunks_exact(plane).zip(row.chunks_exact_mut(plane));
                for ((levels, to), channel) in planes.zip(order) {
                    T::convert(isa, levels, &scales[channel], to);
                }
            }
            (_, Layout::Hwc) => {
                T::convert_pixels(isa, levels, order.map(|channel| &scales[channel]), row);
            }
        }
    }

    /// The same, mirrored; `line` is scratch.
    pub(super) fn convert_mirrored<T: Convert>(
        &self,
        isa: Isa,
        scales: &Scales<T>,
        levels: &[u8],
        mirror: Mirror,
        line: &mut Vec<u8>,
        row: &mut [T],
    ) {
        let (order, width) = (self.order(), self.size.width as usize);
        let pixel = if self.color != Color::Grey && self.layout == Layout::Hwc { 3 } else { 1 };
        refill(line, pixel * width);
        let line = &mut line[..pixel * width];
        let height = self.size.height as usize;
        for (number, to) in row.chunks_exact_mut(line.len()).enumerate() {
            let (plane, y) = (number / height, number % height);
            let y = if mirror.down { height - 1 - y } else { y };
            let from = &levels[(plane * height + y) * line.len()..][..line.len()];
            let from = match (mirror.across, pixel) {
                (false, _) => from,
                (true, 3) => {
                    let pixels = from.as_chunks::<3>().0.iter().rev();
                    let turned = line.as_chunks_mut::<3>().0;
                    turned.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
                    &*line
                }
                (true, _) => {
                    line.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
                    &*line
                }
            };
            match pixel {
                3 => T::convert_pixels(isa, from, order.map(|channel| &scales[channel]), to),
                _ => T::convert(isa, from, &scales[order[plane]], to),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Normalize;
    use crate::element::Element;
    use crate::transform::kernel::Scale;

    const SIZE: Size = Size { width: 2, height: 2 };
    /// Reds, greens and blues of two lines of two pixels.
    const LINES: [[u8; 6]; 2] = [[1, 4, 2, 5, 3, 6], [7, 10, 8, 11, 9, 12]];

    fn write<T: Element>(layout: Layout, color: Color, normalize: &Normalize) -> Vec<T> {
        let places = Places::new(SIZE, layout, color);
        let scales = Scale::all(normalize);
        let mut row = vec![T::default(); places.len()];
        for (y, line) in LINES.iter().enumerate() {
            places.write(Isa::detect(), &scales, y, line, &mut Vec::new(), &mut row);
        }
        let levels = {
            let mut levels = vec![0; places.len()];
            let scales = Scale::all(&Normalize::UNIT);
            for (y, line) in LINES.iter().enumerate() {
                places.write(Isa::detect(), &scales, y, line, &mut Vec::new(), &mut levels);
            }
            levels
        };
        let mut converted = vec![T::default(); places.len()];
        places.convert(Isa::detect(), &scales, &levels, &mut converted);
        assert_eq!(converted, row, "levels converted later");
        row
    }

    #[test]
    fn every_layout_and_color_has_its_places() {
        let levels = |layout, color| write::<u8>(layout, color, &Normalize::UNIT);
        assert_eq!(levels(Layout::Chw, Color::Rgb), [1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]);
        assert_eq!(levels(Layout::Chw, Color::Bgr), [3, 6, 9, 12, 2, 5, 8, 11, 1, 4, 7, 10]);
        assert_eq!(levels(Layout::Hwc, Color::Rgb), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(levels(Layout::Hwc, Color::Bgr), [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
        assert_eq!(levels(Layout::Hwc, Color::Grey), [1, 4, 7, 10]);
        assert_eq!(levels(Layout::Chw, Color::Grey), [1, 4, 7, 10]);
    }

    #[test]
    fn a_line_without_colour_stands_for_all_three() {
        let scales = Scale::all(&Normalize::UNIT);
        for (layout, expected) in
            [(Layout::Chw, [5, 6, 5, 6, 5, 6]), (Layout::Hwc, [5, 5, 5, 6, 6, 6])]
        {
            let places = Places::new(Size { width: 2, height: 1 }, layout, Color::Rgb);
            let mut row = [0; 6];
            places.write(Isa::detect(), &scales, 0, &[5, 6], &mut Vec::new(), &mut row);
            assert_eq!(row, expected);
        }
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
