//! A lock that anybody gives back, and whose holders are killed, or leave it to others: never do two have it at a time, who
//! takes it after a dead one is told so, and what was left in good order stays held until somebody gives it back.

use super::bare::fault;
use super::locks::{self, SEATS, cell, come, go, keep_on, set_cell};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{COUNT, Call, READ, Recovery, SLOTS, in_this_order};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::inspect::{self, Detail, TokenState};
use ringway::{AcquireError, Error, ReleaseError, Token};
use std::time::Duration;

mod duty;

use duty::{Duty, Holder};

pub(super) struct Tokens;

const NAME: &str = "token";

/// Who has it, as a [`Holder`]'s word, from after he took it until before he gives it back.
const HOLDER: usize = 0;
/// What is to be given back in the stead of one who left it: a [`Duty`].
const DUTY: usize = 1;
/// Whoever has the token writes the first, does something else, and then writes the second.
const PAIR: [usize; 2] = [2, 3];
/// How often somebody was told that the last holder had died.
const TOLD: usize = 4;
/// How many died while they attached, and so perhaps between giving back for a dead one and counting that; how many died
/// while they perhaps had it. Some may be counted twice.
const DIED_OPENING: usize = 5;
const DIED_HOLDING: usize = 6;
/// What each process is at: see the three below.
const AT: usize = 8;

const OPENING: u64 = 1;
const TRYING: u64 = 2;

/// Whether some leave it held for others to give back. Then nobody waits for ever: it may be himself who has to.
fn is_left(plan: &Plan) -> bool {
    plan.once_in(2, "left")
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<Token, Error> + use<> {
    let wait = actor.any_wait();
    move || Token::options().participants(SEATS).wait(wait).open_or_create(NAME)
}

impl Scenario for Tokens {
    fn name(&self) -> &'static str {
        "token"
    }

    fn about(&self) -> &'static str {
        "a lock that anybody gives back; holders die with it, or leave it to others in good order"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        locks::cast(plan)
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(0)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn is_gentle(&self, plan: &Plan) -> bool {
        locks::is_gentle(plan)
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        mourn(actor, actor.slot_number());
        is_at(actor, OPENING);
        let open = open(actor);
        let token = come(actor, open)?;
        is_at(actor, 0);
        keep_on(actor, |actor| {
            if is_left(&actor.plan) {
                discharge(actor, &token, false)?;
            }
            if hold_and(actor, &token, |actor| give(actor, &token))? {
                is_at(actor, 0);
            }
            Ok(())
        })?;
        if is_left(&actor.plan) {
            // Not what others would wait for in vain.
            discharge(actor, &token, false)?;
            if !locks::is_gentle(&actor.plan) && actor.random.one_in(2) {
                return leave(actor, token);
            }
        }
        go(actor, token);
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        (0..SLOTS).for_each(|slot| mourn(judge, slot));
        let token = open(judge)().map_err(|error| fault("the judge's token", error))?;
        discharge(judge, &token, true)?;
        let taken = token.acquire_timeout(Duration::from_secs(10));
        let taken = taken.map_err(|error| fault("a token that is in nobody's hands", error))?;
        check(judge, &token, taken.was_recovered())?;
        release(judge, &token)?;
        match token.release() {
            Err(ReleaseError::TooMany { bound: 1 }) => {}
            other => return Err(format!("released twice: {other:?}")),
        }
        let (told, came_back) = (cell(judge, TOLD), token.recovered());
        let (uncounted, most) = (cell(judge, DIED_OPENING), cell(judge, DIED_HOLDING));
        if told > came_back + uncounted || came_back > most {
            return Err(format!(
                "{told} were told that the holder had died; it says that it came back {came_back} times; {most} died \
                 with it at most, and {uncounted} while they may have been giving it back for a dead one"
            ));
        }
        drop(token);
        locks::remove(&[NAME])
    }
}

