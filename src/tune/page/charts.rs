//! What the charts hold: which settings are shown, and what is said of them.

use super::figure::Figure;
use super::group::{Group, grouped, listed};
use super::plot::{Axis, Look, Panel, SERIES, Shape, Stage};
use super::words::{NONE, counted, mebibytes, number, percent, rate};
use crate::stats::Moment;
use crate::tune::{Choice, Report, Tried};

fn distinct(values: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut values: Vec<usize> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn finite(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// A line of one point is a short one.
fn line(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    match points {
        [(x, y)] => vec![(x - 0.2, *y), (x + 0.2, *y)],
        points => points.to_vec(),
    }
}

/// Settings with the recommended readers and order, and what was run with others
/// beside them.
struct Slice<'a> {
    report: &'a Report,
    chosen: Choice,
    threads: Vec<usize>,
    prefetch: Vec<usize>,
}

impl<'a> Slice<'a> {
    fn new(report: &'a Report) -> Self {
        let chosen = report.recommendation.choice;
        let settings = || report.settings.iter().chain([&report.recommended]);
        Slice {
            report,
            chosen,
            threads: distinct(settings().map(|tried| tried.choice.threads)),
            prefetch: distinct(settings().map(|tried| tried.choice.prefetch)),
        }
    }

    fn predicted(&self, threads: usize, prefetch: usize) -> Option<&'a Tried> {
        let choice = Choice { threads, prefetch, ..self.chosen };
        if choice == self.chosen {
            return Some(&self.report.recommended);
        }
        self.report.settings.iter().find(|tried| tried.choice == choice)
    }

    /// The run with these that is nearest in readers.
    fn measured(&self, threads: usize, prefetch: usize) -> Option<&'a Tried> {
        let same = |tried: &&Tried| {
            let Choice { threads: t, prefetch: p, order, .. } = tried.choice;
            (t, p, order) == (threads, prefetch, self.chosen.order) && tried.measured.is_some()
        };
        let ran = self.report.settings.iter().chain([&self.report.recommended]).filter(same);
        ran.min_by_key(|tried| tried.choice.readers.abs_diff(self.chosen.readers))
    }

    /// The recommended one, as it was measured or else predicted.
    fn ring(&self, x: usize, y: impl Fn(f64, f64) -> f64) -> Shape {
        let Tried { predicted, measured, .. } = self.report.recommended;
        let y = measured.map_or_else(
            || y(predicted.images_per_second, predicted.wait),
            |measured| y(measured.images_per_second, measured.wait),
        );
        Shape::Ring(x as f64, if y.is_finite() { y } else { 0.0 })
    }

    /// Whether anything was run that marks would stand for.
    fn any_measured(&self) -> bool {
        self.threads.iter().any(|&threads| {
            self.prefetch.iter().any(|&prefetch| self.measured(threads, prefetch).is_some())
        })
    }
}

/// Lines and marks of groups, and their legend.
fn series(
    groups: &[Group],
    name: impl Fn(&Group) -> String,
    marks: impl Fn(&Group) -> Vec<(f64, f64)>,
    place: impl Fn(f64) -> f64,
) -> (Vec<Shape>, Vec<(Vec<Look>, String)>) {
    let (mut shapes, mut over, mut legend) = (Vec::new(), Vec::new(), Vec::new());
    for (group, at) in groups.iter().zip(0..SERIES) {
        let placed = |points: &[(f64, f64)]| finite(points.iter().map(|&(x, y)| (x, place(y))));
        let points = line(&placed(&group.points));
        if points.len() > 1 {
            shapes.push(Shape::Line(Look::Line(at), points));
        }
        over.push(Shape::Marks(at, placed(&marks(group))));
        legend.push((vec![Look::Line(at), Look::Mark(at)], name(group)));
    }
    shapes.extend(over);
    (shapes, legend)
}

fn left_out(left: usize, one: &str, more: &str) -> String {
    match left {
        0 => String::new(),
        1 => format!(" One more {one} is left out here, and listed below."),
        left => format!(" {left} more {more} are left out here, and listed below."),
    }
}

