//! What a process of an episode does from its first instruction on.

use crate::actor::{Actor, Fault};
use crate::board::Board;
use crate::plan::Plan;
use crate::scenarios::{self, Scenario};
use crate::{sys, widen};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Who a process is. It travels as its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) board: PathBuf,
    pub(crate) plan: Plan,
    pub(crate) slot: usize,
    /// Its place in the cast; the judge has none.
    pub(crate) part: Option<usize>,
    pub(crate) incarnation: u64,
    /// The step of the library that is broken in it, or nothing.
    pub(crate) plant: String,
    /// Whether its sleeps last until it is woken, in a build with instruments.
    pub(crate) is_unsliced: bool,
}

/// The exit code of a process that found something that must not be.
const FAULT: u8 = 9;

/// The first argument of such a process.
pub(crate) const ROLE: &str = "--be";

impl Who {
    /// The command that starts it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg(ROLE).arg(&self.board).arg(&self.plan.dir).arg(&self.plan.scenario);
        command.args([self.plan.seed, self.slot as u64, self.incarnation].map(|number| number.to_string()));
        command.arg(self.part.map_or("judge".to_owned(), |part| part.to_string()));
        command.arg(std::process::id().to_string()).arg(&self.plant);
        command.env("RINGWAY_DIR", &self.plan.dir);
        if self.is_unsliced {
            command.env("RINGWAY_UNSLICED", "1");
        } else {
            command.env_remove("RINGWAY_UNSLICED");
        }
        command
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(Self, u32)> {
        let board = arguments.next()?.into();
        let dir = arguments.next()?.into();
        let scenario = arguments.next()?;
        let seed = arguments.next()?.parse().ok()?;
        let slot = arguments.next()?.parse().ok()?;
        let incarnation = arguments.next()?.parse().ok()?;
        let part = arguments.next()?.parse().ok();
        let parent = arguments.next()?.parse().ok()?;
        let plant = arguments.next()?;
        // That it has from its environment already.
        let is_unsliced = false;
        let plan = Plan { scenario, seed, dir };
        Some((Who { board, plan, slot, part, incarnation, plant, is_unsliced }, parent))
    }
}

/// Runs such a process.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let Some((who, parent)) = Who::parse(arguments) else {
        eprintln!("soak: {ROLE} is for the processes that the soak starts itself");
        return ExitCode::from(2);
    };
    if sys::die_with(parent).is_err() {
        return ExitCode::SUCCESS; // nobody is left to work for
    }
    let scenario = scenarios::ALL.iter().find(|scenario| scenario.name() == who.plan.scenario);
    let (Ok(board), Some(&scenario)) = (Board::open(&who.board), scenario) else {
        eprintln!("soak: the board or the scenario is gone");
        return ExitCode::FAILURE;
    };
    let board: &'static Board = Box::leak(Box::new(board));
    let slot = &board.slots[who.slot];
    let incarnation = who.incarnation;
    std::panic::set_hook(Box::new(move |panic| slot.say(&format!("process {incarnation}: {panic}"))));
    widen::plant(&who.plant);
    match act(scenario, board, who) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            slot.say(&fault);
            ExitCode::from(FAULT)
        }
    }
}

fn act(scenario: &dyn Scenario, board: &'static Board, who: Who) -> Result<(), Fault> {
    let sizes = scenario.sizes(&who.plan);
    let part = who.part.unwrap_or_default();
    let mut actor = Actor::new(board, who.plan, sizes, who.slot, part, who.incarnation);
    if who.part.is_none() {
        return scenario.judge(&mut actor);
    }
    widen::start(actor.slot(), actor.random.next());
    scenario.play(&mut actor)
}