fn is_at(actor: &Actor, what: u64) {
    in_this_order();
    set_cell(actor, AT + actor.slot_number(), what);
    in_this_order();
}

/// Counts what the last process of this slot was at when it died. One that ended in good order was at nothing.
fn mourn(actor: &Actor, slot: usize) {
    let died = match cell(actor, AT + slot) {
        0 => return,
        OPENING => DIED_OPENING,
        _ => DIED_HOLDING,
    };
    actor.board.cells[died].fetch_add(1, COUNT);
    set_cell(actor, AT + slot, 0);
}

/// Takes it in one of the ways there are; whether its last holder died, or `None` if it is not to be had now.
fn take(actor: &mut Actor, token: &Token) -> Result<Option<bool>, Fault> {
    let timeout = actor.any_timeout();
    let late = |result: &Result<_, AcquireError>| matches!(result, Err(AcquireError::Timeout));
    // Nobody needs to look after others where nobody dies: they have seen to it before.
    let for_ever = !is_left(&actor.plan) || locks::is_gentle(&actor.plan);
    let result = match actor.random.below(4) {
        0 => actor.call(Call::Other, || token.try_acquire()),
        1..3 if for_ever => actor.call(Call::Other, || token.acquire()),
        _ => actor.timed(Call::Other, timeout, late, |deadline| token.acquire_deadline(deadline))?,
    };
    match result {
        Ok(taken) => Ok(Some(taken.was_recovered())),
        Err(AcquireError::WouldBlock | AcquireError::Timeout) => Ok(None),
        Err(error) => Err(fault("acquire", error)),
    }
}

/// Takes it, has it for a while, and ends that by `end`. Whether it was to be had; if so, the caller says when it is over.
fn hold_and(
    actor: &mut Actor,
    token: &Token,
    end: impl FnOnce(&mut Actor) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    is_at(actor, TRYING);
    let Some(was_recovered) = take(actor, token)? else {
        is_at(actor, 0);
        actor.wait(100);
        return Ok(false);
    };
    check(actor, token, was_recovered)?;
    let me = Holder::of(actor);
    set_cell(actor, HOLDER, me.word());
    let next = cell(actor, PAIR[0]) + 1;
    set_cell(actor, PAIR[0], next);
    // Long enough to be killed here, and with steps to be held at.
    match actor.random.below(8) {
        0 => actor.idle(2000),
        1 => (0..100).for_each(|_| _ = token.is_held()),
        _ => {}
    }
    if cell(actor, HOLDER) != me.word() || cell(actor, PAIR[0]) != next || !token.holder_is_me() {
        return Err(format!("two at once: {me:?} has the token, and so has {:#x}", cell(actor, HOLDER)));
    }
    set_cell(actor, PAIR[1], next);
    in_this_order();
    set_cell(actor, HOLDER, 0);
    in_this_order();
    end(actor)?;
    actor.turned();
    Ok(true)
}

/// It was just taken: nobody else has it, and it was told what there was to tell.
fn check(actor: &Actor, token: &Token, was_recovered: bool) -> Result<(), Fault> {
    in_this_order();
    if was_recovered {
        actor.board.cells[TOLD].fetch_add(1, COUNT);
        actor.recovered(Recovery::Token, 1);
        if locks::is_gentle(&actor.plan) {
            return Err("told that the last holder died, and nobody dies here".to_owned());
        }
    }
    if let Some(holder) = Holder::from_word(cell(actor, HOLDER)) {
        if !holder.is_doomed(actor) {
            return Err(format!("two at once: the token of {holder:?}, who lives, was taken"));
        }
        if !was_recovered {
            return Err(format!("{holder:?} died with the token, and who takes it is not told"));
        }
        // What he was at.
        set_cell(actor, PAIR[1], cell(actor, PAIR[0]));
    }
    let [first, second] = PAIR.map(|at| cell(actor, at));
    if first != second {
        return Err(format!("two at once: the pair is {first} and {second}"));
    }
    if let Some(duty) = Duty::from_word(cell(actor, DUTY)) {
        if duty.is_unclaimed() && (duty.is_ready() || !duty.by().is_doomed(actor)) {
            return Err(format!("{duty:?} was left held, nobody has given it back, and it was taken"));
        }
        set_cell(actor, DUTY, 0);
    }
    if token.is_held() && token.holder_is_me() {
        Ok(())
    } else {
        Err("the token was taken, and says that it is somebody else's".to_owned())
    }
}

