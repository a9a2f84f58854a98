//! How a source tells which samples it has.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Index, Source};
use crate::error::{Error, Result};
use crate::fence::fence;

/// One sample as a source tells it to a [`Listing`].
///
/// ```
/// use std::path::Path;
/// use infeed::source::Listed;
///
/// let sample = Listed::new(Path::new("cats/0.jpg")).label(3).target(&[0.5, 0.25]);
/// assert_eq!((sample.label, sample.target.len(), sample.bytes), (Some(3), 2, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Listed<'a> {
    /// Names it in errors and to [`Source::read`]; relative to the source's
    /// root.
    pub path: &'a Path,
    /// The number of its class.
    pub label: Option<u32>,
    /// What is to be predicted for it, `[k]`; empty where there is nothing. All
    /// samples of a source have targets of one length.
    pub target: &'a [f32],
    /// Encoded bytes, where listing them costs nothing.
    pub bytes: Option<u64>,
}

impl<'a> Listed<'a> {
    /// A sample of which only the path is known.
    #[must_use]
    pub fn new(path: &'a Path) -> Self {
        Listed { path, label: None, target: &[], bytes: None }
    }

    /// The same with the number of its class.
    #[must_use]
    pub fn label(mut self, label: impl Into<Option<u32>>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with a target.
    #[must_use]
    pub fn target(mut self, target: &'a [f32]) -> Self {
        self.target = target;
        self
    }

    /// The same with its size.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.bytes = bytes.into();
        self
    }
}

/// Takes what [`Source::list`] finds.
pub struct Listing<'a> {
    index: &'a Index,
    /// In place of the index, for a source that wraps another.
    each: Option<Box<Each<'a>>>,
}

type Each<'a> = dyn FnMut(Listed<'_>) -> ControlFlow<()> + 'a;

impl fmt::Debug for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("listed", &self.index.progress().listed).finish()
    }
}

impl<'a> Listing<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Listing { index, each: None }
    }

    /// A listing for a source that wraps another: `each` sees every sample of
    /// that one, and adds to this listing what it likes.
    ///
    /// ```
    /// # use infeed::source::{Admission, Listing, ReadFuture, Source};
    /// use std::ops::ControlFlow;
    ///
    /// /// The samples of another source that have a class.
    /// struct Labelled<S>(S);
    ///
    /// impl<S: Source> Source for Labelled<S> {
    ///     fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
    ///         self.0.list(&mut listing.wrap(|listing, sample| match sample.label {
    ///             Some(_) => listing.push_sample(sample),
    ///             None => ControlFlow::Continue(()),
    ///         }))
    ///     }
    ///     // ... and the rest as the other source has it
    /// #   fn root(&self) -> std::path::PathBuf { self.0.root() }
    /// #   fn read(&self, path: &std::path::Path, admission: Admission) -> ReadFuture {
    /// #       self.0.read(path, admission)
    /// #   }
    /// }
    /// ```
    pub fn wrap<'b>(
        &'b mut self,
        mut each: impl FnMut(&mut Listing<'a>, Listed<'_>) -> ControlFlow<()> + 'b,
    ) -> Listing<'b> {
        let index = self.index;
        Listing { index, each: Some(Box::new(move |sample| each(self, sample))) }
    }

    /// The same listing, for a source that wraps another: `tap` sees each
    /// sample before it is added, and ends the listing without it by
    /// [`ControlFlow::Break`].
    ///
    /// ```
    /// # use infeed::source::{Admission, Listing, ReadFuture, Source};
    /// use std::ops::ControlFlow;
    ///
    /// /// The first so many samples of another source.
    /// struct First<S>(usize, S);
    ///
    /// impl<S: Source> Source for First<S> {
    ///     fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
    ///         let mut left = self.0;
    ///         self.1.list(&mut listing.tap(|_| match left {
    ///             0 => ControlFlow::Break(()),
    ///             _ => {
    ///                 left -= 1;
    ///                 ControlFlow::Continue(())
    ///             }
    ///         }))
    ///     }
    ///     // ... and the rest as the other source has it
    /// #   fn root(&self) -> std::path::PathBuf { self.1.root() }
    /// #   fn read(&self, path: &std::path::Path, admission: Admission) -> ReadFuture {
    /// #       self.1.read(path, admission)
    /// #   }
    /// }
    /// ```
    pub fn tap<'b>(
        &'b mut self,
        mut tap: impl FnMut(&Listed<'_>) -> ControlFlow<()> + 'b,
    ) -> Listing<'b> {
        self.wrap(move |listing, sample| {
            tap(&sample)?;
            listing.push_sample(sample)
        })
    }

    /// The names of the classes, if the source has any, in the order of their
    /// numbers. To be told before the first sample.
    pub fn classes(&mut self, names: Vec<String>) {
        self.index.set_classes(names);
    }

    /// Adds the next sample. `path` names it in errors and to
    /// [`Source::read`]; it is relative to the source's root. `label` is the
    /// number of its class. [`ControlFlow::Break`] asks to stop listing.
    pub fn push(&mut self, path: &Path, label: Option<u32>) -> ControlFlow<()> {
        self.push_sample(Listed::new(path).label(label))
    }

    /// The same with all that can be told of a sample. A target that is not as
    /// long as the first sample's ends the listing with an error.
    pub fn push_sample(&mut self, sample: Listed<'_>) -> ControlFlow<()> {
        match &mut self.each {
            Some(each) => each(sample),
            None => self.index.push(&sample),
        }
    }
}

/// A source listed to its end on the thread that asks; `each` is told how many
/// samples there are so far, and ends the listing by [`ControlFlow::Break`].
pub(crate) fn indexed(
    source: &dyn Source,
    mut each: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<(Arc<Index>, u64)> {
    let index = Index::new(Arc::default());
    let mut listed = 0;
    let told = fence(|| {
        source.list(&mut Listing::new(&index).tap(|_| {
            each(listed)?;
            listed += 1;
            ControlFlow::Continue(())
        }))
    });
    index.finish(told.unwrap_or_else(|panic| {
        Err(Error::lost(format!("listing {} failed: {panic}", source.root().display())))
    }));
    let samples = index.wait_for_end()?;
    Ok((index, samples))
}

/// All samples of a source, listed at once: their paths relative to its root,
/// in its order, with their labels.
///
/// ```
/// # let photos = infeed::doc::photos();
/// let samples = infeed::source::list(&infeed::Folder::new(photos.as_ref()))?;
/// assert_eq!(samples[0].0, std::path::Path::new("cats/0.ppm"));
/// # Ok::<(), infeed::Error>(())
/// ```
///
/// # Errors
///
/// As [`Source::list`].
pub fn list(source: &dyn Source) -> Result<Vec<(PathBuf, Option<u32>)>> {
    let mut samples = Vec::new();
    let index = Index::new(Arc::default());
    let listed = source.list(&mut Listing::new(&index).tap(|sample| {
        samples.push((sample.path.to_owned(), sample.label));
        ControlFlow::Continue(())
    }));
    index.finish(listed);
    index.error().map_or(Ok(samples), Err)
}
