//! See `infeed::fuzzing::state`.
#![cfg_attr(fuzzing, no_main)]

infeed_fuzz::target!(infeed::fuzzing::state);
