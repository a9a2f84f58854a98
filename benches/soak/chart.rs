//! The run over time, as SVG.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::levels::Moment;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(150, 150, 150);
const SIZE: (u32, u32) = (760, 800);

type Points = Vec<(f64, f64)>;

/// One of the charts below each other.
struct Panel {
    title: &'static str,
    unit: &'static str,
    /// While loaders are at work.
    running: Points,
    /// Lines in front of it.
    lines: Vec<(&'static str, RGBColor, Points)>,
    /// A line with an axis of its own, on the right.
    beside: Option<(&'static str, Points)>,
}

fn points(moments: &[Moment], of: impl Fn(&Moment) -> f64) -> Points {
    moments.iter().map(|moment| (moment.seconds / 60.0, of(moment))).collect()
}

/// Of each moment the mean with ten on either side.
fn smooth(points: Points) -> Points {
    let mean = |at: usize| {
        let part = &points[at.saturating_sub(10)..points.len().min(at + 11)];
        part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64
    };
    points.iter().enumerate().map(|(at, point)| (point.0, mean(at))).collect()
}

/// Memory, descriptors, threads and throughput; on white, so that it can be read on a
/// dark page too.
pub(crate) fn drawn(running: &[Moment], rests: &[Moment]) -> Result<String, Box<dyn Error>> {
    let resident = |moment: &Moment| crate::mib(moment.levels.resident);
    let open = |moment: &Moment| moment.levels.open as f64;
    let threads = |moment: &Moment| moment.levels.threads as f64;
    let panels = [
        Panel {
            title: "memory",
            unit: "MiB",
            running: points(running, resident),
            lines: vec![
                ("resident at rest", BLUE, points(rests, resident)),
                (
                    "allocated at rest",
                    ORANGE,
                    points(rests, |moment| crate::mib(moment.levels.heap)),
                ),
            ],
            beside: None,
        },
        Panel {
            title: "open descriptors",
            unit: "descriptors",
            running: points(running, open),
            lines: vec![("at rest", BLUE, points(rests, open))],
            beside: None,
        },
        Panel {
            title: "threads",
            unit: "threads",
            running: points(running, threads),
            lines: vec![("at rest", BLUE, points(rests, threads))],
            beside: None,
        },
        Panel {
            title: "throughput",
            unit: "images/s",
            running: points(running, |moment| moment.images_per_second),
            lines: Vec::new(),
            beside: Some((
                "loaders/s",
                smooth(points(running, |moment| moment.loaders_per_second)),
            )),
        },
    ];
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        for (part, panel) in area.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            draw(part, panel)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn draw(part: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let all = || panel.lines.iter().flat_map(|line| &line.2).chain(&panel.running);
    let minutes = all().map(|point| point.0).fold(0.01, f64::max);
    // With room for the legend.
    let most = |points: &mut dyn Iterator<Item = &(f64, f64)>| {
        1.35 * points.map(|point| point.1).fold(1.0, f64::max)
    };
    let right = panel.beside.as_ref().map_or(1.0, |(_, points)| most(&mut points.iter()));
    let mut chart = ChartBuilder::on(part)
        .caption(panel.title, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(30)
        .y_label_area_size(54)
        .right_y_label_area_size(50)
        .build_cartesian_2d(0.0..minutes, 0.0..most(&mut all()))?
        .set_secondary_coord(0.0..minutes, 0.0..right);
    let whole = |value: &f64| format!("{value:.0}");
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("minutes").y_desc(panel.unit).max_light_lines(1).y_labels(5);
    mesh.y_label_formatter(&whole).draw()?;
    let shade = GREY.mix(0.4);
    chart
        .draw_series(AreaSeries::new(panel.running.iter().copied(), 0.0, shade))?
        .label(if panel.lines.is_empty() { panel.unit } else { "while at work" })
        .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], shade.filled()));
    for (name, color, points) in &panel.lines {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
    }
    if let Some((unit, points)) = &panel.beside {
        let style = ORANGE.stroke_width(2);
        chart.configure_secondary_axes().y_desc(*unit).draw()?;
        chart
            .draw_secondary_series(LineSeries::new(points.iter().copied(), style))?
            .label(*unit)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(GREY)
        .draw()?;
    Ok(())
}
