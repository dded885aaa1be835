//! One company of processes, and what the supervisor does to it: starts it, kills and stops its members at random,
//! replaces them, ends it, and has it judged.

use crate::actor::Side;
use crate::audit::{Stake, audit};
use crate::board::{Board, COUNT, IDS, Phase, READ, RECOVERIES, REPAIRS, Repair, Risk, SLOTS, WRITE};
use crate::plan::Plan;
use crate::random::Random;
use crate::scenarios::{self, Part, Props, Scenario};
use crate::tally::Tally;
use crate::watch::{HANG, Watch};
use crate::worker::Who;
use crate::{sys, widen};
use ringway::inspect::{self, Object};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};

mod blows;

use blows::Fate;

const MILLI: u64 = 1_000_000;

/// Who cannot go on for so long perhaps never can.
const STANDSTILL: u64 = 300 * MILLI;

/// The slot of the judge.
const JUDGES_SLOT: usize = SLOTS - 1;

/// A member.
struct Player {
    part: Part,
    slot: usize,
    child: Option<Child>,
    incarnation: u64,
    /// When it is to be started (again).
    due: Option<u64>,
    fate: Fate,
    /// How many calls each slot had made when this one was stopped or held.
    calls_of_others: [u64; SLOTS],
}

impl Player {
    /// The judge, who is not to come yet.
    const NONE: Player = Player {
        part: scenarios::JUDGE,
        slot: JUDGES_SLOT,
        child: None,
        incarnation: 0,
        due: None,
        fate: Fate::Nothing,
        calls_of_others: [0; SLOTS],
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Run,
    /// Those who only send are leaving.
    Quiet,
    /// The others take what is left, and leave.
    Drain,
    Judge,
    Over,
}

/// Everything about it.
pub(crate) struct Episode {
    pub(crate) number: u64,
    pub(crate) scenario: &'static dyn Scenario,
    pub(crate) tally: Tally,
    /// What was found, in words.
    pub(crate) faults: Vec<String>,
    plan: Plan,
    program: PathBuf,
    plant: String,
    home: PathBuf,
    board: Board,
    props: Props,
    players: Vec<Player>,
    random: Random,
    stage: Stage,
    run_until: u64,
    /// Milliseconds between two blows, on average.
    pace: u64,
    next_blow: u64,
    watch: Watch,
    /// For how long the worst of them has been standing still by now.
    stall: u64,
    stakes: Vec<Stake>,
    /// Members that were killed while they were attached.
    died_attached: u64,
    /// Nobody is killed.
    is_gentle: bool,
    /// A stall so long is a violation.
    hang: u64,
}

/// What is common to all episodes.
#[derive(Debug, Clone)]
pub(crate) struct House {
    /// Our own program.
    pub(crate) program: PathBuf,
    /// The directory of this soak.
    pub(crate) root: PathBuf,
    /// The step of the library that is broken in all members, or nothing.
    pub(crate) plant: String,
    /// How long members are killed for, in milliseconds.
    pub(crate) run_millis: u64,
}

impl Episode {
    /// Makes the object and starts everybody.
    pub(crate) fn start(
        house: &House,
        scenario: &'static dyn Scenario,
        number: u64,
        seed: u64,
        serial: u64,
    ) -> io::Result<Self> {
        let home = house.root.join(format!("e{serial}"));
        let dir = home.join("names");
        std::fs::create_dir(&home)?;
        std::fs::create_dir(&dir)?;
        let plan = Plan { scenario: scenario.name().to_owned(), seed, dir };
        let board = Board::create(&home.join("board"))?;
        let props = scenario.props(&plan).map_err(io::Error::other)?;
        board.held_by_supervisor.store(props.bits(), WRITE);
        let cast = scenario.cast(&plan);
        assert!(cast.len() < SLOTS, "{}: too many take part", scenario.name());
        let now = sys::now();
        let mut random = Random::new(plan.draw("blows"));
        let player = |(slot, part)| {
            let due = Some(now + random.below(3 * MILLI));
            Player { part, slot, due, ..Player::NONE }
        };
        let players = cast.into_iter().enumerate().map(player).collect();
        let pace = plan.pick("pace", &[5, 10, 20, 40]);
        Ok(Episode {
            number,
            scenario,
            tally: Tally { episodes: 1, ..Tally::default() },
            faults: Vec::new(),
            program: house.program.clone(),
            plant: house.plant.clone(),
            home,
            board,
            props,
            players,
            random,
            stage: Stage::Run,
            run_until: now + house.run_millis * MILLI,
            pace,
            next_blow: now + pace * MILLI,
            watch: Watch::new(now),
            stall: 0,
            stakes: Vec::new(),
            died_attached: 0,
            is_gentle: scenario.is_gentle(&plan),
            // What somebody waits for in vain because of a planted bug, he waits for in vain however long.
            hang: if house.plant.is_empty() { HANG } else { HANG / 5 },
            plan,
        })
    }

