//! Counts.

use std::sync::atomic::AtomicU64;

/// What has been done so far, for whoever looks.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) loaders: AtomicU64,
    pub(crate) epochs: AtomicU64,
    pub(crate) images: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Memory limits that cannot be kept.
    pub(crate) refused: AtomicU64,
    pub(crate) forgotten: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) resumed: AtomicU64,
}
