//! Drawing: what a chart holds becomes SVG without a size or a colour of its own.
//!
//! plotters writes colours into what it draws. Here each stands for a class of the
//! page's style sheet and is replaced by it, so that one drawing serves light and
//! dark; what the sheet says of dashes goes with it.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::words::escaped;

/// Units of a drawing in one of what the page shows on a phone: plotters places by
/// whole ones.
const UNIT: i32 = 4;
/// As a phone shows it.
const WIDTH: i32 = 352;
/// The size of text, as a phone shows it.
const TEXT: i32 = 13;

/// How something looks: a class of the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A line of the series of this number, from 0 on.
    Line(u8),
    /// Its marks.
    Mark(u8),
    /// The area of a stage.
    Area(Stage),
    /// The edge of that.
    Edge(Stage),
    /// What is not to be crossed.
    Limit,
    /// What is recommended.
    Chosen,
    Grid,
    Axis,
    Text,
    Heading,
}

/// What time and memory go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Read,
    Decode,
    Transform,
    Wait,
    Batches,
    Rest,
}

/// Series that can be told apart.
pub(super) const SERIES: u8 = 5;

impl Look {
    pub(super) fn class(self) -> String {
        match self {
            Look::Line(series) => format!("line s{series}"),
            Look::Mark(series) => format!("mark s{series}"),
            Look::Area(stage) => format!("area {}", stage.class()),
            Look::Edge(stage) => format!("edge {}", stage.class()),
            Look::Limit => "limit".to_owned(),
            Look::Chosen => "chosen".to_owned(),
            Look::Grid => "mesh".to_owned(),
            Look::Axis => "axis".to_owned(),
            Look::Text => "label".to_owned(),
            Look::Heading => "label heading".to_owned(),
        }
    }

    fn all() -> Vec<Look> {
        let mut all = vec![Look::Limit, Look::Chosen, Look::Grid, Look::Axis];
        all.extend([Look::Text, Look::Heading]);
        all.extend((0..SERIES).flat_map(|series| [Look::Line(series), Look::Mark(series)]));
        all.extend(Stage::ALL.into_iter().flat_map(|stage| [Look::Area(stage), Look::Edge(stage)]));
        all
    }

    /// The colour that stands for it on the way through plotters.
    fn stand_in(self) -> RGBColor {
        let at = Look::all().iter().position(|&look| look == self).unwrap_or_default();
        RGBColor(0x1F, 0xED, at as u8)
    }

    fn filled(self) -> ShapeStyle {
        self.stand_in().filled()
    }

    fn drawn(self, width: i32) -> ShapeStyle {
        self.stand_in().stroke_width((width * UNIT / 2) as u32)
    }
}

impl Stage {
    pub(super) const ALL: [Stage; 6] =
        [Stage::Read, Stage::Decode, Stage::Transform, Stage::Wait, Stage::Batches, Stage::Rest];

    pub(super) fn class(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Decode => "decode",
            Stage::Transform => "transform",
            Stage::Wait => "wait",
            Stage::Batches => "batches",
            Stage::Rest => "rest",
        }
    }
}