    /// Does what is to be done now. `true` when the episode is over.
    pub(crate) fn step(&mut self, now: u64) -> bool {
        self.reap(now);
        self.start_the_missing(now);
        self.go_on_with_fates(now);
        let blows = match self.stage {
            Stage::Run => true,
            // Also among those who are leaving.
            Stage::Quiet => now < self.run_until + 200 * MILLI,
            _ => false,
        };
        if blows && now >= self.next_blow {
            self.next_blow = now + self.random.between(1, 2 * self.pace * MILLI);
            self.strike(now);
        }
        self.advance(now);
        self.watch(now);
        if !self.faults.is_empty() && self.stage != Stage::Over {
            self.give_up();
        }
        self.stage == Stage::Over
    }

    // ---- members come and go

    fn start_the_missing(&mut self, now: u64) {
        for at in 0..self.players.len() {
            if self.players[at].child.is_some() || self.players[at].due.is_none_or(|due| due > now) {
                continue;
            }
            self.players[at].due = None;
            if let Err(error) = self.spawn(at) {
                self.faults.push(format!("the soak cannot start a process: {error}"));
            }
        }
    }

    fn spawn(&mut self, at: usize) -> io::Result<()> {
        let player = &mut self.players[at];
        player.incarnation += 1;
        player.fate = Fate::Nothing;
        let who = Who {
            board: self.home.join("board"),
            plan: self.plan.clone(),
            slot: player.slot,
            part: (player.slot != JUDGES_SLOT).then_some(at),
            incarnation: player.incarnation,
            plant: self.plant.clone(),
            is_unsliced: self.is_gentle,
        };
        self.board.slots[player.slot].incarnation.store(player.incarnation, WRITE);
        let mut command = who.command(&self.program);
        self.props.give(&mut command, player.part.ends).map_err(io::Error::other)?;
        player.child = Some(command.spawn()?);
        Ok(())
    }

