//! Batches as `.npy` files with a manifest.