/// From where to where, and what is written beside it.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From nothing to a round number that is not below `most`.
    pub(super) fn from_zero(most: f64, steps: usize, word: impl Fn(f64) -> String) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_up(most / steps as f64);
        let count = (most / step - 1e-9).ceil().max(1.0) as usize;
        let ticks: Vec<f64> = (0..=count).map(|at| at as f64 * step).collect();
        let ticks = ticks.into_iter().map(|at| (at, word(at))).collect();
        Axis { low: 0.0, high: count as f64 * step, log: false, ticks }
    }

    /// The same, cut where the values end.
    pub(super) fn up_to(mut self, end: f64) -> Self {
        if end > self.low && end < self.high {
            self.high = end;
            self.ticks.retain(|(at, _)| *at <= end);
        }
        self
    }

    /// Whole numbers from nothing to `most`.
    pub(super) fn whole(most: f64) -> Self {
        let mut axis = Axis::from_zero(most.max(2.0), 2, |at| format!("{at:.0}"));
        axis.ticks.retain(|(at, _)| at.fract() == 0.0);
        axis
    }

    /// These whole numbers, of which a few are told.
    pub(super) fn counts(values: &[usize]) -> Self {
        let (first, last) = (
            values.iter().min().copied().unwrap_or(1) as f64,
            values.iter().max().copied().unwrap_or(1) as f64,
        );
        let step = round_up((last - first) / 8.0).max(1.0);
        let mut ticks = vec![first];
        ticks.extend((1..).map(|at| at as f64 * step).skip_while(|at| *at <= first).take_while(
            |at| {
                // The last one comes by itself, and has its room.
                *at < last - 0.6 * step
            },
        ));
        if last > first {
            ticks.push(last);
        }
        let margin = ((last - first) * 0.06).max(if last > first { 0.12 } else { 0.5 });
        let ticks = ticks.into_iter().map(|at| (at, format!("{at:.0}"))).collect();
        Axis { low: first - margin, high: last + margin, log: false, ticks }
    }

    /// These words, at 0, 1, 2 and so on.
    pub(super) fn words(words: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<_> = words.into_iter().enumerate().map(|(at, w)| (at as f64, w)).collect();
        Axis { low: -0.6, high: ticks.len() as f64 - 0.4, log: false, ticks }
    }

    /// Powers of ten from `low` to `high`, both of them one.
    pub(super) fn powers(low: f64, high: f64, word: impl Fn(f64) -> String) -> Self {
        let (first, last) = (low.log10().round() as i32, high.log10().round() as i32);
        let ticks = (first..=last).map(|power| 10.0_f64.powi(power)).map(|at| (at, word(at)));
        // A mark on the lowest line does not cover what is written below it.
        Axis { low: low / 2.0, high, log: true, ticks: ticks.collect() }
    }

    fn word(&self, at: f64) -> String {
        let tick = self.ticks.iter().find(|(tick, _)| *tick == at);
        tick.map(|(_, word)| word.clone()).unwrap_or_default()
    }

    fn share(&self, at: f64) -> f64 {
        let at = at.clamp(self.low, self.high);
        let share = match self.log {
            true => (at / self.low).ln() / (self.high / self.low).ln(),
            false => (at - self.low) / (self.high - self.low),
        };
        // Nothing that is no number has a place.
        if share.is_finite() { share } else { 0.0 }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.share(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_up(least: f64) -> f64 {
    if !least.is_finite() || least <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powi(least.log10().floor() as i32);
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| round * power >= least * 0.999_999);
    round.unwrap_or(10.0) * power
}

/// What is drawn, in this order.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line(Look, Vec<(f64, f64)>),
    /// Between a lower and an upper line over the same places.
    Area(Look, Vec<(f64, f64, f64)>),
    /// Marks of a series.
    Marks(u8, Vec<(f64, f64)>),
    /// A ring around a point.
    Ring(f64, f64),
    /// From one corner to the other.
    Bar(Look, (f64, f64), (f64, f64)),
    /// Across all of it.
    Rule(f64),
}

/// A part of a chart with axes of its own.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// Above it; a panel alone has none.
    pub(super) heading: Option<String>,
    /// As a phone shows it.
    pub(super) height: i32,
    pub(super) x: Axis,
    /// What the horizontal axis is; `None` where the panel below says it.
    pub(super) x_name: Option<String>,
    pub(super) y: Axis,
    pub(super) shapes: Vec<Shape>,
}

/// Panels one below the other, as SVG; what is to be seen in words.
pub(super) fn svg(panels: &[Panel], words: &str) -> String {
    let height = panels.iter().map(Panel::full_height).sum::<i32>();
    let mut drawn = String::new();
    let size = ((WIDTH * UNIT) as u32, (height * UNIT) as u32);
    let done = draw(&mut drawn, size, panels);
    if let Err(error) = done {
        return format!("<p>This chart could not be drawn: {}</p>", escaped(&error.to_string()));
    }
    let body = drawn.split_once('>').map_or("", |(_, body)| body);
    let words = escaped(words);
    let (width, height) = size;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{words}\"><title>{words}</title>{body}"
    );
    for look in Look::all() {
        let RGBColor(r, g, b) = look.stand_in();
        for attribute in ["fill", "stroke"] {
            let stand_in = format!("{attribute}=\"#{r:02X}{g:02X}{b:02X}\"");
            svg = svg.replace(&stand_in, &format!("class=\"{}\"", look.class()));
        }
    }
    // What goes without saying, and the page's font instead of plotters'.
    for plain in [" opacity=\"1\"", " stroke=\"none\"", " font-family=\"sans-serif\""] {
        svg = svg.replace(plain, "");
    }
    svg
}

