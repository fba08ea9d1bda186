//! Histories of the whole engine, by the thousand. The scheduler, the runner, the committer, the sweeps, the leases are the
//! real ones; the store, the source, the connector and the time are models ([`crate::store::memory`], `source`, `connector`
//! with `reading` and `words`, tokio's paused time). Everything that is open is decided by one generator, so a seed is a history.
//!
//! `history` lives through one, `settle` heals everything at its end; `port`, `store` and `vault` are where faults come in;
//! `watcher` checks the invariants at each write, `reader` those of the feed. docs/simulation.md says how to read a
//! failure and how to replay it.

mod connector;
mod history;
mod port;
mod reader;
mod reading;
mod replica;
mod settle;
mod source;
mod store;
mod vault;
mod watcher;
mod words;
mod world;

use std::sync::Arc;

use crate::chance;
use world::World;

/// How many histories each of the tests below lives through, unless `SIMULATION_SEEDS` says how many all of them do.
const SEEDS_OF_EACH: u64 = 500;
/// So many tests share the seeds, so that they run on several cores.
const PARTS: u64 = 4;
/// Lines of the trace that are shown of a history that was not asked for by its seed.
const LAST_LINES: usize = 120;

/// Lives through the history of a seed.
fn live(seed: u64) -> Arc<World> {
    chance::seed(Some(seed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without drivers can always be made");
    let world = runtime.block_on(history::History::live(seed));
    drop(runtime);
    chance::seed(None);
    world
}

/// Lives through a history, and fails with its trace where something in it was wrong.
fn check(seed: u64, all: bool) {
    let world = live(seed);
    let Some(wrong) = world.wrong() else { return };
    let lines = world.lines();
    let from = if all { 0 } else { lines.len().saturating_sub(LAST_LINES) };
    for line in &lines[from..] {
        eprintln!("{line}");
    }
    panic!(
        "seed {seed}: {wrong}\nreplay it with: SIMULATION_SEED={seed} cargo test -p connectord --lib simulation -- \
         --nocapture"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn check_part(part: u64) {
    if number("SIMULATION_SEED").is_some() {
        return;
    }
    let first = number("SIMULATION_FIRST_SEED").unwrap_or(0);
    let seeds = number("SIMULATION_SEEDS").map_or(SEEDS_OF_EACH, |all| all.div_ceil(PARTS));
    for seed in 0..seeds {
        check(first + seed * PARTS + part, false);
    }
}

#[test]
fn histories_keep_every_invariant_1() {
    check_part(0);
}

#[test]
fn histories_keep_every_invariant_2() {
    check_part(1);
}

#[test]
fn histories_keep_every_invariant_3() {
    check_part(2);
}

#[test]
fn histories_keep_every_invariant_4() {
    check_part(3);
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..12 {
        let (first, second) = (live(seed), live(seed));
        if first.hash() != second.hash() {
            let (first, second) = (first.lines(), second.lines());
            let place =
                first.iter().zip(&second).position(|(a, b)| a != b).unwrap_or(first.len().min(second.len()));
            let around = place.saturating_sub(5)..place + 3;
            let show = |lines: &[String]| {
                lines.get(around.start..around.end.min(lines.len())).map(|lines| lines.join("\n"))
            };
            panic!("seed {seed} is two histories:\n{:?}\n-- and --\n{:?}", show(&first), show(&second));
        }
    }
}

#[test]
fn the_history_that_was_asked_for() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let world = live(seed);
        if world.wrong().is_none() {
            world.lines().iter().for_each(|line| eprintln!("{line}"));
        }
        check(seed, true);
    }
}
