//! What the charts hold: which settings are shown, and what is said of them.

use super::plot::{Axis, Look, Panel, SERIES, Shape, Stage, mark, svg};
use super::words::{NONE, counted, escaped, mebibytes, number, percent, rate, setting};
use crate::stats::{Moment, Timeline};
use crate::tune::{Choice, Report, Tried};

/// A chart with what is written around it.
pub(super) struct Figure {
    pub(super) title: String,
    /// What it shows, in words.
    pub(super) words: String,
    pub(super) panels: Vec<Panel>,
    /// Looks, and what they stand for.
    pub(super) legend: Vec<(Vec<Look>, String)>,
}

impl Figure {
    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<figure><figcaption><h3>{}</h3><p>{}</p></figcaption>",
            escaped(&self.title),
            escaped(&self.words)
        );
        html.push_str(&svg(&self.panels, &format!("{}. {}", self.title, self.words)));
        html.push_str("<ul class=\"legend\">");
        for (looks, words) in &self.legend {
            html.push_str(&format!("<li>{}{}</li>", swatch(looks), escaped(words)));
        }
        html.push_str("</ul></figure>");
        html
    }
}

/// How something looks, small.
fn swatch(looks: &[Look]) -> String {
    let mut svg = String::from("<svg viewBox=\"0 0 28 14\" class=\"swatch\" aria-hidden=\"true\">");
    for look in looks {
        let class = look.class();
        svg.push_str(&match look {
            Look::Area(_) => {
                format!("<rect class=\"{class}\" x=\"2\" y=\"1\" width=\"24\" height=\"12\"/>")
            }
            Look::Mark(series) => {
                let corners = mark(*series, 4.5);
                let corners =
                    corners.iter().map(|(x, y)| format!("{:.1},{:.1}", 14.0 + x, 7.0 + y));
                let corners = corners.collect::<Vec<_>>().join(" ");
                format!("<polygon class=\"{class}\" points=\"{corners}\"/>")
            }
            Look::Chosen => {
                format!("<circle class=\"{class}\" cx=\"14\" cy=\"7\" r=\"5.5\" fill=\"none\"/>")
            }
            _ => format!("<line class=\"{class}\" x1=\"1\" y1=\"7\" x2=\"27\" y2=\"7\"/>"),
        });
    }
    svg.push_str("</svg>");
    svg
}

/// Settings that lie on one line, as near as can be seen.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) members: Vec<usize>,
    pub(super) points: Vec<(f64, f64)>,
}

/// `lines` as groups of those that are near each other everywhere: the one that is
/// `wanted`, and those that come nearest to it in what they stand for, no more than
/// can be told apart. How many were left out.
fn grouped(
    mut lines: Vec<(usize, Vec<(f64, f64)>)>,
    wanted: usize,
    near: impl Fn(f64, f64) -> bool,
) -> (Vec<Group>, usize) {
    // The first and the last show how far it goes.
    let ends = [lines.first(), lines.last()].map(|line| line.map_or(0, |line| line.0));
    lines.sort_by_key(|(member, _)| match *member {
        member if member == wanted => (0, 0),
        member if ends.contains(&member) => (1, 0),
        member => (2, member.abs_diff(wanted)),
    });
    let (mut groups, mut left) = (Vec::<Group>::new(), 0);
    for (member, points) in lines {
        let same = |group: &&mut Group| {
            group.points.iter().zip(&points).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
        };
        if let Some(group) = groups.iter_mut().find(same) {
            group.members.push(member);
        } else if groups.len() < usize::from(SERIES) {
            groups.push(Group { members: vec![member], points });
        } else {
            left += 1;
        }
    }
    for group in &mut groups {
        group.members.sort_unstable();
    }
    groups.sort_by_key(|group| group.members[0]);
    (groups, left)
}

/// `1`, `2 to 8`, `1, 4`.
fn listed(members: &[usize], all: &[usize]) -> String {
    let mut words = Vec::new();
    let mut rest = members;
    while let [first, ..] = rest {
        let from = all.iter().position(|member| member == first).unwrap_or(0);
        let run = rest.iter().zip(&all[from..]).take_while(|(a, b)| a == b).count().max(1);
        match run {
            1 => words.push(first.to_string()),
            2 => words.extend(rest[..2].iter().map(usize::to_string)),
            _ => words.push(format!("{first} to {}", rest[run - 1])),
        }
        rest = &rest[run..];
    }
    words.join(", ")
}

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