/// The mark of a series, as the legend shows it: corners about the middle.
pub(super) fn mark(series: u8, radius: f64) -> Vec<(f64, f64)> {
    let corners = |count: u32, turn: f64, radius: f64| -> Vec<(f64, f64)> {
        let angle = |at: u32| std::f64::consts::TAU * (f64::from(at) / f64::from(count) + turn);
        (0..count).map(|at| (radius * angle(at).sin(), -radius * angle(at).cos())).collect()
    };
    match series {
        0 => corners(16, 0.0, radius),
        1 => corners(4, 0.125, 1.25 * radius),
        2 => corners(3, 0.0, 1.35 * radius),
        3 => corners(4, 0.0, 1.3 * radius),
        _ => corners(3, 0.5, 1.35 * radius),
    }
}

type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

fn draw(into: &mut String, size: (u32, u32), panels: &[Panel]) -> Drawn {
    let mut rest = SVGBackend::with_string(into, size).into_drawing_area();
    for panel in panels {
        let (area, below) = rest.split_vertically(panel.full_height() * UNIT);
        panel.draw(&area)?;
        rest = below;
    }
    rest.present()
}

fn text(look: Look) -> TextStyle<'static> {
    // plotters takes a font's size with its leading.
    let font = ("sans-serif", f64::from(TEXT * UNIT) * 1.24).into_font();
    TextStyle { color: look.stand_in().to_backend_color(), ..TextStyle::from(font) }
}

impl Panel {
    fn full_height(&self) -> i32 {
        self.height + self.room_above() + if self.x_name.is_some() { 42 } else { 8 }
    }

