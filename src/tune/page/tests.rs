use roxmltree::{Document, Node, ParsingOptions};

use crate::config::Order;
use crate::stats::{Bound, Moment, Timeline};
use crate::tune::{
    Ceiling, Ceilings, Choice, Confidence, Measured, Predicted, Recommendation, Report, Timelines,
    Tried,
};

const BATCH: u64 = 19_267_584;

fn choice(threads: usize, prefetch: usize) -> Choice {
    Choice { threads, readers: 4, prefetch, order: Order::Ordered }
}

fn tried(choice: Choice, demand: f64) -> Tried {
    let rate = (480.0 * choice.threads as f64).min(demand * (1.0 - 0.02 / choice.prefetch as f64));
    let wait = 1.0 - rate / demand;
    let batches_bytes = (choice.prefetch as u64 + 1) * BATCH;
    Tried {
        choice,
        predicted: Predicted { images_per_second: rate, wait, cores: rate / 480.0 },
        measured: None,
        memory_bytes: batches_bytes + (64 << 20),
        batches_bytes,
    }
}

fn run(tried: &mut Tried) {
    let Predicted { images_per_second, wait, cores } = tried.predicted;
    tried.measured = Some(Measured {
        images_per_second: 0.97 * images_per_second,
        wait: wait + 0.03,
        cores,
        batches_bytes: tried.batches_bytes,
        bound: Bound::Decode,
        batches: 12,
        seconds: 1.0,
    });
}

fn timeline(threads: f64) -> Timeline {
    let moment = |at: u32| {
        let seconds = 2.0 + 0.1 * f64::from(at);
        Moment {
            seconds,
            read_seconds: 0.01 * seconds,
            decode_seconds: threads * 0.6 * seconds,
            transform_seconds: threads * 0.3 * seconds,
            wait_seconds: 0.2 * seconds,
            ..Moment::default()
        }
    };
    Timeline { moments: (0..12).map(moment).collect() }
}

/// Up to so many threads and batches ahead, most of them recommended.
fn made_up(threads: usize, prefetch: usize) -> Report {
    let demand = 1_600.0;
    let mut settings = Vec::new();
    for threads in 1..=threads {
        for prefetch in 1..=prefetch {
            settings.push(tried(choice(threads, prefetch), demand));
        }
    }
    let recommended = settings.len() - 1;
    run(&mut settings[0]);
    run(&mut settings[recommended]);
    let recommended = settings[recommended];
    let ceiling = |rate: f64| Ceiling { images_per_second: rate, bytes_per_second: 1e6 * rate };
    Report {
        version: "1.2.3",
        source: "/photos".to_owned(),
        samples: Some(12_345),
        batch_size: 32,
        image: "224x224 f32 chw rgb".to_owned(),
        cores: threads,
        step_seconds: 0.02,
        demand,
        wait_target: 0.01,
        memory_limit: Some(200 << 20),
        ceilings: Ceilings {
            walk: Some(ceiling(400_000.0)),
            read: vec![(1, ceiling(10_000.0)), (4, ceiling(30_000.0))],
            decode: ceiling(2_500.0),
            transform: ceiling(9_000.0),
            decode_and_transform: vec![(1, ceiling(480.0)), (threads, ceiling(1_900.0))],
            memory: ceiling(5_000.0),
        },
        settings,
        recommendation: Recommendation { choice: recommended.choice, fed: true },
        recommended,
        verdict: "a step of 20.0 ms is fed".to_owned(),
        confidence: Confidence::High,
        warnings: vec!["the machine was noisy".to_owned()],
        seconds: 12.5,
        trials: 2,
        searched: None,
        timelines: Timelines {
            best: timeline(threads as f64),
            worst: timeline(1.0),
            worst_choice: Some(choice(1, 1)),
        },
    }
}

fn parsed(html: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(html, options).unwrap_or_else(|error| panic!("{error}: {html}"))
}