/// What happened between two moments, in parts of the time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: f64,
    to: f64,
    /// Threads that read, decoded, transformed.
    busy: [f64; 3],
    /// The part of its time that the consumer waited.
    wait: f64,
    /// Complete batches at its end.
    waiting: f64,
}

fn spans(timeline: &Timeline) -> Vec<Span> {
    let zero = timeline.moments.first().map_or(0.0, |moment| moment.seconds);
    let between = |two: &[Moment]| {
        let (a, b) = (&two[0], &two[1]);
        let time = b.seconds - a.seconds;
        let part = |after: f64, before: f64| {
            let part = (after - before) / time;
            if part.is_finite() { part.max(0.0) } else { 0.0 }
        };
        (time > 0.0 && time.is_finite()).then(|| Span {
            from: a.seconds - zero,
            to: b.seconds - zero,
            busy: [
                part(b.read_seconds, a.read_seconds),
                part(b.decode_seconds, a.decode_seconds),
                part(b.transform_seconds, a.transform_seconds),
            ],
            wait: part(b.wait_seconds, a.wait_seconds).min(1.0),
            waiting: b.queue.waiting as f64,
        })
    };
    timeline.moments.windows(2).filter_map(between).collect()
}

const STAGES: [(Stage, &str); 3] =
    [(Stage::Read, "reading"), (Stage::Decode, "decoding"), (Stage::Transform, "transform")];

/// The stages over time, of the recommended setting and of the worst that was run,
/// on the same scales; none where nothing was seen.
pub(super) fn timelines(report: &Report) -> Vec<Figure> {
    let timelines = &report.timelines;
    let best = (report.recommendation.choice, spans(&timelines.best));
    let worst = timelines.worst_choice.filter(|worst| *worst != best.0);
    let worst = worst.map(|choice| (choice, spans(&timelines.worst)));
    let shown: Vec<_> = [Some(("Recommended", best)), worst.map(|worst| ("Worst", worst))]
        .into_iter()
        .flatten()
        .filter(|(_, (_, spans))| !spans.is_empty())
        .collect();
    let all = || shown.iter().flat_map(|(_, (_, spans))| spans);
    let busy = all().map(|span| span.busy.iter().sum()).fold(1.0, f64::max);
    let waiting = all().map(|span| span.waiting).fold(1.0, f64::max);
    let figure = |(name, (choice, spans)): &(&str, (Choice, Vec<Span>))| {
        timeline(name, *choice, spans, busy, waiting)
    };
    shown.iter().map(figure).collect()
}

