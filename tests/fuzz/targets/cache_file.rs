//! See `infeed::fuzzing::cache_file`.
#![cfg_attr(fuzzing, no_main)]

infeed_fuzz::target!(infeed::fuzzing::cache_file);