/// Gives it back, or has others do so.
fn give(actor: &mut Actor, token: &Token) -> Result<(), Fault> {
    if !is_left(&actor.plan) || actor.random.one_in(2) {
        return release(actor, token);
    }
    let is_gentle = locks::is_gentle(&actor.plan);
    let duty = Duty::new(actor, cell(actor, PAIR[0]));
    set_cell(actor, DUTY, duty.word());
    in_this_order();
    // Where nobody dies, whoever gives it back may take it from one who still has it.
    if !is_gentle || actor.random.one_in(2) {
        let was_ours = match actor.random.one_in(2) {
            true => actor.call(Call::Other, || token.hand_over()),
            false => actor.call(Call::Other, Token::hand_over_all) == 1,
        };
        if !was_ours {
            return Err("it had the token, and could not hand it over".to_owned());
        }
        if token.holder_is_me() {
            return Err("it handed the token over, and still has it".to_owned());
        }
    }
    in_this_order();
    set_cell(actor, DUTY, duty.ready().word());
    Ok(())
}

fn release(actor: &Actor, token: &Token) -> Result<(), Fault> {
    actor.call(Call::Other, || token.release()).map_err(|error| fault("give back what is held", error))
}

/// Ends in good order with the token in hand, if it is to be had.
fn leave(actor: &mut Actor, token: Token) -> Result<(), Fault> {
    let mut duty = None;
    hold_and(actor, &token, |actor| {
        duty = Some(Duty::new(actor, cell(actor, PAIR[0])));
        Ok(())
    })?;
    if let Some(duty) = &duty {
        set_cell(actor, DUTY, duty.word());
        in_this_order();
    }
    go(actor, token);
    if let Some(duty) = duty {
        set_cell(actor, DUTY, duty.ready().word());
    }
    is_at(actor, 0);
    Ok(())
}

/// Gives back what somebody left held, if that is to be done, and nobody else who lives is at it.
fn discharge(actor: &Actor, token: &Token, is_judge: bool) -> Result<(), Fault> {
    let word = cell(actor, DUTY);
    let Some(duty) = Duty::from_word(word) else { return Ok(()) };
    let is_gone = |holder: Holder| is_judge || holder.is_gone(actor);
    let is_sure = duty.is_unclaimed() && duty.is_ready();
    if !is_sure && !is_gone(duty.claimant().unwrap_or(duty.by())) {
        return Ok(());
    }
    let duty_word = &actor.board.cells[DUTY];
    let mine = duty.claimed(Holder::of(actor)).word();
    if duty_word.compare_exchange(word, mine, COUNT, READ).is_err() {
        return Ok(());
    }
    // He who died may have handed it over and not said so, or given it back and not said so. If it is handed over while
    // the duty is still ours, then it is by that one: who takes it after him takes the duty away first.
    if is_sure || is_handed_over()? && cell(actor, DUTY) == mine {
        release(actor, token)?;
        actor.turned();
    }
    // In vain if somebody has taken it meanwhile.
    let _ = duty_word.compare_exchange(mine, 0, COUNT, READ);
    Ok(())
}

fn is_handed_over() -> Result<bool, Fault> {
    match inspect::stat(NAME).map_err(|error| fault("look at the token", error))?.detail {
        Detail::Token(token) => Ok(token.state == TokenState::HandedOver),
        other => Err(format!("no token: {other:?}")),
    }
}
