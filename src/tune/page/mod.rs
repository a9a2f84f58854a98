//! The report as one page that stands alone: no script, nothing from the network,
//! and the same report gives the same bytes.

mod charts;
mod figure;
mod group;
mod plot;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

use std::io::Write;
use std::path::Path;

use charts::{known, waits};
use figure::Figure;
use plot::{Look, Stage};
use words::{NONE, counted, escaped, mebibytes, number, percent, rate, seconds, sentence, setting};

use super::{Confidence, Recommendation, Report, Tried};
use crate::error::Result;
use crate::unfinished::Unfinished;

/// A browser that is given nothing else to load could still be told to: it is
/// forbidden.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const STYLE: &str = include_str!("style.css");
/// A longer table is cut.
const ROWS: usize = 200;

impl Report {
    /// The report as a page of HTML that stands alone: verdict, recommendation, where
    /// the time goes, charts, and what was run.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut html = String::with_capacity(64 << 10);
        html.push_str("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
        html.push_str(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <meta name=\"color-scheme\" content=\"light dark\"/>",
        );
        html.push_str(&format!(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\
             <title>infeed tune: {}</title><style>\n{STYLE}</style></head>\n<body>\n",
            escaped(&self.source)
        ));
        html.push_str(&header(self));
        html.push_str("<main>\n");
        for (id, title, body) in [
            ("time", "Where the time goes", time(self)),
            ("ceilings", "What each part reaches alone", ceilings(self)),
            ("settings", "Threads, prefetch and memory", charts(self)),
            ("timeline", "Stages over time", timelines(self)),
            ("trials", "Settings that were run", trials(self)),
        ] {
            html.push_str(&format!("<section id=\"{id}\"><h2>{title}</h2>\n{body}</section>\n"));
        }
        html.push_str("</main>\n");
        html.push_str(&footer(self));
        html.push_str("</body></html>\n");
        html
    }

    /// Writes that page to a file, which has its name once it is whole.
    ///
    /// # Errors
    ///
    /// The file cannot be made or written.
    pub fn write_html(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut file = Unfinished::unique(path.as_ref().to_owned())?;
        let written = file.writer.write_all(self.to_html().as_bytes());
        written.map_err(|error| file.failed(error))?;
        file.replace()
    }
}

fn header(report: &Report) -> String {
    let samples = report
        .samples
        .map_or_else(String::new, |samples| format!("{} images of ", number(samples as f64)));
    let mut html = format!(
        "<header>\n<h1>{samples}{}</h1>\n<p class=\"soft\">{}, batches of {}, a step of {}, {}</p>\n\
         <p class=\"verdict\">{}</p>\n",
        escaped(&report.source),
        escaped(&report.image),
        report.batch_size,
        seconds(report.step_seconds),
        counted(report.cores, "core"),
        escaped(&sentence(&report.verdict))
    );
    if !report.warnings.is_empty() {
        html.push_str("<ul class=\"warnings\">");
        for warning in &report.warnings {
            let warning = escaped(&sentence(warning));
            html.push_str(&format!("<li><b>Warning.</b> {warning}</li>"));
        }
        html.push_str("</ul>\n");
    }
    html.push_str(&advice(report));
    html.push_str("</header>\n");
    html
}