fn text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(|node| node.is_text());
    texts.filter_map(|node| node.text()).collect::<Vec<_>>().join(" ")
}

/// What no page may hold.
fn check(report: &Report) -> String {
    let html = report.to_html();
    let page = parsed(&html);
    for id in ["recommendation", "time", "ceilings", "settings", "timeline", "trials"] {
        let section = page.descendants().find(|node| node.attribute("id") == Some(id));
        let section = section.unwrap_or_else(|| panic!("no section {id}"));
        assert!(!text(section).trim().is_empty(), "{id}");
    }
    for svg in page.descendants().filter(|node| node.has_tag_name("svg")) {
        assert!(svg.attribute("viewBox").is_some() && svg.attribute("width").is_none());
        let told = svg.attribute("aria-label").is_some_and(|words| !words.is_empty());
        let hidden = svg.attribute("aria-hidden") == Some("true");
        assert!(told != hidden, "{svg:?}");
    }
    let style = page.descendants().find(|node| node.has_tag_name("style")).unwrap();
    for outside in ["http", "url(", "@import", "//"] {
        assert!(!text(style).contains(outside), "{outside}");
    }
    for node in page.descendants().filter(Node::is_element) {
        assert!(!["script", "link", "img", "iframe", "object"].contains(&node.tag_name().name()));
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!["src", "href", "style"].contains(&name) && !name.starts_with("on"), "{name}");
            let numbers = value.split(|letter: char| !letter.is_alphanumeric());
            assert!(!numbers.clone().any(|word| ["NaN", "inf"].contains(&word)), "{value}");
        }
    }
    let words = text(page.root_element());
    let mut words = words.split(|letter: char| !letter.is_alphanumeric());
    assert!(!words.any(|word| ["NaN", "inf"].contains(&word)), "{html}");
    html
}

#[test]
fn the_page_is_whole_and_says_what_was_found() {
    let report = made_up(4, 4);
    let html = check(&report);
    let page = parsed(&html);
    let figures = page.descendants().filter(|node| node.has_tag_name("figure")).count();
    assert_eq!(figures, 5, "throughput, wait, memory and two timelines");
    let words = text(page.root_element());
    for told in [
        "12,345 images of /photos",
        "A step of 20.0 ms is fed.",
        "confidence high",
        "--threads 4 --readers 4 --prefetch 4 --order ordered",
        ".order(Order::Ordered)",
        "The machine was noisy.",
        "The narrowest part is 4 threads: 1,900 images/s.",
        "the step takes 1,600",
        "prefetch 1 to 4",
        "the limit, 200 MiB",
        "All 16 settings that were predicted",
        "infeed 1.2.3. 2 trials",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
}

#[test]
fn the_same_report_gives_the_same_bytes_and_a_whole_file() {
    let report = made_up(3, 2);
    assert_eq!(report.to_html(), report.clone().to_html());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report.write_html(&path).unwrap();
    report.write_html(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report.to_html());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = report.write_html(folder.path().join("none/report.html")).unwrap_err();
    assert!(error.to_string().contains("report.html"), "{error}");
}

#[test]
fn what_comes_from_outside_is_text() {
    let mut report = made_up(2, 2);
    report.source = "/фото/写真/<script>alert('1')</script>&amp;\u{7}".to_owned();
    report.warnings = vec!["<img src=x onerror=alert(1)>".to_owned()];
    report.verdict = "</p><style>body{display:none}</style>".to_owned();
    let html = check(&report);
    let page = parsed(&html);
    let title = page.descendants().find(|node| node.has_tag_name("h1")).unwrap();
    assert!(text(title).contains("/фото/写真/<script>alert('1')</script>&amp;"), "{title:?}");
}

#[test]
fn little_is_enough_for_a_page() {
    check(&made_up(1, 1));
    check(&made_up(1, 4));
    check(&made_up(4, 1));
    check(&made_up(40, 8));
    let mut report = made_up(2, 2);
    report.timelines = Timelines::default();
    assert!(check(&report).contains("No setting ran long enough"));
    report.timelines.best.moments = vec![Moment::default(); 3];
    check(&report);
    report.memory_limit = None;
    report.samples = None;
    report.warnings.clear();
    for tried in &mut report.settings {
        tried.measured = None;
        tried.memory_bytes = 0;
    }
    report.recommended = report.settings[0];
    report.recommendation = Recommendation { choice: report.recommended.choice, fed: false };
    report.confidence = Confidence::Low;
    assert!(check(&report).contains("All predicted."));
    report.ceilings = Ceilings::default();
    assert!(check(&report).contains("Nothing was measured alone."));
    report.settings.clear();
    check(&report);
}

#[test]
fn what_is_no_number_is_not_printed() {
    for odd in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324] {
        let mut report = made_up(3, 3);
        report.demand = odd;
        check(&report);
        report.wait_target = odd;
        report.step_seconds = odd;
        report.seconds = odd;
        check(&report);
        report.ceilings.decode.images_per_second = odd;
        report.ceilings.read[0].1.images_per_second = odd;
        report.ceilings.decode_and_transform[0].1.images_per_second = odd;
        check(&report);
        report.ceilings.memory.images_per_second = odd;
        report.ceilings.decode_and_transform.truncate(1);
        report.ceilings.read.truncate(1);
        check(&report);
        for tried in report.settings.iter_mut().chain([&mut report.recommended]) {
            tried.predicted = Predicted { images_per_second: odd, wait: odd, cores: odd };
            if let Some(measured) = &mut tried.measured {
                (measured.images_per_second, measured.wait, measured.cores) = (odd, odd, odd);
            }
        }
        for moment in &mut report.timelines.best.moments {
            (moment.decode_seconds, moment.wait_seconds) = (odd, odd);
        }
        check(&report);
        report.timelines.best.moments[3].seconds = odd;
        check(&report);
    }
}

