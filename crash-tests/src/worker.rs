//! All kills of a scenario, in one process on one processor.

use crate::log::{self, Entry};
use crate::process;
use crate::scenario::Scenario;
use crate::stage::{self, Purpose};
use crate::symbols::Symbols;
use crate::trace::{Met, Position, Trace, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// What was found out about a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Instructions of the operation.
    pub instructions: usize,
    /// Times it fell asleep.
    pub sleeps: usize,
    /// Kills.
    pub kills: usize,
    /// Kills at another instruction than planned, and not tried again.
    pub astray: usize,
    /// Different instructions that were recorded and never met again.
    pub missed: usize,
    /// The first instructions behind which more of the operation had taken effect.
    pub effects: Vec<usize>,
    /// What must not be, each told in full.
    pub violations: Vec<String>,
    /// Why the scenario itself is no good.
    pub trouble: Option<String>,
}

/// How much is done for a scenario.
#[derive(Debug, Clone, Copy, Default)]
pub struct Thoroughness {
    /// Nothing more once something is wrong.
    pub stop_at_first: bool,
    /// Kills at all instructions of long operations too.
    pub at_every_one: bool,
}

/// Violations after which a scenario is given up.
const ENOUGH: usize = 5;
/// An operation of fewer instructions was not called.
const FEWEST: usize = 10;
/// Tries to kill at the planned instruction.
const TRIES: usize = 4;
/// Tries to kill at an instruction that all those did not meet.
const MORE_TRIES: usize = 30;
/// Recordings made until two in a row are alike, or to see what is rare.
const RECORDINGS: usize = 20;
/// Recordings of an operation with a short cut at most: fewer if one of them has clearly taken it.
const RECORDINGS_OF_SHORT_CUTS: usize = 100;
/// Recordings of a long operation at most, for the same reason.
const RECORDINGS_OF_LONG_ONES: usize = 4;

/// Functions that are told of a long operation.
const MOST_PLACES: usize = 15;

/// The worker of one scenario.
#[derive(Debug)]
pub struct Worker<'a> {
    scenario: &'a Scenario,
    place: PathBuf,
}

/// What a stage brought.
#[derive(Debug, Default)]
struct Played {
    trace: Vec<Met>,
    killed: Option<Position>,
    effect: u64,
    violation: Option<String>,
}

