//! Real processes that are killed anywhere: senders, receivers and workers on one pool in a real segment.

use super::*;
use crate::error::Kind;
use crate::segment::create::{Expected, Terms};
use crate::segment::layout::{PARAMS, Plan};
use crate::segment::tests::{Child, fork};
use crate::segment::{Segment, Sweep};
use crate::sync::Ordering;
use std::time::{Duration, Instant};

const DEMAND: Demand =
    Demand { messages: 5, max_held: 4, usual: 32, largest: 256, max_bytes: 1 << 16, share: 0 };
const KILLS: u64 = 150;
/// How many messages may be sent between two kills, however long that takes.
const BETWEEN: u64 = 300;
const MESSAGES: usize = ((KILLS + 1) * BETWEEN) as usize;
/// Longer than anything here takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the processes write down, beside the queue.
#[repr(C)]
struct Ledger {
    next: AtomicU64,
    /// Below which numbers may be sent.
    permitted: AtomicU64,
    received: AtomicU64,
    /// For each message 1 before it is committed, 2 after, and 16 more for each time that somebody has it in his hands.
    messages: [AtomicU64; MESSAGES],
}

#[repr(C)]
struct Body {
    ring: crate::ring::mpmc::Header,
    pool: Header,
}

fn ledger_len() -> u64 {
    (size_of::<Ledger>() as u64).next_multiple_of(4096)
}

fn slots_len() -> u64 {
    crate::ring::mpmc::Geometry::of::<[u64; 6]>(DEMAND.messages).unwrap().bytes().next_multiple_of(4096)
}

fn segment() -> Segment {
    let layout = Layout::of(DEMAND).unwrap();
    let plan = Plan {
        kind: Kind::Unknown(79),
        element: (1, 8),
        capacity: DEMAND.messages,
        variant: 0,
        body_len: size_of::<Body>() as u64,
        data_len: ledger_len() + slots_len() + layout.len(),
        areas: 1,
        tail_len: layout.tail_len(),
        params: [0; PARAMS],
    };
    let terms = Terms {
        participants: 32,
        mode: 0o600,
        owner: None,
        pages: Default::default(),
        ephemeral: false,
        trusted: None,
    };
    Segment::anonymous(&Expected { plan, exact_capacity: true, sweep: SWEEP }, &terms).unwrap()
}

const SWEEP: Sweep = |segment, index| {
    let (slots, pool) = (slots(segment), pool(segment));
    slots.sweep(|owner| owner == index);
    pool.sweep(index, &slots, |owner| owner == index);
};

fn ledger(segment: &Segment) -> &Ledger {
    // SAFETY: the area begins with one, made of atomics.
    unsafe { segment.data(0).cast().as_ref() }
}

fn body(segment: &Segment) -> &Body {
    // SAFETY: the segment was planned with this body, made of atomics.
    unsafe { segment.body_as::<Body>() }
}

fn slots(segment: &Segment) -> Slots {
    // SAFETY: the area has room for the slots behind the ledger.
    let first = unsafe { segment.data(0).add(ledger_len() as usize) };
    let geometry = crate::ring::mpmc::Geometry::of::<[u64; 6]>(DEMAND.messages).unwrap();
    // SAFETY: the header is in the body, and there are that many slots; the callers hold the segment.
    unsafe { Slots::new(NonNull::from(&body(segment).ring), first, geometry) }
}

fn pool(segment: &Segment) -> Pool {
    // SAFETY: the area has room for the pool behind the slots.
    let area = unsafe { segment.data(0).add((ledger_len() + slots_len()) as usize) };
    let layout = Layout::of(DEMAND).unwrap();
    // SAFETY: the segment was planned for this layout; the callers hold it.
    unsafe { Pool::new(NonNull::from(&body(segment).pool), area, segment.tail(), layout) }
}

/// A message says its number in every word.
fn message(number: u64) -> Vec<u8> {
    let words = 2 + number * 7 % 90;
    (0..words).flat_map(|_| number.to_ne_bytes()).collect()
}

fn check(segment: &Segment, content: &[u8], deliveries: u8) {
    let number = u64::from_ne_bytes(content[..8].try_into().unwrap());
    assert_eq!(content, message(number), "torn");
    let before = ledger(segment).messages[number as usize].fetch_add(16, Ordering::SeqCst);
    assert!(before & 15 > 0, "message {number} was never sent");
    assert!(before < 16 || deliveries > 0, "message {number} came again and does not say so");
    ledger(segment).received.fetch_add(1, Ordering::SeqCst);
}