#[test]
fn a_long_table_is_cut_and_says_so() {
    let report = made_up(40, 8);
    let html = check(&report);
    let page = parsed(&html);
    let mut tables = page.descendants().filter(|node| node.has_tag_name("tbody"));
    let rows =
        tables.next_back().unwrap().children().filter(|node| node.has_tag_name("tr")).count();
    assert_eq!(rows, 200);
    assert!(html.contains("The first 200"), "320 settings");
    assert!(html.len() < 400 << 10, "{}", html.len());
}

/// The colours of one theme by their names.
fn theme(dark: bool) -> Vec<(String, [f64; 3])> {
    let (light, rest) = super::STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let part = if dark { rest.split_once("* {").unwrap().0 } else { light };
    let colours = part.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
        let value = u32::from_str_radix(value.trim_end_matches(';'), 16).unwrap();
        let level = |shift: u32| {
            let level = f64::from((value >> shift) & 0xff) / 255.0;
            if level <= 0.040_45 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
        };
        Some((name.to_owned(), [level(16), level(8), level(0)]))
    });
    colours.collect()
}

#[test]
fn text_and_lines_stand_out_in_both_themes() {
    for dark in [false, true] {
        let theme = theme(dark);
        let light = |name: &str| {
            let colour = theme.iter().find(|(other, _)| other == name);
            let [r, g, b] = colour.unwrap_or_else(|| panic!("no {name}")).1;
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let contrast = |a: &str, b: &str| {
            let (a, b) = (light(a), light(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for text in ["text", "soft", "accent", "warn"] {
            for ground in ["page", "card", "track"] {
                let contrast = contrast(text, ground);
                assert!(contrast >= 4.5, "{text} on {ground}, dark {dark}: {contrast:.2}");
            }
        }
        for line in ["s0", "s1", "s2", "s3", "s4", "limit", "decode", "wait", "batches"] {
            let contrast = contrast(line, "card");
            assert!(contrast >= 3.0, "{line}, dark {dark}: {contrast:.2}");
        }
    }
}
