//! The samples of a source that take part.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::skip::Below;
use super::{Admission, Fingerprint, Listing, ReadFuture, SkipList, Source};
use crate::config::{Split, Subset};
use crate::error::{Cause, Error, Result};

/// What of a source takes part; nothing said, all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) subset: Option<Subset>,
    pub(crate) skip_list: Option<SkipList>,
    pub(crate) split: Option<Split>,
}

/// A source of which some samples are left out: to all behind it they do not
/// exist. The subset counts in the order of the whole source, the list takes from
/// what it leaves, and the split divides the rest.
pub(crate) struct Selected {
    source: Arc<dyn Source>,
    part: Part,
}

impl Selected {
    /// `source` itself where nothing is left out.
    pub(crate) fn from(source: Arc<dyn Source>, part: Part) -> Arc<dyn Source> {
        match &part {
            Part { subset: None, skip_list: None, split: None } => source,
            _ => Arc::new(Selected { source, part }),
        }
    }
}

impl Source for Selected {
    fn root(&self) -> PathBuf {
        self.source.root()
    }

    fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
        let Part { subset, skip_list, split } = &self.part;
        let mut indices = subset.as_ref().map(|subset| subset.indices().iter().peekable());
        let skips = skip_list.as_ref().map(|list| Below::new(list, &self.root()));
        let mut matched = vec![false; skip_list.as_ref().map_or(0, SkipList::len)];
        let (mut listed, mut chosen, mut divided, mut kept) = (0_u64, 0_u64, 0_u64, 0_u64);
        let (mut stopped, mut complete) = (false, false);
        self.source.list(&mut listing.wrap(|listing, sample| {
            let index = listed;
            listed += 1;
            if let Some(indices) = &mut indices
                && indices.next_if_eq(&&index).is_none()
            {
                return ControlFlow::Continue(());
            }
            chosen += 1;
            let skipped = skips.as_ref().and_then(|skips| skips.find(sample.path));
            if let Some(number) = skipped {
                matched[number] = true;
            } else {
                divided += 1;
                if split.is_none_or(|split| split.contains(sample.path)) {
                    kept += 1;
                    stopped = listing.push_sample(sample).is_break();
                }
            }
            complete = indices.as_mut().is_some_and(|indices| indices.peek().is_none());
            match stopped || complete {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }))?;
        // A source without samples has words of its own for that.
        if stopped || listed == 0 {
            return Ok(());
        }
        if let Some(largest) = indices.and_then(|mut indices| indices.next_back()) {
            let reason = format!("the source has {listed} samples; expected indices below it");
            return Err(Error::config("subset", largest, reason));
        }
        // What a subset left unseen may hold the others.
        if let Some(skips) = skips.filter(|_| subset.is_none()) {
            skips.warn_of_unmatched(&matched);
        }
        match (skip_list, split) {
            (Some(list), _) if divided == 0 => {
                let reason = format!(
                    "it leaves none of {chosen} samples; mend some of them, or give a shorter list"
                );
                Err(Error::config("skip_list", list.name().display(), reason))
            }
            (_, Some(split)) if kept == 0 => {
                let reason = format!(
                    "it leaves none of {divided} samples; choose a larger share or another seed"
                );
                Err(Error::config("split", split, reason))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        self.source.read(path, admission)
    }

    fn fingerprint(&self, path: &Path) -> Result<Option<Fingerprint>, Cause> {
        self.source.fingerprint(path)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::source::{Index, list};

    /// Samples `0` to `n`, and how many of them were told.
    struct Numbers(u64, AtomicU64);

    impl Numbers {
        fn new(samples: u64) -> Arc<Self> {
            Arc::new(Numbers(samples, AtomicU64::new(0)))
        }
    }

    impl Source for Numbers {
        fn root(&self) -> PathBuf {
            "numbers".into()
        }

        fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
            for number in 0..self.0 {
                self.1.fetch_add(1, Ordering::Relaxed);
                if listing.push(Path::new(&number.to_string()), None).is_break() {
                    break;
                }
            }
            Ok(())
        }

        fn read(&self, _: &Path, _: Admission) -> ReadFuture {
            panic!("nothing is read")
        }
    }

    fn select(
        source: &Arc<Numbers>,
        subset: Option<&[u64]>,
        split: Option<Split>,
    ) -> Result<Vec<u64>> {
        select_part(source, Part { subset: subset.map(indices), split, ..Part::default() })
    }

    fn indices(indices: &[u64]) -> Subset {
        Subset::new(indices.iter().copied())
    }

    fn select_part(source: &Arc<Numbers>, part: Part) -> Result<Vec<u64>> {
        let selected = Selected::from(Arc::clone(source) as Arc<dyn Source>, part);
        let number = |path: &Path| path.to_str().unwrap().parse().unwrap();
        Ok(list(&*selected)?.into_iter().map(|(path, _)| number(&path)).collect())
    }

    #[test]
    fn a_subset_comes_in_the_order_of_the_source_and_ends_the_walk() {
        let source = Numbers::new(10);
        assert_eq!(select(&source, Some(&[7, 0, 3]), None).unwrap(), [0, 3, 7]);
        assert_eq!(source.1.load(Ordering::Relaxed), 8, "nothing behind the last is looked at");
        assert_eq!(select(&source, Some(&[9]), None).unwrap(), [9]);
    }

    #[test]
    fn an_index_beyond_the_source_is_named() {
        let error = select(&Numbers::new(10), Some(&[3, 12, 10]), None).unwrap_err();
        assert_eq!(error.field(), Some("subset"));
        assert!(error.to_string().starts_with("subset = 12: the source has 10 samples"), "{error}");
    }

    #[test]
    fn a_split_divides_what_the_subset_leaves() {
        let source = Numbers::new(1_000);
        let even: Vec<u64> = (0..1_000).step_by(2).collect();
        let (train, validation) = (Split::train(0.8), Split::validation(0.2));
        let sides =
            [train, validation].map(|side| select(&source, Some(&even), Some(side)).unwrap());
        let mut both = sides.concat();
        both.sort_unstable();
        assert_eq!(both, even);
        assert!((50..150).contains(&sides[1].len()));
    }

    #[test]
    fn a_split_that_leaves_nothing_says_so() {
        let error = select(&Numbers::new(3), None, Some(Split::train(1e-6))).unwrap_err();
        assert_eq!(error.field(), Some("split"));
        assert!(error.to_string().contains("it leaves none of 3 samples"), "{error}");
        assert!(select(&Numbers::new(0), Some(&[1]), Some(Split::train(0.5))).unwrap().is_empty());
    }

    #[test]
    fn a_subset_counts_what_is_skipped_and_a_split_does_not() {
        let source = Numbers::new(100);
        let skip_list = Some(SkipList::new(["3", "./7", "8", "nowhere"]));
        let part = Part { skip_list: skip_list.clone(), ..Part::default() };
        let left: Vec<u64> = (0..100).filter(|number| ![3, 7, 8].contains(number)).collect();
        assert_eq!(select_part(&source, part.clone()).unwrap(), left);
        let of_some = Part { subset: Some(indices(&[2, 3, 9])), ..part.clone() };
        assert_eq!(select_part(&source, of_some).unwrap(), [2, 9]);
        let split = Split::train(0.5);
        let divided = select_part(&source, Part { split: Some(split), ..part }).unwrap();
        let mut whole = select(&source, None, Some(split)).unwrap();
        whole.retain(|number| left.contains(number));
        assert_eq!(divided, whole, "nobody changes sides");
    }

    #[test]
    fn a_skip_list_that_leaves_nothing_says_so() {
        let skip_list = Some(SkipList::new(["0", "1", "2"]));
        let part = Part { skip_list, ..Part::default() };
        let error = select_part(&Numbers::new(3), part).unwrap_err();
        assert_eq!(error.field(), Some("skip_list"));
        assert!(error.to_string().contains("it leaves none of 3 samples"), "{error}");
    }

    #[test]
    fn a_listing_that_is_stopped_is_no_error() {
        let part = Part { subset: Some(Subset::new(0..100)), ..Part::default() };
        let source = Selected::from(Numbers::new(10), part);
        let (index, left) = (Index::new(Arc::default()), Cell::new(3));
        let listed =
            source.list(&mut Listing::new(&index).tap(|_| match left.replace(left.get() - 1) {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }));
        assert!(listed.is_ok());
        assert_eq!(index.progress().listed, 3);
    }
}
