//! From the states that were saved to what is left of an epoch, or why that
//! cannot be said.

use super::state::{VERSION, sampling_words};
use super::{Changed, Resume, State, listing};
use crate::config::{LastBatch, MOST_IN_A_BATCH, Order, Resolved};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::plan::{Begun, Plan, Remaining};
use crate::source::Index;

/// What is left, by `resume`, for the loader of this configuration over the
/// source that `index` lists to its end.
pub(crate) fn begun(
    resume: &Resume,
    config: &Resolved,
    plan: &Plan,
    index: &Index,
) -> Result<Begun> {
    let states = &resume.states;
    let Some(first) = states.first() else {
        return Err(Error::resume("there is no state to go on from"));
    };
    agree(states, config)?;
    let epoch = states.iter().map(|state| state.epoch).max().unwrap_or(first.epoch);
    let over = states.iter().all(|state| state.ended && state.epoch == epoch);
    if let Some(difference) = changed(first, index, plan) {
        let Some(changed) = resume.changed else {
            let listed = resume.listing.as_ref().map(|file| listing::difference(index, file));
            let difference = match listed {
                Some(Ok(named)) => named,
                Some(Err(error)) => format!("{difference} (the saved listing: {error})"),
                None => difference,
            };
            return Err(Error::resume(format!(
                "the source has changed since the state was saved: {difference}. Bring it back to \
                 what it was, or say with allow_changed how to go on"
            )));
        };
        let next = match changed {
            // What has ended is not begun again.
            Changed::RestartEpoch if !over => epoch,
            Changed::RestartEpoch | Changed::NextEpoch => epoch + 1,
        };
        tracing::warn!(
            "the source has changed since the state was saved: {difference}; epoch {next} begins \
             with the samples that there are now"
        );
        return Ok(whole(next));
    }
    let positions = plan.positions(index.progress().listed);
    possible(states, positions)?;
    if over {
        let own = states.iter().find(|state| state.shard == config.shard);
        let of_others = || Begun { digest: of_all_digests(states, epoch, config), ..whole(epoch) };
        let own = own.map_or_else(of_others, |own| continued(own, config));
        return Ok(Begun { positions: Remaining::default(), turns: Remaining::nothing(), ..own });
    }
    // A rank may have ended the epoch before, and not begun this one.
    if states.iter().any(|state| state.epoch + u64::from(state.ended) < epoch) {
        return Err(Error::resume(
            "the states are of several epochs. Give those that the ranks saved at the same time",
        ));
    }
    left(states, epoch, config, plan, positions)
}

/// The whole of an epoch.
fn whole(epoch: u64) -> Begun {
    Begun { epoch, ..Begun::default() }
}

/// What a rank has left of the epoch in which it stood.
fn continued(state: &State, config: &Resolved) -> Begun {
    Begun {
        epoch: state.epoch,
        positions: state.positions.clone(),
        turns: state.turns.clone(),
        batches: state.batches,
        failed: state.failed,
        batched_from: match state.batch_size == config.batch_size {
            true => state.batched_from,
            false => state.turns.taken(),
        },
        unordered: state.order == Order::Unordered,
        digest: state.digest,
        until: None,
    }
}

/// Refuses states of another order than this loader's, or each other's.
fn agree(states: &[State], config: &Resolved) -> Result<()> {
    let sampling = sampling_words(config);
    for state in states {
        if state.version != VERSION {
            let version = state.version;
            return Err(Error::resume(format!(
                "the state is of version {version}, and this infeed reads {VERSION}. Use the \
                 infeed that saved it"
            )));
        }
        if let Err(reason) = state.shard.check() {
            return Err(Error::resume(format!("the state's shard is {}: {reason}", state.shard)));
        }
        if state.epoch == u64::MAX {
            return Err(Error::resume(format!(
                "the state is of epoch {}: it is damaged. Give one as it was saved",
                state.epoch
            )));
        }
        if state.seed != config.seed {
            return Err(other("seed", &state.seed, &config.seed));
        }
        if state.sampling != sampling {
            return Err(other("sampling", &state.sampling, &sampling));
        }
        let (first, one) = (&states[0], |what| {
            Error::resume(format!("the states are of several {what}. Give those of one run"))
        });
        if (state.source, state.weights) != (first.source, first.weights) {
            return Err(one("sources"));
        }
        if state.shard.world != first.shard.world {
            return Err(one("numbers of ranks"));
        }
        // One that had nothing left when the others went on in another order has the state
        // that it had.
        let goes_on = |other: &&State| other.epoch == state.epoch && !other.ended;
        let beside = states.iter().find(|other| other.epoch == state.epoch);
        let other_order = |other: &State| !state.ended && other.order != state.order;
        if beside.is_some_and(|other| other.positions != state.positions)
            || states.iter().find(goes_on).is_some_and(other_order)
        {
            return Err(one("runs"));
        }
        if states.iter().filter(|other| other.shard.rank == state.shard.rank).count() > 1 {
            let rank = state.shard.rank;
            return Err(Error::resume(format!("rank {rank} has two states. Give one a rank")));
        }
    }
    Ok(())
}

fn other(what: &str, saved: &dyn std::fmt::Display, now: &dyn std::fmt::Display) -> Error {
    Error::resume(format!(
        "the state was saved with {what} = {saved}, and this loader has {now}: the order would be \
         another. Use the same"
    ))
}

