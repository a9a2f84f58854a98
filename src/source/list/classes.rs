//! Which number a class of a list has.

use std::collections::BTreeSet;

/// Numbers above it have no names: a list with one large number must not make
/// billions of them.
const MOST_NAMED: u32 = 1_000_000;

/// The classes of a list.
#[derive(Debug)]
pub(super) enum Classes {
    /// They are numbers already, up to this one.
    Numbers(u32),
    /// Sorted as bytes.
    Names(Vec<String>),
}

impl Classes {
    pub(super) fn new(found: BTreeSet<String>) -> Self {
        let numbers: Vec<u32> = found.iter().filter_map(|class| number(class)).collect();
        if numbers.len() == found.len() {
            if let Some(largest) = numbers.into_iter().max() {
                return Classes::Numbers(largest);
            }
        } else if !numbers.is_empty() {
            let name = found.iter().find(|class| number(class).is_none());
            tracing::warn!(
                "{} of the list's {} classes are numbers, and {name:?} is not: all are taken as \
                 names, and numbered in their order",
                numbers.len(),
                found.len()
            );
        }
        Classes::Names(found.into_iter().collect())
    }

    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Classes::Numbers(largest) if *largest > MOST_NAMED => Vec::new(),
            Classes::Numbers(largest) => (0..=*largest).map(|number| number.to_string()).collect(),
            Classes::Names(names) => names.clone(),
        }
    }

    pub(super) fn label(&self, class: &str) -> Option<u32> {
        match self {
            Classes::Numbers(_) => number(class),
            Classes::Names(names) => {
                let at = names.binary_search_by(|name| name.as_str().cmp(class)).ok();
                at.and_then(|at| u32::try_from(at).ok())
            }
        }
    }
}

/// A class that is its own number: as it would be printed, below 2^31.
fn number(class: &str) -> Option<u32> {
    let number = class.parse::<u32>().ok().filter(|number| *number < 1 << 31);
    number.filter(|number| number.to_string() == class)
}

/// Whether a class reads as a number that cannot be one: below 0, of 2^31 or more, or
/// with nothing but zeros behind its point, as programs write numbers some of which
/// are missing. Taken as a name, it would get another number unsaid.
pub(super) fn is_no_number(class: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (negative, rest) = match class.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, class),
    };
    match rest.split_once('.') {
        Some((whole, behind)) => digits(whole) && behind.bytes().all(|byte| byte == b'0'),
        None => digits(rest) && (negative || (number(rest).is_none() && !rest.starts_with('0'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str]) -> Classes {
        Classes::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn numbers_keep_their_values() {
        let numbers = classes(&["10", "2", "0"]);
        assert_eq!(numbers.label("10"), Some(10));
        assert_eq!(numbers.names().len(), 11);
        assert_eq!(numbers.names()[10], "10");
    }

    #[test]
    fn anything_else_among_them_makes_them_names() {
        for odd in ["a", "02", "1.5", "+1"] {
            let mut expected = vec!["10", "2", odd];
            expected.sort_unstable();
            assert_eq!(classes(&["2", odd, "10"]).names(), expected);
        }
        assert_eq!(classes(&["b", "a", "B"]).label("a"), Some(1));
    }

    #[test]
    fn a_large_number_makes_no_names() {
        let numbers = classes(&["2147483647"]);
        assert_eq!(numbers.label("2147483647"), Some((1 << 31) - 1));
        assert!(numbers.names().is_empty());
        assert!(classes(&[]).names().is_empty());
    }

    #[test]
    fn numbers_that_cannot_be_classes_are_known() {
        for class in ["-1", "-20", "1.0", "3.", "-2.00", "2147483648", "99999999999999999999"] {
            assert!(is_no_number(class), "{class}");
        }
        for class in
            ["1", "02", "2147483647", "1.5", "a-1", "-", ".", "-a", "1.0.0", "n01440764", "v1.0"]
        {
            assert!(!is_no_number(class), "{class}");
        }
    }
}
