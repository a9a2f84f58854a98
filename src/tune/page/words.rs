//! Numbers and words, as people write them. What is no number is a dash.

use crate::config::Order;
use crate::tune::Choice;

/// For what is not known.
pub(super) const NONE: &str = "–";

/// Text from outside, inside a page.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not even as a reference may they stand in a page.
            letter if letter.is_control() && letter != '\n' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// `12,345`; with a digit behind the point below ten.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let value = value.clamp(-1e15, 1e15);
    if value.abs() < 9.95 && (value - value.round()).abs() > 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value <= -0.5 { format!("−{grouped}") } else { grouped }
}

/// Images a second.
pub(super) fn rate(value: f64) -> String {
    if value.is_finite() { format!("{} images/s", number(value)) } else { NONE.to_owned() }
}

/// A part of one.
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        p if !p.is_finite() => NONE.to_owned(),
        p if p >= 9.95 => format!("{p:.0} %"),
        p => format!("{:.1} %", p.max(0.0)),
    }
}

pub(super) fn seconds(value: f64) -> String {
    match value {
        s if !s.is_finite() => NONE.to_owned(),
        s if s >= 99.5 => format!("{} s", number(s)),
        s if s >= 0.9995 => format!("{s:.2} s"),
        s if s >= 9.95e-3 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.9995e-3 => format!("{:.1} ms", s * 1e3),
        s if s >= 0.095e-3 => format!("{:.2} ms", s * 1e3),
        s if s > 0.0 => format!("{:.0} µs", s * 1e6),
        _ => "0 s".to_owned(),
    }
}

pub(super) fn mebibytes(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 20) {
        mib if mib >= 10_240.0 => format!("{:.1} GiB", mib / 1024.0),
        mib => format!("{} MiB", number(mib)),
    }
}

/// `1 thread`, `2 threads`.
pub(super) fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A setting, in a sentence.
pub(super) fn setting(choice: Choice) -> String {
    let Choice { threads, readers, prefetch, order } = choice;
    let (threads, readers) = (counted(threads, "thread"), counted(readers, "reader"));
    let order = match order {
        Order::Ordered => "ordered",
        Order::Unordered => "unordered",
    };
    format!("{threads}, {readers}, prefetch {prefetch}, {order}")
}

/// A sentence out of a part of one.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.trim().chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = letters.as_str();
    let end = if rest.ends_with(['.', '!', '?']) || words.is_empty() { "" } else { "." };
    format!("{first}{rest}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (3.0, "3"),
            (9.96, "10"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-12.0, "−12"),
            (f64::NAN, NONE),
            (f64::INFINITY, NONE),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(percent(0.001), "0.1 %");
        assert_eq!(percent(0.636), "64 %");
        assert_eq!(seconds(0.001_25), "1.2 ms");
        assert_eq!(seconds(0.000_02), "20 µs");
        assert_eq!(mebibytes(3 << 20), "3 MiB");
        assert_eq!(mebibytes(20 << 30), "20.0 GiB");
        for told in [percent(f64::NAN), seconds(f64::INFINITY), rate(f64::NAN)] {
            assert_eq!(told, NONE);
        }
    }

    #[test]
    fn what_comes_from_outside_is_text() {
        assert_eq!(
            escaped("<a href='x'>&\"\u{1}"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}"
        );
        assert_eq!(sentence("no setting feeds it"), "No setting feeds it.");
        assert_eq!(sentence("É. fini."), "É. fini.");
        assert_eq!(sentence(""), "");
    }
}