/// Refuses numbers that no run can have come to: those of a file that was changed by
/// hand, or damaged.
fn possible(states: &[State], positions: u64) -> Result<()> {
    for state in states {
        let world = u64::from(state.shard.world);
        // Padding fills up the ranks, and the last batch of each, whatever size it once had.
        let padded = (MOST_IN_A_BATCH as u64 + 1) * world;
        let end = positions.saturating_add(padded);
        let stands = state.turns.mark().saturating_mul(world);
        // A batch has a sample at least, failed or not; and each attempt at a sample that
        // fails is a failure.
        let failed = state.failed / (u64::from(u32::MAX) + 1);
        let counted = state.batches.max(failed).max(state.digest.samples());
        let most = stands.max(state.positions.mark()).max(counted);
        if most > end || state.batched_from > state.turns.taken() {
            return Err(Error::resume(format!(
                "the state stands at sample {most} of {positions} in epoch {}: it is damaged. Give \
                 one as it was saved",
                state.epoch
            )));
        }
    }
    Ok(())
}

/// How the source differs from what it was when `state` was saved, in words and
/// counts; `None` where it does not.
fn changed(state: &State, index: &Index, plan: &Plan) -> Option<String> {
    let (saved, now) = (state.source, index.print());
    let same = match saved.complete {
        true => now == saved,
        // Saved during the walk, it speaks of the first samples alone.
        false => index.checkpoint() == Some(saved.hash),
    };
    if same && state.weights == plan.weights_hash().unwrap_or_default() {
        return None;
    }
    if same {
        return Some("its samples have other weights, by other classes".to_owned());
    }
    let (then, now) = (saved.samples, now.samples);
    let at_least = if saved.complete { "" } else { "at least " };
    Some(match then == now {
        true => format!("it has {now} samples as before, but others, or in another order"),
        false => format!("it had {at_least}{then} samples and has {now}"),
    })
}

/// What is left of the epoch, by states that agree; it has so many `positions`.
fn left(
    states: &[State],
    epoch: u64,
    config: &Resolved,
    plan: &Plan,
    positions: u64,
) -> Result<Begun> {
    let (first, shard) = (&states[0], config.shard);
    let of_rank = states.iter().find(|state| state.shard == shard);
    let same_world = first.shard.world == shard.world;
    let all = states.len() == first.shard.world as usize;
    match (same_world, of_rank) {
        // A rank that has ended the epoch before has not begun this one.
        (true, Some(own)) if own.epoch != epoch => return Ok(whole(epoch)),
        (true, Some(own)) => {
            let turns = plan.shared(own.positions.count(positions));
            let padded = config.last_batch == LastBatch::Pad || own.turns.mark() > turns;
            if padded && own.order == Order::Unordered && own.batch_size != config.batch_size {
                return Err(Error::resume(format!(
                    "the epoch went on unordered in batches of {}, and what fills up the last one \
                     may have come already. Use that batch size until the epoch's end",
                    own.batch_size
                )));
            }
            return Ok(continued(own, config));
        }
        (true, None) if states.len() == 1 && first.order == Order::Ordered => {
            let (failed, digest) = Default::default();
            return Ok(Begun { failed, digest, ..continued(first, config) });
        }
        (true, None) => {
            return Err(Error::resume(format!(
                "there is no state of rank {}. Give every rank its own, or all of them",
                shard.rank
            )));
        }
        (false, _) => {}
    }
    if all {
        let digest = of_all_digests(states, epoch, config);
        let positions = of_all(states, epoch, positions);
        return Ok(Begun { epoch, positions, digest, ..Begun::default() });
    }
    if states.len() == 1 && first.order == Order::Ordered {
        let consumed = first.turns.mark() * u64::from(first.shard.world);
        let consumed = consumed.min(first.positions.count(positions));
        let positions = first.positions.advanced(consumed);
        return Ok(Begun { epoch, positions, ..Begun::default() });
    }
    let have: Vec<String> = states.iter().map(|state| state.shard.rank.to_string()).collect();
    Err(Error::resume(format!(
        "{} ranks saved states, and {} go on: give the states of all {}, or ordered the one of a \
         rank where all stood at the same batch; these are of rank {}",
        first.shard.world,
        shard.world,
        first.shard.world,
        have.join(", ")
    )))
}

/// What other ranks had delivered of the epoch, which the first of the new ones tells.
fn of_all_digests(states: &[State], epoch: u64, config: &Resolved) -> Digest {
    // A rank that has not begun the epoch tells of the one before.
    let began = states.iter().filter(|state| state.epoch == epoch && config.shard.rank == 0);
    Digest::combined(began.map(|state| state.digest))
}

/// The positions that none of the ranks has consumed.
fn of_all(states: &[State], epoch: u64, end: u64) -> Remaining {
    let world = states.len() as u64;
    // Where one has begun the epoch and another has not, that one's positions
    // are what was left for all.
    let began = states.iter().find(|state| state.epoch == epoch).unwrap_or(&states[0]);
    let positions = &began.positions;
    let fresh = Remaining::default();
    let turns =
        |state: &'_ State| if state.epoch == epoch { state.turns.clone() } else { fresh.clone() };
    let furthest = states.iter().map(|state| turns(state).mark()).max().unwrap_or(0);
    let left = positions.count(end);
    let mut missing = Vec::new();
    for state in states {
        let turns = turns(state);
        let behind = turns.missing().iter().copied().chain(turns.mark()..furthest);
        let places = behind.map(|turn| turn * world + u64::from(state.shard.rank));
        missing.extend(places.filter(|&place| place < left).map(|place| positions.at(place)));
    }
    missing.sort_unstable();
    let rest = positions.advanced((furthest * world).min(left));
    missing.extend_from_slice(rest.missing());
    Remaining::new(rest.mark(), missing)
}