    /// The highest label stands half above its line.
    fn room_above(&self) -> i32 {
        if self.heading.is_some() { 32 } else { 10 }
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Drawn {
        if let Some(heading) = &self.heading {
            let at = (2 * UNIT, 5 * UNIT);
            area.draw(&Text::new(heading.clone(), at, text(Look::Heading)))?;
        }
        let widest = self.y.ticks.iter().map(|(_, word)| word.chars().count()).max().unwrap_or(0);
        let mut chart = ChartBuilder::on(area)
            .margin_top(self.room_above() * UNIT)
            .margin_right(10 * UNIT)
            .margin_bottom((if self.x_name.is_some() { 2 } else { 8 }) * UNIT)
            .x_label_area_size(if self.x_name.is_some() { 40 * UNIT } else { 0 })
            .y_label_area_size((14 + widest as i32 * 7).max(34) * UNIT)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let x_word = |at: &f64| self.x_name.as_ref().map_or_else(String::new, |_| self.x.word(*at));
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(Look::Grid.drawn(2))
            .light_line_style(TRANSPARENT)
            .axis_style(Look::Axis.drawn(2))
            .set_all_tick_mark_size(3 * UNIT)
            .label_style(text(Look::Text))
            .x_label_formatter(&x_word)
            .y_label_formatter(&|at| self.y.word(*at))
            .x_desc(self.x_name.clone().unwrap_or_default())
            .draw()?;
        for shape in &self.shapes {
            shape.draw(&mut chart)?;
        }
        Ok(())
    }
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

impl Shape {
    fn draw(&self, chart: &mut Chart<'_, '_>) -> Drawn {
        match self {
            Shape::Line(look, points) => {
                chart.draw_series([PathElement::new(points.clone(), look.drawn(4))])?;
            }
            Shape::Area(look, points) => {
                let upper = points.iter().map(|&(x, _, y)| (x, y));
                let lower = points.iter().rev().map(|&(x, y, _)| (x, y));
                let outline: Vec<_> = upper.chain(lower).collect();
                chart.draw_series([Polygon::new(outline, look.filled())])?;
            }
            Shape::Marks(series, points) => {
                let corners: Vec<_> = mark(*series, f64::from(5 * UNIT))
                    .into_iter()
                    .map(|(x, y)| (x.round() as i32, y.round() as i32))
                    .collect();
                chart.draw_series(points.iter().map(|&at| {
                    EmptyElement::at(at)
                        + Polygon::new(corners.clone(), Look::Mark(*series).filled())
                }))?;
            }
            Shape::Ring(x, y) => {
                chart.draw_series([Circle::new((*x, *y), 10 * UNIT, Look::Chosen.drawn(5))])?;
            }
            Shape::Bar(look, from, to) => {
                chart.draw_series([Rectangle::new([*from, *to], look.filled())])?;
            }
            Shape::Rule(y) => {
                let Range { start, end } = chart.x_range();
                let line = vec![(start, *y), (end, *y)];
                chart.draw_series([PathElement::new(line, Look::Limit.drawn(4))])?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_and_hold_what_they_are_for() {
        for most in [0.003, 0.9, 1.0, 7.0, 99.0, 101.0, 534.3, 12_345.0, 1e9] {
            let axis = Axis::from_zero(most, 4, |at| format!("{at}"));
            assert!(axis.high >= most && axis.high <= 2.6 * most, "{most}: {}", axis.high);
            assert!((2..=6).contains(&axis.ticks.len()), "{most}: {:?}", axis.ticks);
        }
        for most in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            assert!((Axis::from_zero(most, 4, |_| String::new()).high - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn counts_have_ticks_at_both_ends_and_not_too_many() {
        for (values, ticks) in [
            (vec![1], "1"),
            (vec![1, 2], "1 2"),
            (vec![1, 2, 3, 4, 6, 8], "1 2 3 4 5 6 7 8"),
            ((1..=64).collect(), "1 10 20 30 40 50 64"),
        ] {
            let axis = Axis::counts(&values);
            let told: Vec<_> = axis.ticks.iter().map(|(_, word)| word.as_str()).collect();
            assert_eq!(told.join(" "), ticks);
            assert!(axis.low < values[0] as f64 && axis.high > *values.last().unwrap() as f64);
        }
    }

    #[test]
    fn what_is_no_number_has_a_place_inside() {
        let axis = Axis::powers(0.1, 100.0, |at| format!("{at}"));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e300] {
            assert!((0..=100).contains(&axis.map(&value, (0, 100))), "{value}");
        }
        let at = |value| axis.map(&value, (0, 300));
        assert!(at(0.1) > 20 && at(10.0) - at(1.0) == at(100.0) - at(10.0), "{axis:?}");
    }

    #[test]
    fn no_colour_of_plotters_is_left() {
        let axis = || Axis::counts(&[1, 2]);
        let mut shapes: Vec<Shape> = Look::all()
            .into_iter()
            .map(|look| Shape::Line(look, vec![(1.0, 1.0), (2.0, 2.0)]))
            .collect();
        shapes.extend((0..SERIES).map(|series| Shape::Marks(series, vec![(1.0, 1.0)])));
        shapes.extend([Shape::Ring(1.0, 1.0), Shape::Rule(1.5)]);
        shapes.push(Shape::Bar(Look::Area(Stage::Read), (1.0, 1.0), (2.0, 2.0)));
        shapes.push(Shape::Area(Look::Area(Stage::Wait), vec![(1.0, 0.0, 1.0), (2.0, 1.0, 2.0)]));
        let (x_name, heading) = (Some("x".to_owned()), Some("<y>".to_owned()));
        let panel = Panel { heading, height: 90, x: axis(), x_name, y: axis(), shapes };
        let svg = svg(&[panel], "a < b & c");
        assert!(!svg.contains('#') && !svg.contains("width=\"1408\""), "{svg}");
        roxmltree::Document::parse(&svg).unwrap();
    }
}
