//! What the training examples have in common: the pictures that they learn to tell
//! apart, the flags that they take, and the process that their tests kill.

mod arguments;
mod pictures;
mod random;
mod run;

pub use arguments::Common;
pub use pictures::{CLASSES, make};
pub use random::Random;
pub use run::{Finished, Run};
