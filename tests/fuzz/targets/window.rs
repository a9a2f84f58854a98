//! See `infeed::fuzzing::window`.
#![cfg_attr(fuzzing, no_main)]

infeed_fuzz::target!(infeed::fuzzing::window);
