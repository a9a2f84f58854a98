//! The stages over time.

use super::figure::Figure;
use super::plot::{Axis, Look, Panel, Shape, Stage};
use super::words::{number, percent, setting};
use crate::stats::{Moment, Timeline};
use crate::tune::{Choice, Report};

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

#[cfg(test)]
mod tests {
    use super::*;

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
