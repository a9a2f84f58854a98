//! See `infeed::fuzzing::list`.
#![cfg_attr(fuzzing, no_main)]

infeed_fuzz::target!(infeed::fuzzing::list);
