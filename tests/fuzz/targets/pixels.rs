//! See `infeed::fuzzing::pixels`.
#![cfg_attr(fuzzing, no_main)]

infeed_fuzz::target!(infeed::fuzzing::pixels);