impl<'a> Worker<'a> {
    /// Makes this process, which has one thread, the worker of `scenario`, with an empty directory for names.
    ///
    /// # Errors
    /// If that cannot be made.
    pub fn new(scenario: &'a Scenario) -> std::io::Result<Self> {
        let place = place_of(std::process::id());
        std::fs::DirBuilder::new().mode(0o700).create(&place)?;
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var(process::PLACE, &place) };
        Ok(Worker { scenario, place })
    }

    /// Kills the victim at every position. `progress` is told how many kills were made.
    pub fn kill_everywhere(&self, thoroughness: Thoroughness, mut progress: impl FnMut(usize)) -> Outcome {
        let trace = match self.record() {
            Ok(trace) => trace,
            Err(why) => return Outcome { trouble: Some(why), ..Outcome::default() },
        };
        let sleeps = trace.positions().iter().filter(|position| position.asleep).count();
        let instructions = trace.last() - sleeps;
        let mut outcome = Outcome { sleeps, instructions, ..Outcome::default() };
        let enough = if thoroughness.stop_at_first { 1 } else { ENOUGH };
        let chosen = trace.choose(thoroughness.at_every_one);
        let mut missed = positions_to_meet(&trace, &chosen);
        let different = missed.len();
        let mut most = 0;
        for number in chosen {
            let played = self.kill_at(&trace, number, most);
            outcome.kills += 1;
            progress(outcome.kills);
            missed.remove(&played.killed.unwrap_or(Position::NOWHERE));
            let at_plan = played.killed == Some(trace.position(number));
            outcome.astray += usize::from(!at_plan);
            let mut violation = played.violation;
            if violation.is_none() && at_plan && !self.scenario.is_in_company() {
                violation = out_of_order(number, played.effect, most);
                if let (Some(_), Some(&earlier)) = (&violation, outcome.effects.last())
                    && !trace.sleeps_before(number)
                {
                    (most, violation) = self.compare(&trace, earlier, number);
                    outcome.astray += usize::from(violation.is_none());
                } else if played.effect > most {
                    outcome.effects.push(number);
                    most = played.effect;
                }
            }
            if let Some(text) = violation {
                outcome.violations.push(self.tell(&trace, number, played.killed, &text));
            }
            if outcome.violations.len() == enough {
                return outcome;
            }
        }
        self.meet(&trace, &mut missed, &mut outcome);
        outcome.missed = missed.len();
        if !missed.is_empty() && !self.scenario.is_in_company() {
            self.forget_rare_ones(&mut missed);
            self.meet(&trace, &mut missed, &mut outcome);
        }
        // Beside others it is a matter of luck which way the recorded run went; but not all of it.
        let too_many = if self.scenario.is_in_company() { different / 2 } else { 0 };
        if instructions < FEWEST {
            outcome.trouble = Some(format!("its operation has {instructions} instructions only"));
        } else if missed.len() > too_many {
            let symbols = Symbols::load();
            let some: Vec<_> = missed.iter().take(3).map(|at| symbols.tell(at.address)).collect();
            let (count, some) = (missed.len(), some.join("\n    "));
            outcome.trouble =
                Some(format!("{count} of its instructions were never killed at, as\n    {some}"));
        }
        outcome
    }

    /// How much has taken effect at an earlier position for certain, and whether it is less at a later one. The clock may
    /// send a victim another way to the same instruction, so here only those count that came by all the recorded ones.
    fn compare(&self, trace: &Trace, earlier: usize, later: usize) -> (u64, Option<String>) {
        let come_to = |number| {
            let play = |_| self.play(Purpose::KillAlong { trace, number });
            let there = Some(trace.position(number));
            (0..MORE_TRIES).map(play).find(|played| played.violation.is_some() || played.killed == there)
        };
        let Some(before) = come_to(earlier) else { return (0, None) };
        let violation = match come_to(later) {
            Some(here) => here.violation.or_else(|| out_of_order(later, here.effect, before.effect)),
            None => None,
        };
        (before.effect, before.violation.or(violation))
    }

    /// Kills at those instructions where some runs go and others do not.
    fn meet(&self, trace: &Trace, missed: &mut BTreeSet<Position>, outcome: &mut Outcome) {
        let tries = if self.scenario.is_in_company() { TRIES } else { MORE_TRIES };
        for position in missed.clone() {
            for _ in 0..tries {
                let played = self.play(Purpose::Kill { way: Way::to_first(position), before: false });
                outcome.kills += 1;
                if let Some(text) = played.violation {
                    outcome.violations.push(self.tell(trace, trace.last(), played.killed, &text));
                }
                if outcome.violations.len() >= ENOUGH {
                    return;
                }
                if played.killed == Some(position) {
                    missed.remove(&position);
                    break;
                }
            }
        }
    }

    /// Forgets those that no other recording has: what went that way once did so by chance.
    fn forget_rare_ones(&self, missed: &mut BTreeSet<Position>) {
        let again: Vec<_> = (0..RECORDINGS).filter_map(|_| self.record_once().ok()).collect();
        missed.retain(|position| again.iter().any(|trace| trace.positions().contains(position)));
    }

    /// Kills the victim at one position, and tells all about it.
    ///
    /// # Errors
    /// If there is no such position, or no trace.
    pub fn kill_once(&self, number: usize) -> Result<(String, Outcome), String> {
        let trace = self.record()?;
        if number > trace.last() {
            return Err(format!("the operation ends at {}", trace.last()));
        }
        let symbols = Symbols::load();
        let mut text = String::new();
        for around in number.saturating_sub(5)..=(number + 5).min(trace.last()) {
            let position = trace.position(around);
            let here = if around == number { "=>" } else { "  " };
            let asleep = if position.asleep { " (asleep)" } else { "" };
            let _ = writeln!(text, "{here} {around:>6}  {}{asleep}", symbols.tell(position.address));
        }
        let played = self.kill_at(&trace, number, 0);
        let _ = match played.killed {
            Some(at) if at == trace.position(number) => writeln!(text, "killed there"),
            Some(at) => writeln!(text, "killed at {}", symbols.tell(at.address)),
            None => writeln!(text, "not killed"),
        };
        let _ = match &played.violation {
            None => writeln!(text, "the survivor found everything in order; effect {}", played.effect),
            Some(violation) => writeln!(text, "{violation}"),
        };
        let violations = played.violation.into_iter().collect();
        Ok((text, Outcome { kills: 1, instructions: trace.last(), violations, ..Outcome::default() }))
    }

    /// Counts the operation's instructions; if `places` are wanted, also those of the functions that have most.
    ///
    /// # Errors
    /// If there is no trace.
    pub fn count(&self, places: bool) -> Result<(usize, Vec<(usize, String)>), String> {
        let trace = self.record()?;
        let mut by_place = BTreeMap::new();
        if places {
            let mut by_address = BTreeMap::new();
            for position in trace.positions() {
                *by_address.entry(position.address).or_insert(0) += 1;
            }
            let addresses: Vec<u64> = by_address.keys().copied().collect();
            for (function, count) in
                Symbols::load().functions(&addresses).into_iter().zip(by_address.values())
            {
                *by_place.entry(function).or_insert(0) += count;
            }
        }
        let mut most: Vec<(usize, String)> =
            by_place.into_iter().map(|(place, count)| (count, place)).collect();
        most.sort_unstable_by(|one, other| other.cmp(one));
        most.truncate(MOST_PLACES);
        Ok((trace.last(), most))
    }

    fn record(&self) -> Result<Trace, String> {
        if self.scenario.has_short_cut() {
            return self.record_short_cut();
        }
        let mut last = self.record_once()?;
        for number in 2..=RECORDINGS {
            let trace = self.record_once()?;
            // No two of a long one are alike for long.
            if trace.is_alike(&last) || trace.is_long() && number >= RECORDINGS_OF_LONG_ONES {
                return Ok(trace);
            }
            last = trace;
        }
        Ok(last)
    }

    /// The shortest of many. A recording is slow, so the short cut may be closed nearly always when it gets there.
    fn record_short_cut(&self) -> Result<Trace, String> {
        let mut best = self.record_once()?;
        let mut longest = best.last();
        for number in 2..=RECORDINGS_OF_SHORT_CUTS {
            let trace = self.record_once()?;
            longest = longest.max(trace.last());
            if trace.last() < best.last() {
                best = trace;
            }
            if number >= RECORDINGS && best.last() < longest / 4 * 3 {
                break;
            }
        }
        Ok(best)
    }

    fn record_once(&self) -> Result<Trace, String> {
        let played = self.play(Purpose::Record);
        match played.violation {
            Some(violation) => Err(format!("without a kill: {violation}")),
            None => Ok(Trace::new(&played.trace, &Symbols::kernel_code())),
        }
    }

    /// Kills at a position: again if it was another one, and again if another effect was found there than before,
    /// because that counts only if two kills agree.
    fn kill_at(&self, trace: &Trace, number: usize, effect_before: u64) -> Played {
        let purpose = Purpose::Kill { way: trace.way(number), before: number == 0 };
        let mut last: Option<Played> = None;
        for _ in 0..TRIES {
            let played = self.play(purpose);
            let at_plan = played.killed == Some(trace.position(number));
            let agreed = last.as_ref().is_some_and(|last| last.effect == played.effect);
            let expected = played.effect == effect_before || self.scenario.is_in_company();
            if played.violation.is_some() || at_plan && (expected || agreed) {
                return played;
            }
            last = Some(played);
        }
        last.unwrap_or_default()
    }

    /// Plays the scenario once and looks what is left.
    fn play(&self, purpose: Purpose) -> Played {
        let mut played = Played::default();
        let log = match log::open() {
            Ok(log) => log,
            Err(error) => return Played { violation: Some(format!("no log: {error}")), ..played },
        };
        let pid = process::fork("the survivor", || stage::play(self.scenario, purpose));
        log::close();
        let entries = log::read(log).unwrap_or_default();
        let status = process::wait(pid);
        process::reap_orphans();
        let (mut doing, mut intact) = (String::new(), false);
        for entry in entries {
            match entry {
                Entry::Doing(what) => doing = what,
                Entry::Trace(mut positions) => played.trace.append(&mut positions),
                Entry::Killed(position) => played.killed = Some(position),
                Entry::Violation(text) => played.violation = played.violation.or(Some(text)),
                Entry::Intact(effect) => (played.effect, intact) = (effect, true),
            }
        }
        let left = self.clear();
        let violation = if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM {
            Some(format!("hangs while {doing}"))
        } else if libc::WIFSIGNALED(status) {
            Some(format!("signal {} while {doing}", libc::WTERMSIG(status)))
        } else if !intact {
            Some(format!("the stage ended while {doing}: {status:#x}"))
        } else if left.is_empty() {
            None
        } else {
            Some(format!("left in the directory: {}", left.join(", ")))
        };
        played.violation = played.violation.or(violation);
        played
    }

    /// Empties the directory and says what was in it.
    fn clear(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.place).into_iter().flatten().flatten();
        let left: Vec<_> = entries.map(|entry| entry.path()).collect();
        left.iter().for_each(|path| drop(std::fs::remove_file(path)));
        left.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }

    fn tell(&self, trace: &Trace, number: usize, killed: Option<Position>, violation: &str) -> String {
        let at = killed.unwrap_or_else(|| trace.position(number));
        let asleep = if at.asleep { ", asleep" } else { "" };
        format!(
            "{}: instruction {number} of {}{asleep}\n    {}\n    {violation}",
            self.scenario.name(),
            trace.last(),
            Symbols::load().tell(at.address)
        )
    }
}

/// What is to be killed at. Not in the kernel's code: where that goes depends on the clock.
fn positions_to_meet(trace: &Trace, chosen: &[usize]) -> BTreeSet<Position> {
    let kernel = Symbols::kernel_code();
    let ours = |position: &Position| !kernel.contains(&position.address);
    chosen.iter().map(|&number| trace.position(number)).filter(ours).collect()
}

/// An operation has no effect before it begins, and never less than it had.
fn out_of_order(number: usize, effect: u64, most: u64) -> Option<String> {
    if number == 0 && effect > 0 {
        Some(format!("{effect} of the operation had taken effect before it began"))
    } else if effect < most {
        Some(format!("{effect} of the operation had taken effect, and {most} at an earlier instruction"))
    } else {
        None
    }
}

/// The directory of the worker with this number.
fn place_of(worker: u32) -> PathBuf {
    PathBuf::from(format!("/dev/shm/ringway-crash-{worker}"))
}

/// Removes what a worker left that was killed.
pub(crate) fn clean_up_after(worker: i32) {
    let _ = std::fs::remove_dir_all(place_of(worker as u32));
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.clear();
        let _ = std::fs::remove_dir(&self.place);
    }
}