/// Throughput against threads, a line for each prefetch depth that differs.
pub(super) fn throughput(report: &Report) -> Figure {
    let slice = Slice::new(report);
    let points = |prefetch: usize| {
        let at = |&threads: &usize| {
            let tried = slice.predicted(threads, prefetch)?;
            Some((threads as f64, tried.predicted.images_per_second))
        };
        slice.threads.iter().filter_map(at).collect::<Vec<_>>()
    };
    let lines = slice.prefetch.iter().map(|&prefetch| (prefetch, points(prefetch))).collect();
    let near = |a: f64, b: f64| (a - b).abs() <= 0.02 * a.abs().max(b.abs());
    let (groups, left) = grouped(lines, slice.chosen.prefetch, near);
    let name = |group: &Group| format!("prefetch {}", listed(&group.members, &slice.prefetch));
    let marks = |group: &Group| {
        let pairs = slice
            .threads
            .iter()
            .flat_map(|&threads| group.members.iter().map(move |&prefetch| (threads, prefetch)));
        let measured = pairs.filter_map(|(threads, prefetch)| {
            let measured = slice.measured(threads, prefetch)?.measured?;
            Some((threads as f64, measured.images_per_second))
        });
        finite(measured)
    };
    let (mut shapes, mut legend) = series(&groups, name, marks, |y| y);
    let drawn = shapes.iter().flat_map(|shape| match shape {
        Shape::Line(_, points) | Shape::Marks(_, points) => points.as_slice(),
        _ => &[],
    });
    let most = drawn.map(|(_, y)| *y).fold(0.0, f64::max);
    let demand = report.demand;
    // A step that takes no time would press all else against the axis.
    let shown = demand.is_finite() && demand <= 4.0 * most.max(1.0);
    if shown {
        shapes.push(Shape::Rule(demand));
        legend.push((vec![Look::Limit], format!("the step takes {}", number(demand))));
    }
    shapes.push(slice.ring(slice.chosen.threads, |rate, _| rate));
    legend.push((vec![Look::Chosen], "recommended".to_owned()));
    let ends = [slice.threads.first(), slice.threads.last()].map(|threads| {
        let threads = *threads?;
        let tried = slice.predicted(threads, slice.chosen.prefetch)?;
        Some((threads, tried.predicted.images_per_second))
    });
    let mut words = match ends {
        [Some((few, slow)), Some((many, fast))] if few != many => format!(
            "With prefetch {}: {} with {}, {} with {many}.",
            slice.chosen.prefetch,
            rate(slow),
            counted(few, "thread"),
            number(fast)
        ),
        [Some((threads, only)), _] => format!("{}: {}.", counted(threads, "thread"), rate(only)),
        _ => String::new(),
    };
    if !shown {
        words.push_str(" The step would take more than this chart shows.");
    }
    words.push_str(lines_and_marks(&slice));
    words.push_str(&left_out(left, "prefetch depth", "prefetch depths"));
    let top = if shown { most.max(demand) } else { most };
    let panel = Panel {
        heading: Some("images a second".to_owned()),
        height: 190,
        x: Axis::counts(&slice.threads),
        x_name: Some("decoder threads".to_owned()),
        y: Axis::from_zero(1.04 * top, 4, number),
        shapes,
    };
    let title = "Throughput against threads".to_owned();
    Figure { title, words: words.trim().to_owned(), panels: vec![panel], legend }
}

