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
}

fn points(moments: &[Moment], of: impl Fn(&Moment) -> f64) -> Points {
    moments.iter().map(|moment| (moment.seconds / 60.0, of(moment))).collect()
}

/// Memory, descriptors, threads and throughput; on white, so that it can be read on a
/// dark page too.
pub(crate) fn drawn(running: &[Moment], rests: &[Moment]) -> Result<String, Box<dyn Error>> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let resident = |moment: &Moment| mib(moment.levels.resident);
    let open = |moment: &Moment| moment.levels.open as f64;
    let threads = |moment: &Moment| moment.levels.threads as f64;
    let panels = [
        Panel {
            title: "memory",
            unit: "MiB",
            running: points(running, resident),
            lines: vec![
                ("resident at rest", BLUE, points(rests, resident)),
                ("allocated at rest", ORANGE, points(rests, |moment| mib(moment.levels.heap))),
            ],
        },
        Panel {
            title: "open descriptors",
            unit: "descriptors",
            running: points(running, open),
            lines: vec![("at rest", BLUE, points(rests, open))],
        },
        Panel {
            title: "threads",
            unit: "threads",
            running: points(running, threads),
            lines: vec![("at rest", BLUE, points(rests, threads))],
        },
        Panel {
            title: "throughput",
            unit: "images/s",
            running: points(running, |moment| moment.images_per_second),
            lines: Vec::new(),
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
    let most = 1.15 * all().map(|point| point.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(part)
        .caption(panel.title, ("sans-serif", 15))
        .margin(8)
        .margin_right(16)
        .x_label_area_size(30)
        .y_label_area_size(54)
        .build_cartesian_2d(0.0..minutes, 0.0..most)?;
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("minutes").y_desc(panel.unit).max_light_lines(1).y_labels(5).draw()?;
    let shade = GREY.mix(0.4);
    chart
        .draw_series(AreaSeries::new(panel.running.iter().copied(), 0.0, shade))?
        .label(if panel.lines.is_empty() { "since the look before" } else { "while at work" })
        .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], shade.filled()));
    for (name, color, points) in &panel.lines {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
    }
    if !panel.lines.is_empty() {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(GREY)
            .draw()?;
    }
    Ok(())
}
