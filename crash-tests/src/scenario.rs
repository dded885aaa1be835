//! What a scenario is.

use crate::stage::Stage;
use std::fmt;

/// An operation to be killed in, and what must hold then.
pub struct Scenario {
    name: String,
    play: Box<dyn Fn(&mut Stage<'_>)>,
    in_company: bool,
    has_short_cut: bool,
}

/// How the victim died.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// Before the first instruction: nothing has happened.
    pub before: bool,
    /// Behind the last instruction: everything has.
    pub after: bool,
}

impl Scenario {
    /// A scenario.
    ///
    /// - `setup` makes fresh objects. It runs in a process of its own for each kill, with the environment set so
    ///   that plain names live in an empty directory.
    /// - `victim` runs in a child forked after that: it gets ready and calls [`operation`] once.
    /// - `survivor` runs in the process of `setup`, once the victim is dead. It says by panicking that something is
    ///   wrong, must not wait for anything longer than [`patience`](crate::process::patience), and leaves nothing in
    ///   the directory. It returns how much of the operation has taken effect, by any measure: 0 for an operation
    ///   that was not begun; and it must be the more, the later the victim died.
    pub fn new<S>(
        name: impl Into<String>,
        setup: impl Fn() -> S + 'static,
        victim: impl Fn(S) + 'static,
        survivor: impl Fn(S, Death) -> u64 + 'static,
    ) -> Self {
        let play = move |stage: &mut Stage<'_>| {
            let state = stage.setup(&setup);
            let (state, death) = stage.kill(state, &victim, None::<&fn(&mut S)>);
            stage.survived(survivor(state, death));
        };
        Scenario { name: name.into(), play: Box::new(play), in_company: false, has_short_cut: false }
    }

    /// A scenario whose operation falls asleep: `partner` then does what it waits for, in the process of `setup`. It
    /// is called whenever the victim is found asleep, perhaps more than once for the same sleep.
    pub fn with_partner<S>(
        name: impl Into<String>,
        setup: impl Fn() -> S + 'static,
        victim: impl Fn(S) + 'static,
        partner: impl Fn(&mut S) + 'static,
        survivor: impl Fn(S, Death) -> u64 + 'static,
    ) -> Self {
        let play = move |stage: &mut Stage<'_>| {
            let state = stage.setup(&setup);
            let (state, death) = stage.kill(state, &victim, Some(&partner));
            stage.survived(survivor(state, death));
        };
        Scenario { name: name.into(), play: Box::new(play), in_company: false, has_short_cut: false }
    }

    /// Says that other processes work beside the victim, so that it does not meet the same instructions each time:
    /// that a later one has more effect is not demanded.
    #[must_use]
    pub fn in_company(mut self) -> Self {
        self.in_company = true;
        self
    }

    /// Says that the operation has a short cut that is open for a moment only: the shortest of many recordings is
    /// the one that counts.
    #[must_use]
    pub fn with_a_short_cut(mut self) -> Self {
        self.has_short_cut = true;
        self
    }

    pub(crate) fn has_short_cut(&self) -> bool {
        self.has_short_cut
    }

    pub(crate) fn is_in_company(&self) -> bool {
        self.in_company
    }

    /// `subject/operation`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn play(&self, stage: &mut Stage<'_>) {
        (self.play)(stage);
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The operation in which the victim is killed; called once, by the victim.
pub fn operation<R>(body: impl FnOnce() -> R) -> R {
    crate::stepper::begin();
    let result = std::hint::black_box(body());
    crate::stepper::end();
    result
}