fn lines_and_marks(slice: &Slice<'_>) -> &'static str {
    if slice.any_measured() { " Lines are predicted, marks measured." } else { " All predicted." }
}

/// Below that no difference is shown.
const LEAST_WAIT: f64 = 0.001;

/// The consumer's wait against the prefetch depth, a line for each number of
/// threads that differs.
pub(super) fn wait(report: &Report) -> Figure {
    let slice = Slice::new(report);
    let points = |threads: usize| {
        let at = |&prefetch: &usize| {
            let tried = slice.predicted(threads, prefetch)?;
            Some((prefetch as f64, tried.predicted.wait))
        };
        slice.prefetch.iter().filter_map(at).collect::<Vec<_>>()
    };
    let lines = slice.threads.iter().map(|&threads| (threads, points(threads))).collect();
    let near = |a: f64, b: f64| (a - b).abs() <= 0.003 + 0.05 * a.max(b);
    let (groups, left) = grouped(lines, slice.chosen.threads, near);
    let name = |group: &Group| {
        let s = if group.members == [1] { "" } else { "s" };
        format!("{} thread{s}", listed(&group.members, &slice.threads))
    };
    let marks = |group: &Group| {
        let pairs = slice
            .prefetch
            .iter()
            .flat_map(|&prefetch| group.members.iter().map(move |&threads| (threads, prefetch)));
        let measured = pairs.filter_map(|(threads, prefetch)| {
            Some((prefetch as f64, slice.measured(threads, prefetch)?.measured?.wait))
        });
        finite(measured)
    };
    let all = || groups.iter().flat_map(|group| group.points.iter().copied().chain(marks(group)));
    let target = report.wait_target;
    let target = if target.is_finite() { target.clamp(0.0, 1.0) } else { 0.0 };
    // Where some wait little and some much, only steps of ten show both.
    let log = all().any(|(_, wait)| wait < 0.05) && target > 0.0;
    let least = if target < 2.0 * LEAST_WAIT { LEAST_WAIT / 10.0 } else { LEAST_WAIT };
    let place = |wait: f64| match (wait.is_finite(), log) {
        (false, _) => f64::NAN,
        (_, true) => 100.0 * wait.clamp(least, 1.0),
        (_, false) => 100.0 * wait.clamp(0.0, 1.0),
    };
    let (mut shapes, mut legend) = series(&groups, name, marks, place);
    shapes.push(Shape::Rule(place(target)));
    legend.push((vec![Look::Limit], format!("may wait {}", percent(target))));
    shapes.push(slice.ring(slice.chosen.prefetch, |_, wait| place(wait)));
    legend.push((vec![Look::Chosen], "recommended".to_owned()));
    let word = |at: f64| match at {
        at if log && at <= 1.01 * 100.0 * least => format!("≤{at}"),
        at => format!("{at}"),
    };
    let y = match log {
        true => Axis::powers(100.0 * least, 100.0, word),
        false => Axis::from_zero(100.0, 4, word),
    };
    let with = &report.recommended;
    let told = with.measured.map_or(with.predicted.wait, |measured| measured.wait);
    let words = format!(
        "Recommended: prefetch {}, where the consumer waits {} of its time.{}{}",
        slice.chosen.prefetch,
        percent(told),
        lines_and_marks(&slice),
        left_out(left, "number of threads", "numbers of threads")
    );
    let panel = Panel {
        heading: Some("% of the consumer's time".to_owned()),
        height: 190,
        x: Axis::counts(&slice.prefetch),
        x_name: Some("batches ahead (prefetch)".to_owned()),
        y,
        shapes,
    };
    let title = "Wait against prefetch".to_owned();
    Figure { title, words, panels: vec![panel], legend }
}

/// The memory bound against the prefetch depth, with what was in use.
pub(super) fn memory(report: &Report) -> Option<Figure> {
    const MIB: f64 = 1024.0 * 1024.0;
    let slice = Slice::new(report);
    let depths: Vec<(usize, &Tried)> = slice
        .prefetch
        .iter()
        .filter_map(|&prefetch| Some((prefetch, slice.predicted(slice.chosen.threads, prefetch)?)))
        .filter(|(_, tried)| tried.memory_bytes > 0)
        .collect();
    let at = depths.iter().position(|(prefetch, _)| *prefetch == slice.chosen.prefetch)?;
    let mut shapes = Vec::new();
    let mut most = 0.0_f64;
    for (x, (_, tried)) in depths.iter().enumerate() {
        let (x, total) = (x as f64, tried.memory_bytes as f64 / MIB);
        let batches = tried.batches_bytes.min(tried.memory_bytes) as f64 / MIB;
        shapes.push(Shape::Bar(Look::Area(Stage::Rest), (x - 0.32, total), (x + 0.32, batches)));
        shapes.push(Shape::Bar(Look::Area(Stage::Batches), (x - 0.32, batches), (x + 0.32, 0.0)));
        most = most.max(total);
    }
    let mut legend = vec![
        (vec![Look::Area(Stage::Rest)], "files and pixels on their way, at most".to_owned()),
        (vec![Look::Area(Stage::Batches)], "batches, at most".to_owned()),
    ];
    if let Some(limit) = report.memory_limit {
        let limit_mib = limit as f64 / MIB;
        // A limit far away would press the bars against the axis.
        if limit_mib <= 3.0 * most {
            shapes.push(Shape::Rule(limit_mib));
            most = most.max(limit_mib);
        }
        legend.push((vec![Look::Limit], format!("the limit, {}", mebibytes(limit))));
    }
    let bound = depths[at].1;
    let mut words = format!(
        "Prefetch {} takes {} at most.",
        slice.chosen.prefetch,
        mebibytes(bound.memory_bytes)
    );
    if let Some(peak) = peak(report) {
        shapes.push(Shape::Marks(3, vec![(at as f64, peak as f64 / MIB)]));
        legend.push((vec![Look::Mark(3)], format!("in use in the trial, {}", mebibytes(peak))));
        words.push_str(&format!(" {} were in use.", mebibytes(peak)));
    }
    let panel = Panel {
        heading: Some("MiB".to_owned()),
        height: 190,
        x: Axis::words(depths.iter().map(|(prefetch, _)| prefetch.to_string())),
        x_name: Some("batches ahead (prefetch)".to_owned()),
        y: Axis::from_zero(1.04 * most, 4, number),
        shapes,
    };
    let title = "Memory against prefetch".to_owned();
    Some(Figure { title, words, panels: vec![panel], legend })
}

/// The most bytes that the recommended setting had in use when it was run.
fn peak(report: &Report) -> Option<u64> {
    let batches = report.recommended.measured?.batches_bytes;
    let rest = |moment: &Moment| moment.memory.encoded.bytes + moment.memory.decode.bytes;
    Some(batches + report.timelines.best.moments.iter().map(rest).max().unwrap_or(0))
}

/// What is known of the wait of a setting, for bars.
pub(super) fn waits(tried: &Tried) -> f64 {
    tried.measured.map_or(tried.predicted.wait, |measured| measured.wait)
}

/// Images a second, or a dash.
pub(super) fn known(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), number)
}
