//! One kill: everything that happens in the process of a stage.

use crate::arena;
use crate::log::{self, CHUNK, Entry};
use crate::process;
use crate::scenario::{Death, Scenario};
use crate::shared::Shared;
use crate::stepper::{self, Victim, WhenAsleep};
use crate::trace::{Met, Position, Trace, Way};

/// What a stage is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// To write down the victim's instructions. Then it is killed behind the last one.
    Record,
    /// To kill it at the end of this way.
    Kill { way: Way, before: bool },
    /// To kill it at this position if it comes there by all positions before it, and else [nowhere](Position::NOWHERE).
    KillAlong { trace: &'a Trace, number: usize },
}

/// A stage, as the scenario playing on it sees it.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "in the signatures of what is public")]
pub struct Stage<'a> {
    purpose: Purpose<'a>,
}

/// No operation is longer than this; one that is loops.
const LONGEST: usize = 200_000;

/// Plays a scenario once, in a process that ends with it.
///
/// From the start of a page of the stack on, because what the C library does with a place depends on its alignment.
pub(crate) fn play(scenario: &Scenario, purpose: Purpose<'_>) -> ! {
    let part = (scenario, purpose);
    // SAFETY: `play_aligned` takes such a pointer, and `part` outlives it, because it does not return.
    unsafe { on_a_page(&raw const part, play_aligned) }
}

type Part<'a> = (&'a Scenario, Purpose<'a>);

/// Calls `body(part)` with the stack pointer moved down to the start of a page.
#[unsafe(naked)]
unsafe extern "C" fn on_a_page(part: *const Part<'_>, body: unsafe extern "C" fn(*const Part<'_>) -> !) -> ! {
    core::arch::naked_asm!("and rsp, -4096", "call rsi", "ud2")
}

unsafe extern "C" fn play_aligned(part: *const Part<'_>) -> ! {
    // SAFETY: `play` hands it over for as long as this runs.
    let &(scenario, purpose) = unsafe { &*part };
    arena::enter_stage();
    let limit = 3 * process::patience().as_secs() as u32;
    // SAFETY: no memory is involved. The default action of the signal is to end the process.
    unsafe { libc::alarm(limit) };
    scenario.play(&mut Stage { purpose });
    process::exit(0)
}

fn doing(what: &str) {
    log::write(&Entry::Doing(what.to_owned()));
}

impl Stage<'_> {
    pub(crate) fn setup<S>(&self, setup: impl Fn() -> S) -> S {
        doing("setting up");
        setup()
    }

    /// Starts the victim, kills it where the purpose says, and gives the state back to the survivor.
    pub(crate) fn kill<S>(
        &self,
        mut state: S,
        victim: &impl Fn(S),
        partner: Option<&impl Fn(&mut S)>,
    ) -> (S, Death) {
        doing("getting the victim ready");
        // The child has a copy of the state of its own, as after any fork.
        // SAFETY: read once in each of two processes, so no value is used twice in one.
        let victim = Victim::start(|| victim(unsafe { core::ptr::read(&state) }));
        doing("waiting for the victim");
        let mut wake = || partner.into_iter().for_each(|partner| partner(&mut state));
        let when_asleep: WhenAsleep<'_> = if partner.is_some() { Some(&mut wake) } else { None };
        let (at, before) = match self.purpose {
            Purpose::Record => (record(&victim, when_asleep), false),
            Purpose::Kill { way, before } => (victim.follow(way, when_asleep), before),
            Purpose::KillAlong { trace, number } => (victim.follow_exactly(trace, number), number == 0),
        };
        let after = at.address == stepper::end_address();
        victim.kill();
        log::write(&Entry::Killed(at));
        doing("asking the survivor");
        (state, Death { before, after })
    }

    pub(crate) fn survived(&self, effect: u64) {
        log::write(&Entry::Intact(effect));
    }
}

/// After so many repetitions of one instruction the rest are not looked at singly.
const FEW: usize = 64;

/// Steps from marker to marker, and looks what others can see of it.
fn record(victim: &Victim, mut when_asleep: WhenAsleep<'_>) -> Position {
    let mut positions = Vec::with_capacity(CHUNK);
    let mut steps = 0;
    let mut shared = Shared::default();
    shared.look_anew(victim.pid());
    let mut is_news = true;
    let mut repeats = 0_usize;
    let mut say = |position, is_news: bool, last: bool| {
        positions.push(Met { position, is_news });
        if last || positions.len() == CHUNK {
            log::write(&Entry::Trace(std::mem::take(&mut positions)));
        }
    };
    while !victim.is_done() {
        let address = victim.address();
        say(Position { address, asleep: false }, is_news, false);
        let enters_kernel = victim.enters_kernel();
        let mut slept = false;
        match &mut when_asleep {
            None => victim.step(None),
            Some(wake) => victim.step(Some(&mut || {
                slept = true;
                wake();
            })),
        };
        if slept {
            say(Position { address, asleep: true }, true, false);
        }
        // An instruction that repeats itself, as a copy does, is looked after a few times only, and at its end.
        repeats = if victim.address() == address { repeats + 1 } else { 0 };
        let looks = repeats == 0 || repeats.is_power_of_two();
        is_news = enters_kernel || looks && shared.has_changed(victim.pid());
        if enters_kernel {
            shared.look_anew(victim.pid());
        }
        // The rest of a long copy in one go: as many positions as it would be steps.
        if repeats == FEW
            && let Some(rest) = victim.finish_repeating()
        {
            (0..rest).for_each(|_| say(Position { address, asleep: false }, false, false));
            is_news = shared.has_changed(victim.pid());
            repeats = 0;
        }
        steps += 1;
        assert!(steps < LONGEST, "the operation does not end");
    }
    let last = Position { address: victim.address(), asleep: false };
    say(last, true, true);
    last
}