fn send_for_ever(segment: &Segment) {
    let (slots, pool, finder) = (slots(segment), pool(segment), Finder::new());
    let me = segment.me().unwrap();
    loop {
        let ledger = ledger(segment);
        let number = ledger.next.load(Ordering::SeqCst);
        if number >= ledger.permitted.load(Ordering::SeqCst)
            || ledger.next.compare_exchange(number, number + 1, Ordering::SeqCst, Ordering::SeqCst).is_err()
        {
            std::thread::yield_now();
            continue;
        }
        let (content, state) = (message(number), &ledger.messages[number as usize]);
        loop {
            let len = content.len() as u64;
            let Ok(loan) = pool.reserve(me, len, &finder, segment) else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!(pool.copy_in(&loan, 0, &content) as u64, len);
            match slots.claim(me) {
                Ok(claim) => {
                    state.fetch_add(1, Ordering::SeqCst);
                    pool.send(&slots, claim, loan, len);
                    state.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                Err(_) => pool.give_up(loan),
            }
            std::thread::yield_now();
        }
    }
}

/// The next slot, or nothing that could be had now.
fn claim(segment: &Segment, me: u16) -> Option<Claim> {
    let slots = slots(segment);
    slots.take_orphan(me, |who| segment.is_dead(who)).or_else(|| slots.take_next(me).ok())
}

fn keep_for_ever(segment: &Segment) {
    let (slots, pool) = (slots(segment), pool(segment));
    let me = segment.me().unwrap();
    loop {
        let Some(claim) = claim(segment, me) else {
            std::thread::yield_now();
            continue;
        };
        let kept = pool.receive_kept(&slots, claim, me).unwrap();
        check(segment, &collect(kept.len(), |at, out| pool.copy_kept(&kept, at, out)), kept.deliveries());
        pool.free(kept);
    }
}

/// One task, if there is one.
fn work(segment: &Segment, me: u16) -> bool {
    let (slots, pool) = (slots(segment), pool(segment));
    let task = match pool.take_orphan(me).unwrap() {
        Some(task) => task,
        None => match claim(segment, me) {
            Some(claim) => pool.receive_task(&slots, claim, me).unwrap(),
            None => return false,
        },
    };
    check(segment, &collect(task.len(), |at, out| pool.copy_task(&task, at, out)), task.deliveries());
    if task.deliveries() == 0 && task.position().index == 1 {
        pool.give_back(task, me).unwrap();
    } else {
        pool.done(task).unwrap();
    }
    true
}

fn work_for_ever(segment: &Segment) {
    let me = segment.me().unwrap();
    loop {
        if !work(segment, me) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn killed_anywhere_nothing_is_lost_torn_or_left_behind() {
    let segment = segment();
    let me = segment.me().unwrap();
    let ledger = ledger(&segment);
    let roles = [send_for_ever, work_for_ever, send_for_ever, work_for_ever, keep_for_ever];
    let start = |role: usize| fork(|| roles[role](&segment));
    let mut children: Vec<Option<Child>> = (0..roles.len()).map(|role| Some(start(role))).collect();
    let sweep = || {
        slots(&segment).sweep(|who| segment.is_dead(who));
        pool(&segment).sweep(me, &slots(&segment), |who| segment.is_dead(who));
    };
    let (mut random, mut keepers_killed) = (9_u64, 1);
    for kill in 0..KILLS {
        ledger.permitted.store((kill + 1) * BETWEEN, Ordering::SeqCst);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // All go on, at least a little: nobody is blocked by the dead.
        let (seen, begin) = (ledger.received.load(Ordering::SeqCst), Instant::now());
        while ledger.received.load(Ordering::SeqCst) < seen + 3 + (random >> 40) % 40 {
            assert!(begin.elapsed() < PATIENCE, "nothing moves: {:?}", pool(&segment).census());
            assert!(children.iter().flatten().all(|child| !child.has_failed()));
            sweep();
            std::thread::yield_now();
        }
        let role = (random >> 33) as usize % roles.len();
        keepers_killed += u64::from(role == 4);
        children[role].take().unwrap().kill();
        children[role] = Some(start(role));
    }
    // The end: nobody works but we. A process can be gone a moment before the kernel lets go of its memory.
    children.into_iter().flatten().for_each(Child::kill);
    let (pool, begin) = (pool(&segment), Instant::now());
    let all_free = Census { free: pool.layout().entries().into(), ..Default::default() };
    while pool.census() != all_free || (1..=32).any(|who| who != me && !segment.is_dead(who)) {
        assert!(begin.elapsed() < PATIENCE, "something stays behind: {:?}", pool.census());
        sweep();
        while work(&segment, me) {}
    }
    sweep();
    let (mut unseen, mut sent) = (0, 0);
    for number in 0..ledger.next.load(Ordering::SeqCst) {
        let state = ledger.messages[number as usize].load(Ordering::SeqCst);
        sent += u64::from(state & 15 == 2);
        unseen += u64::from(state & 15 == 2 && state < 16);
    }
    assert!(
        sent > KILLS && unseen <= keepers_killed,
        "{unseen} of {sent} lost, {keepers_killed} keepers killed"
    );
    assert!(is_finished(&slots(&segment), &pool));
    assert!((0..DEMAND.messages).all(|_| slots(&segment).claim(me).is_ok()), "the ring has its capacity");
}
