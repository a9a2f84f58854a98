//! The read stage's queue, budget and permits under many schedules.

mod budget;
mod granter;
mod handoff;
mod permits;