fn timeline(name: &str, choice: Choice, spans: &[Span], busy: f64, waiting: f64) -> Figure {
    let x = || {
        let end = spans.last().map_or(1.0, |span| span.to);
        let axis = Axis::from_zero(end, 4, |at| format!("{}", (at * 1e3).round() / 1e3));
        axis.up_to(end)
    };
    let steps = |value: &dyn Fn(&Span) -> f64| -> Vec<(f64, f64)> {
        spans.iter().flat_map(|span| [(span.from, value(span)), (span.to, value(span))]).collect()
    };
    let (mut areas, mut edges) = (Vec::new(), Vec::new());
    for (at, (stage, _)) in STAGES.into_iter().enumerate() {
        let below = steps(&|span| span.busy[..at].iter().sum());
        let above = steps(&|span| span.busy[..=at].iter().sum());
        let area = below.iter().zip(&above).map(|(below, above)| (below.0, below.1, above.1));
        areas.push(Shape::Area(Look::Area(stage), area.collect()));
        edges.push(Shape::Line(Look::Edge(stage), above));
    }
    areas.extend(edges);
    let wait = steps(&|span| 100.0 * span.wait);
    let waits = vec![
        Shape::Area(Look::Area(Stage::Wait), wait.iter().map(|&(x, y)| (x, 0.0, y)).collect()),
        Shape::Line(Look::Edge(Stage::Wait), wait),
    ];
    let ready = steps(&|span| span.waiting);
    let ready = vec![
        Shape::Area(Look::Area(Stage::Batches), ready.iter().map(|&(x, y)| (x, 0.0, y)).collect()),
        Shape::Line(Look::Edge(Stage::Batches), ready),
    ];
    let panel = |heading: &str, height: i32, y: Axis, shapes: Vec<Shape>| {
        let (heading, x_name) = (Some(heading.to_owned()), None);
        Panel { heading, height, x: x(), x_name, y, shapes }
    };
    let few = |most: f64| Axis::from_zero(most, 3, number);
    let mut panels = vec![
        panel("threads at work", 120, few(busy), areas),
        panel("consumer waits, % of the time", 60, Axis::from_zero(100.0, 2, number), waits),
        panel("complete batches that wait for it", 60, Axis::whole(waiting), ready),
    ];
    if let Some(last) = panels.last_mut() {
        last.x_name = Some("seconds".to_owned());
    }
    let time: f64 = spans.iter().map(|span| span.to - span.from).sum();
    let mean = |value: &dyn Fn(&Span) -> f64| {
        spans.iter().map(|span| value(span) * (span.to - span.from)).sum::<f64>() / time
    };
    let words = format!(
        "{}: on average {} threads at work, and the consumer waits {} of its time.",
        setting(choice),
        number(mean(&|span| span.busy.iter().sum())),
        percent(mean(&|span| span.wait))
    );
    let stages = STAGES.into_iter().rev();
    let mut legend: Vec<_> = stages
        .map(|(stage, word)| (vec![Look::Area(stage), Look::Edge(stage)], word.to_owned()))
        .collect();
    legend.push((vec![Look::Area(Stage::Wait)], "the consumer waits".to_owned()));
    legend.push((vec![Look::Area(Stage::Batches)], "batches".to_owned()));
    Figure { title: format!("{name} setting over time"), words, panels, legend }
}

/// What is known of the wait of a setting, for bars.
pub(super) fn waits(tried: &Tried) -> f64 {
    tried.measured.map_or(tried.predicted.wait, |measured| measured.wait)
}

/// Images a second, or a dash.
pub(super) fn known(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(at: f64) -> Vec<(f64, f64)> {
        vec![(1.0, at), (2.0, 2.0 * at)]
    }

    #[test]
    fn lines_that_look_the_same_are_one_and_those_near_what_is_wanted_are_kept() {
        let near = |a: f64, b: f64| (a - b).abs() < 1.0;
        let lines = vec![(1, flat(10.0)), (2, flat(20.0)), (3, flat(20.1)), (4, flat(20.2))];
        let (groups, left) = grouped(lines, 2, near);
        let members: Vec<_> = groups.iter().map(|group| group.members.clone()).collect();
        assert_eq!((members, left), (vec![vec![1], vec![2, 3, 4]], 0));
        let many = (1..=20).map(|at| (at, flat(10.0 * at as f64))).collect();
        let (groups, left) = grouped(many, 10, near);
        let members: Vec<_> = groups.iter().flat_map(|group| group.members.clone()).collect();
        assert_eq!((members, left), (vec![1, 9, 10, 11, 20], 15));
    }

    #[test]
    fn members_are_listed_in_runs() {
        let all = [1, 2, 3, 4, 6, 8];
        assert_eq!(listed(&[2, 3, 4, 6, 8], &all), "2 to 8");
        assert_eq!(listed(&[1, 3, 4], &all), "1, 3, 4");
        assert_eq!(listed(&[8], &all), "8");
        assert_eq!(listed(&[], &all), "");
    }

    #[test]
    fn a_span_is_what_happened_in_its_time() {
        let moment = |seconds: f64, decode_seconds: f64, wait_seconds: f64| Moment {
            seconds,
            decode_seconds,
            wait_seconds,
            ..Moment::default()
        };
        let moments = vec![moment(3.0, 1.0, 0.0), moment(3.5, 2.0, 0.25), moment(3.5, 2.0, 0.25)];
        let spans = spans(&Timeline { moments });
        assert_eq!(spans.len(), 1);
        assert_eq!((spans[0].from, spans[0].to, spans[0].wait), (0.0, 0.5, 0.5));
        assert_eq!(spans[0].busy, [0.0, 2.0, 0.0]);
    }
}
