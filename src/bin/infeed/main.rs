//! The `infeed` command line.
fn main() {}