fn advice(report: &Report) -> String {
    let Recommendation { choice, fed } = report.recommendation;
    let (confidence, why) = match report.confidence {
        Confidence::High => {
            ("high", "It was run and came to within a tenth of that, and nothing disturbed it.")
        }
        Confidence::Fair => {
            ("fair", "It was run and came to within a fifth of that, or something disturbed it.")
        }
        Confidence::Low => ("low", "It was not run, or came to something else."),
    };
    let title = if fed { "Set this" } else { "Set this, the nearest there is" };
    let mut html = format!(
        "<section id=\"recommendation\" class=\"card advice\">\
         <h2>{title} <span class=\"badge {confidence}\">confidence {confidence}</span></h2>\n\
         <dl class=\"knobs\">"
    );
    for (name, value) in [
        ("threads", choice.threads.to_string()),
        ("readers", choice.readers.to_string()),
        ("prefetch", choice.prefetch.to_string()),
        ("order", choice.order.to_string()),
    ] {
        html.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    html.push_str("</dl>\n<div class=\"grid\"><div>");
    let Tried { predicted, measured, memory_bytes, .. } = report.recommended;
    html.push_str("<table><tr><th></th><th>predicted</th><th>measured</th></tr>");
    let words =
        |word: fn(f64) -> String, value: Option<f64>| value.map_or_else(|| NONE.to_owned(), word);
    let cores = |cores: f64| {
        if cores.is_finite() { format!("{cores:.2}") } else { NONE.to_owned() }
    };
    for (name, before, after) in [
        (
            "images a second",
            number(predicted.images_per_second),
            words(number, measured.map(|measured| measured.images_per_second)),
        ),
        (
            "consumer waits",
            percent(predicted.wait),
            words(percent, measured.map(|measured| measured.wait)),
        ),
        (
            "cores in use",
            cores(predicted.cores),
            words(cores, measured.map(|measured| measured.cores)),
        ),
    ] {
        html.push_str(&format!(
            "<tr><td class=\"word\">{name}</td><td>{before}</td><td>{after}</td></tr>"
        ));
    }
    let memory = if memory_bytes == 0 { NONE.to_owned() } else { mebibytes(memory_bytes) };
    html.push_str(&format!(
        "<tr><td class=\"word\">memory at most</td><td>{memory}</td><td></td></tr></table>\
         <p class=\"soft\">{why}</p>"
    ));
    html.push_str(&format!(
        "</div><div><p class=\"soft\">On the command line:</p><pre>{}</pre>\
         <p class=\"soft\">In the builder:</p><pre>{}</pre></div></div></section>\n",
        escaped(&report.recommendation.flags()),
        escaped(&report.recommendation.builder())
    ));
    html
}

/// A bar beside its name and its value.
struct Bar {
    name: String,
    value: String,
    /// Parts of the whole length, from the left, and their looks.
    parts: Vec<(Stage, f64)>,
    /// It goes on behind the end.
    beyond: bool,
    strong: bool,
}

/// Bars with a mark at a part of their length; what is to be seen in words.
fn bars(bars: &[Bar], demand: Option<f64>) -> String {
    let mut html = String::from("<ul class=\"bars\">");
    for Bar { name, value, parts, beyond, strong } in bars {
        let (name, value) = (escaped(name), escaped(value));
        let class = if *strong { " class=\"strong\"" } else { "" };
        html.push_str(&format!(
            "<li{class}><span>{name}</span><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"{name}: {value}\">"
        ));
        let mut from = 0.0;
        for (stage, share) in parts {
            let width = if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
            let class = Look::Area(*stage).class();
            html.push_str(&format!(
                "<rect class=\"{class}\" x=\"{from:.2}\" y=\"0\" width=\"{width:.2}\" height=\"10\"/>"
            ));
            from += width;
        }
        if *beyond {
            // Torn off, not ended.
            for at in [93.0, 96.0] {
                html.push_str(&format!(
                    "<polygon class=\"beyond\" points=\"{},0 {},0 {},10 {},10\"/>",
                    at + 2.0,
                    at + 3.0,
                    at + 1.0,
                    at
                ));
            }
        }
        if let Some(at) = demand {
            let at = 100.0 * at.clamp(0.0, 1.0);
            html.push_str(&format!(
                "<line class=\"demand\" vector-effect=\"non-scaling-stroke\" \
                 x1=\"{at:.2}\" y1=\"0\" x2=\"{at:.2}\" y2=\"10\"/>"
            ));
        }
        html.push_str(&format!("</svg><b>{value}</b></li>"));
    }
    html.push_str("</ul>");
    html
}

fn legend(parts: &[(Stage, &str)]) -> String {
    let mut html = String::from("<ul class=\"legend\">");
    for (stage, word) in parts {
        html.push_str(&format!(
            "<li><svg viewBox=\"0 0 28 14\" class=\"swatch\" aria-hidden=\"true\">\
             <rect class=\"{}\" x=\"2\" y=\"1\" width=\"24\" height=\"12\"/></svg>{word}</li>",
            Look::Area(*stage).class()
        ));
    }
    html.push_str("</ul>");
    html
}

/// Seconds an item, where so many a second are known.
fn each(per_second: f64) -> Option<f64> {
    (per_second > 0.0 && per_second.is_finite()).then(|| per_second.recip())
}

fn time(report: &Report) -> String {
    let ceilings = &report.ceilings;
    // Those are of all threads together; an image has one.
    let threads = report.cores.max(1) as f64;
    let alone = |rate: f64| each(rate).map(|time| threads * time);
    let read = ceilings.read.first().and_then(|(readers, ceiling)| {
        each(ceiling.images_per_second).map(|time| time * *readers as f64)
    });
    let measured = report.recommended.measured;
    let on_core = measured.and_then(|measured| {
        let each = measured.cores / measured.images_per_second;
        (each.is_finite() && each > 0.0).then_some(each)
    });
    let costs = [
        ("read", Stage::Read, read),
        ("decode", Stage::Decode, alone(ceilings.decode.images_per_second)),
        ("transform", Stage::Transform, alone(ceilings.transform.images_per_second)),
        ("on a core", Stage::Rest, on_core),
    ];
    let most = costs.iter().filter_map(|(_, _, cost)| *cost).fold(0.0, f64::max);
    let rows: Vec<Bar> = costs
        .into_iter()
        .map(|(name, stage, cost)| Bar {
            name: name.to_owned(),
            value: cost.map_or_else(|| NONE.to_owned(), seconds),
            parts: cost.map(|cost| vec![(stage, cost / most)]).unwrap_or_default(),
            beyond: false,
            strong: false,
        })
        .collect();
    let mut html = format!(
        "<div class=\"grid\"><div class=\"card\"><h3>What an image costs</h3>\
         <p class=\"soft\">The time of one thread. Reading is mostly waiting; on a core is decoding and \
         transform as they ran in the recommended setting.</p>{}</div>\n",
        bars(&rows, None)
    );
    let worst = report.timelines.worst_choice.filter(|&worst| worst != report.recommended.choice);
    let worst = worst.and_then(|worst| report.settings.iter().find(|tried| tried.choice == worst));
    let settings =
        [Some(("recommended", &report.recommended)), worst.map(|worst| ("worst", worst))];
    let rows: Vec<Bar> = settings
        .into_iter()
        .flatten()
        .map(|(name, tried)| {
            let wait = waits(tried);
            let known = if wait.is_finite() { wait.clamp(0.0, 1.0) } else { 0.0 };
            Bar {
                name: name.to_owned(),
                value: format!("waits {}", percent(wait)),
                parts: vec![(Stage::Batches, 1.0 - known), (Stage::Wait, known)],
                beyond: false,
                strong: false,
            }
        })
        .collect();
    let told = settings.into_iter().flatten().map(|(name, tried)| {
        format!("{}: {}.", sentence(name).trim_end_matches('.'), setting(tried.choice))
    });
    html.push_str(&format!(
        "<div class=\"card\"><h3>The consumer's time</h3><p class=\"soft\">{}</p>{}{}</div></div>\n",
        told.collect::<Vec<_>>().join(" "),
        bars(&rows, None),
        legend(&[(Stage::Batches, "its step"), (Stage::Wait, "waits for a batch")])
    ));
    html
}

fn ceilings(report: &Report) -> String {
    let ceilings = &report.ceilings;
    let mut parts = Vec::new();
    if let Some(walk) = ceilings.walk {
        parts.push(("listing".to_owned(), Stage::Rest, walk.images_per_second));
    }
    for (readers, ceiling) in &ceilings.read {
        parts.push((counted(*readers, "reader"), Stage::Read, ceiling.images_per_second));
    }
    let all = counted(report.cores, "thread");
    let decode = ceilings.decode.images_per_second;
    parts.push(("decoding".to_owned(), Stage::Decode, decode));
    let transform = ceilings.transform.images_per_second;
    parts.push(("transform".to_owned(), Stage::Transform, transform));
    for (threads, ceiling) in &ceilings.decode_and_transform {
        parts.push((counted(*threads, "thread"), Stage::Decode, ceiling.images_per_second));
    }
    let memory = ceilings.memory.images_per_second;
    parts.push(("copying".to_owned(), Stage::Batches, memory));
    // What can be had at the most: of the same part with more of it, not the least.
    let most = |rates: &mut dyn Iterator<Item = f64>| rates.fold(0.0, f64::max);
    let read = most(&mut ceilings.read.iter().map(|(_, ceiling)| ceiling.images_per_second));
    let both = ceilings.decode_and_transform.iter().map(|(_, ceiling)| ceiling.images_per_second);
    let both = most(&mut both.into_iter());
    let ends = [read, both, memory].into_iter().filter(|rate| rate.is_finite() && *rate > 0.0);
    let narrowest = ends.fold(f64::INFINITY, f64::min);
    if !narrowest.is_finite() {
        return "<p>Nothing was measured alone.</p>\n".to_owned();
    }
    let demand = report.demand;
    let within = demand.is_finite() && demand > 0.0 && demand <= 16.0 * narrowest;
    let end = (2.0 * narrowest).max(if within { 1.25 * demand } else { 0.0 });
    let rows: Vec<Bar> = parts
        .into_iter()
        .map(|(name, stage, rate)| Bar {
            name,
            value: if rate > 0.0 { number(rate) } else { NONE.to_owned() },
            parts: vec![(stage, rate / end)],
            beyond: rate.is_finite() && rate > end,
            strong: rate == narrowest,
        })
        .collect();
    let narrow = rows.iter().filter(|bar| bar.strong).map(|bar| bar.name.clone()).next_back();
    let narrow = narrow.map_or_else(String::new, |name| {
        format!("The narrowest part is {}: {}. ", escaped(&name), rate(narrowest))
    });
    let step = match within {
        true => format!("The dashed line is what the step takes: {}.", rate(demand)),
        false => "The step would take more than any of this.".to_owned(),
    };
    format!(
        "<div class=\"card\"><p>{narrow}{step}</p><p class=\"soft\">Images a second. Decoding and \
         transform are each what {all} would reach with nothing else to do; threads do both. Torn bars \
         go on.</p>{}</div>\n",
        bars(&rows, within.then(|| demand / end))
    )
}

fn charts(report: &Report) -> String {
    let mut html = String::from("<div class=\"grid\">");
    html.push_str(&charts::throughput(report).html());
    html.push_str(&charts::wait(report).html());
    if let Some(memory) = charts::memory(report) {
        html.push_str(&memory.html());
    }
    html.push_str("</div>\n");
    html
}

fn timelines(report: &Report) -> String {
    let figures = timeline::timelines(report);
    if figures.is_empty() {
        return "<p class=\"soft\">No setting ran long enough to be looked at twice.</p>\n"
            .to_owned();
    }
    let figures: String = figures.iter().map(Figure::html).collect();
    format!("<div class=\"grid\">{figures}</div>\n")
}

fn trials(report: &Report) -> String {
    let ran =
        |tried: &&Tried| tried.measured.is_some() || tried.choice == report.recommended.choice;
    let ran: Vec<&Tried> = report.settings.iter().filter(ran).collect();
    let predicted: Vec<&Tried> = report.settings.iter().take(ROWS).collect();
    let mut html = format!("<div class=\"card\">{}</div>\n", table(report, &ran));
    let searched = report.searched.map(|searched| {
        format!(
            "<p class=\"note\">The search alone would have recommended {}, after {}: {} of the grid from \
             the best.</p>\n",
            setting(searched.choice),
            seconds(searched.seconds),
            counted(searched.notches, "step")
        )
    });
    html.push_str(&searched.unwrap_or_default());
    let count = report.settings.len();
    let cut = match count > ROWS {
        true => {
            format!("<p class=\"note\">The first {ROWS}, of which the cheapest come first.</p>")
        }
        false => String::new(),
    };
    html.push_str(&format!(
        "<details class=\"card\"><summary>All {} that were predicted</summary>\
         {cut}{}</details>\n",
        counted(count, "setting"),
        table(report, &predicted)
    ));
    html
}

fn table(report: &Report, rows: &[&Tried]) -> String {
    if rows.is_empty() {
        return "<p class=\"soft\">None.</p>".to_owned();
    }
    let mut html = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"settings\"><table class=\"wide\"><thead><tr><th>threads</th>\
         <th>readers</th><th>prefetch</th><th class=\"word\">order</th><th>predicted images/s</th>\
         <th>measured</th><th>predicted wait</th><th>measured</th><th>cores</th>\
         <th>memory at most</th><th class=\"word\">limited by</th></tr></thead><tbody>",
    );
    for tried in rows {
        let Tried { choice, predicted, measured, memory_bytes, .. } = tried;
        let this = if *choice == report.recommended.choice { " class=\"this\"" } else { "" };
        let measured_wait = measured.map_or_else(|| NONE.to_owned(), |ran| percent(ran.wait));
        let cores = measured.filter(|ran| ran.cores.is_finite());
        let cores = cores.map_or_else(|| NONE.to_owned(), |ran| format!("{:.2}", ran.cores));
        let bound = measured.map_or(NONE, |ran| ran.bound.words().trim_end_matches("-bound"));
        let memory = if *memory_bytes == 0 { NONE.to_owned() } else { mebibytes(*memory_bytes) };
        html.push_str(&format!(
            "<tr{this}><td>{}</td><td>{}</td><td>{}</td><td class=\"word\">{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{measured_wait}</td><td>{cores}</td><td>{memory}</td>\
             <td class=\"word\">{bound}</td></tr>",
            choice.threads,
            choice.readers,
            choice.prefetch,
            choice.order,
            number(predicted.images_per_second),
            known(measured.map(|ran| ran.images_per_second)),
            percent(predicted.wait),
        ));
    }
    html.push_str("</tbody></table></div>");
    html
}

fn footer(report: &Report) -> String {
    format!(
        "<footer>infeed {}. {} in {}.</footer>\n",
        escaped(report.version),
        counted(report.trials, "trial"),
        seconds(report.seconds)
    )
}