    fn reap(&mut self, now: u64) {
        for at in 0..self.players.len() {
            let Some(child) = &mut self.players[at].child else { continue };
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    self.players[at].child = None;
                    self.ended(at, status, now);
                }
                Err(error) => self.faults.push(format!("the soak cannot wait for a process: {error}")),
            }
        }
    }

    /// A member is gone; its slot is as it left it.
    fn ended(&mut self, at: usize, status: ExitStatus, now: u64) {
        let player = &mut self.players[at];
        let slot = &self.board.slots[player.slot];
        let name = format!("process {} ({} number {})", player.slot, player.part.name, player.incarnation);
        let left_by_itself = status.success();
        if status.signal() == Some(libc::SIGKILL) && player.fate == Fate::Killed {
            self.tally.kills += 1;
            let inside = if widen::AVAILABLE { &slot.inside } else { &slot.call };
            self.tally.inside += u64::from(inside.load(READ) != 0);
            self.died_attached += u64::from(slot.attached.load(READ) != 0);
            let risk = match slot.risk.load(READ) >> 8 {
                0 => None,
                1 => Some(Risk::Lost),
                _ => Some(Risk::Again),
            };
            if let Some(risk) = risk {
                let (from, count) = (slot.risk_from.load(READ), slot.risk_count.load(READ));
                self.stakes.push(Stake { risk, from, count });
            }
        } else if !left_by_itself {
            let said = slot.said().unwrap_or_else(|| format!("it ended with {status}"));
            self.faults.push(format!("{name}: {said}"));
        } else if self.stage == Stage::Run {
            self.tally.exits += 1;
        }
        for word in
            [&slot.leave, &slot.call, &slot.wants, &slot.inside, &slot.trap, &slot.risk, &slot.attached]
        {
            word.store(0, WRITE);
        }
        slot.holding.store(0, WRITE);
        player.fate = Fate::Nothing;
        let comes_again = match self.stage {
            Stage::Run => true,
            Stage::Quiet => player.part.drains,
            _ => false,
        };
        if comes_again {
            player.due = Some(now + self.random.below(20 * MILLI));
        }
        if self.stage == Stage::Judge && player.slot == JUDGES_SLOT && left_by_itself {
            self.finish();
        }
    }

    // ---- from stage to stage

    fn advance(&mut self, now: u64) {
        let anybody = |players: &[Player], wanted: fn(&Part) -> bool| {
            players.iter().any(|player| player.child.is_some() && wanted(&player.part))
        };
        match self.stage {
            // Who stands still by now goes on, or it is a hang: the end would let him off.
            Stage::Run if self.stall > STANDSTILL => {}
            Stage::Run if now >= self.run_until || self.board.ids() >= IDS => {
                self.stage = Stage::Quiet;
                self.watch.begin_stage();
                self.board.phase.store(Phase::Quiet as u32, WRITE);
                for player in &mut self.players {
                    if !player.part.drains {
                        player.due = None;
                    }
                }
            }
            Stage::Quiet if !anybody(&self.players, |part| part.only_sends) => {
                self.stage = Stage::Drain;
                self.watch.begin_stage();
                self.board.phase.store(Phase::Drain as u32, WRITE);
                for at in 0..self.players.len() {
                    self.players[at].due = None;
                    if !matches!(self.players[at].fate, Fate::Killed) {
                        self.release(at);
                    }
                }
                if self.scenario.tells_the_end(&self.plan) {
                    self.board.held_by_supervisor.fetch_and(!Side::First.bit(), COUNT);
                    self.props.ends[0] = None;
                }
            }
            Stage::Drain if !anybody(&self.players, |_| true) => {
                self.stage = Stage::Judge;
                self.watch.begin_stage();
                let rows: usize = self
                    .objects()
                    .iter()
                    .map(|object| object.participants.iter().filter(|process| !process.alive).count())
                    .sum();
                self.repaired(Repair::Place, self.died_attached.saturating_sub(rows as u64));
                self.players.push(Player { due: Some(now), ..Player::NONE });
            }
            // The judge has the last ends now.
            Stage::Judge if self.players.last().is_some_and(|judge| judge.child.is_some()) => {
                self.board.held_by_supervisor.store(0, WRITE);
                self.props = Props::default();
            }
            _ => {}
        }
    }

    /// The judge has found nothing.
    fn finish(&mut self) {
        self.stage = Stage::Over;
        let account =
            audit(&self.board, &self.stakes, self.scenario.is_in_order(), self.scenario.has_tasks());
        self.faults.extend(account.faults.into_iter().take(5));
        let turns: u64 = self.board.slots.iter().map(|slot| slot.turns.load(READ)).sum();
        self.tally.messages = account.received + turns;
        self.tally.taken_along = account.lost;
        match names_in(&self.plan.dir) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => self.faults.push(format!("left over: {}", left.join(", "))),
            Err(error) => self.faults.push(format!("the directory of the names is gone: {error}")),
        }
        self.close();
    }

    /// Something is wrong: nobody needs to go on.
    fn give_up(&mut self) {
        let state = self.state();
        self.faults.push(state);
        self.kill_all();
        self.stage = Stage::Over;
        self.close();
    }

    /// Something is wrong elsewhere: this episode is left undone, and does not count.
    pub(crate) fn abandon(mut self) -> io::Result<()> {
        self.kill_all();
        std::fs::remove_dir_all(&self.home)
    }

    fn kill_all(&mut self) {
        for player in &mut self.players {
            if let Some(mut child) = player.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    fn close(&mut self) {
        self.tally.violations = u64::from(!self.faults.is_empty());
        self.tally.longest_stall = self.watch.longest;
        self.tally.who.clone_from(&self.watch.who);
        self.tally.redeliveries = self.board.redeliveries.load(READ);
        let told = |word: &str| u64::from(self.faults.iter().any(|fault| fault.contains(word)));
        (self.tally.duplicates, self.tally.torn) = (told("duplicate:"), told("torn:"));
        for kind in 0..RECOVERIES {
            self.tally.recoveries[kind] = self.board.recoveries[kind].load(READ);
        }
        for kind in 0..REPAIRS {
            self.tally.repairs[kind] = self.board.repairs[kind].load(READ);
        }
        if let Err(error) = std::fs::remove_dir_all(&self.home) {
            self.faults.push(format!("cannot remove {}: {error}", self.home.display()));
        }
    }

    fn watch(&mut self, now: u64) {
        let is_stopped = |player: &Player| matches!(player.fate, Fate::Held(..) | Fate::Stopped(..));
        let is_free = |player: &Player| player.child.is_some() && player.fate != Fate::Killed;
        let anybody_stopped = self.players.iter().any(is_stopped);
        let running: Vec<usize> =
            self.players.iter().filter(|player| is_free(player)).map(|player| player.slot).collect();
        let free = self.players.iter().filter(|player| self.is_free_to_go(player));
        let free: Vec<usize> = free.map(|player| player.slot).collect();
        let stall = self.watch.look(&self.board, &running, &free, anybody_stopped, now);
        self.stall = stall;
        if stall > self.hang {
            self.faults.push(format!("hang: {} stands still", self.watch.who));
        } else if self.stage != Stage::Run && self.watch.in_stage() > self.hang {
            self.faults.push(format!("hang: the stage {:?} does not end", self.stage));
        }
    }

    /// What can be seen of the objects from outside.
    fn objects(&self) -> Vec<Object> {
        let path = |name: String| self.plan.dir.join(name).to_string_lossy().into_owned();
        let named = self.scenario.names(&self.plan).into_iter().map(|name| inspect::stat(&path(name)));
        let anonymous = self.props.ends.iter().flatten().take(1).map(|end| inspect::stat_fd(end.memory()));
        named.chain(anonymous).flatten().collect()
    }

    /// What everybody is doing, for people.
    fn state(&self) -> String {
        let mut lines = vec![format!("state: {:?}, {:?}", self.stage, self.board.phase())];
        for player in &self.players {
            let slot = &self.board.slots[player.slot];
            lines.push(format!(
                "  process {} {} number {}: {}, {:?}, call {} (the {}th), wants {:#x}, holding {:#x}, sent {:?}, \
                 received {:?}",
                player.slot,
                player.part.name,
                player.incarnation,
                if player.child.is_some() { "alive" } else { "gone" },
                player.fate,
                slot.call.load(READ),
                slot.calls.load(READ),
                slot.wants.load(READ),
                slot.holding.load(READ),
                slot.sent.each_ref().map(|count| count.load(READ)),
                slot.received.each_ref().map(|count| count.load(READ)),
            ));
        }
        for object in self.objects() {
            lines.push(format!("  {:?} {:?}", object.kind, object.detail));
        }
        lines.join("\n")
    }
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
