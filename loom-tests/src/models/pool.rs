//! The payload pool: whatever sweepers, stalled or late, do beside senders, receivers and workers, and beside the next
//! holder of a dead one's index, a live owner keeps its chunk and a committed message arrives.

use crate::harness::Model;
use crate::pool::{Backing, Chunk, Demand, Entry, Extent, Header, Kept, Layout, MAX_DELIVERIES, Pool, State, Task, Word};
use crate::pool::{is_finished, tell};
use crate::ring::mpmc::{self, Blocker, Geometry, Position, Slots, Stamp};
use crate::sync::{AtomicU32, Ordering, Slot};
use crate::wait::{Barrier, Deadline, EventCount, Wait, Waiter};
use loom::thread;
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model { name: "straight_on", preemptions: 3, body: straight_on, kills: &["pool.free", "pool.loan"] },
    Model { name: "two_allocators", preemptions: 3, body: two_allocators, kills: &["pool.loan_free"] },
    Model { name: "sent_beside_a_receiver", preemptions: 3, body: sent_beside_a_receiver, kills: &["pool.commit_first", "mpmc.commit"] },
    Model {
        name: "claims_show_the_row",
        preemptions: 3,
        body: claims_show_the_row,
        kills: &["pool.claim", "pool.take", "pool.give_back", "pool.retake", "pool.judge"],
    },
    Model { name: "reused_after_a_sweep", preemptions: 3, body: reused_after_a_sweep, kills: &["pool.sweep"] },
    Model { name: "received_beside_a_sweep", preemptions: 3, body: received_beside_a_sweep, kills: &["pool.free_slot_first"] },
    Model { name: "sender_dies", preemptions: 2, body: sender_dies, kills: &["pool.sweep_exactly"] },
    Model { name: "sender_dies_with_a_loan", preemptions: 3, body: sender_dies_before::<0>, kills: &["pool.sweep_exactly"] },
    Model { name: "sender_dies_before_commit", preemptions: 3, body: sender_dies_before::<1>, kills: &["pool.sweep_exactly"] },
    Model { name: "receiver_dies_early", preemptions: 2, body: receiver_dies::<0>, kills: &["mpmc.redeliver"] },
    Model { name: "receiver_dies_late", preemptions: 2, body: receiver_dies::<1>, kills: &["mpmc.redeliver"] },
    Model {
        name: "index_reused",
        preemptions: 3,
        body: index_reused,
        kills: &["pool.sweep_exactly", "pool.ask_after"],
    },
    Model { name: "task_taken_again_by_the_next_holder", preemptions: 3, body: task_taken_again_by_the_next_holder, kills: &["pool.count"] },
    Model { name: "done_and_reused", preemptions: 3, body: done_and_reused, kills: &["pool.done"] },
    Model { name: "done_beside_a_sweep", preemptions: 3, body: done_beside_a_sweep, kills: &["pool.sweep_exactly"] },
    Model { name: "given_back", preemptions: 3, body: given_back, kills: &["pool.give_back", "pool.orphan"] },
    Model { name: "announced", preemptions: 3, body: announced, kills: &["pool.announce", "mpmc.orphans_seen"] },
    Model { name: "maker_dies", preemptions: 3, body: maker_dies, kills: &["pool.maker"] },
    Model { name: "two_take_one_back", preemptions: 2, body: two_take_one_back, kills: &["pool.retake_exactly"] },
    Model { name: "given_up_twice", preemptions: 3, body: given_up_twice, kills: &["pool.disown_still"] },
    Model {
        name: "join_beside_a_worker_that_sends",
        preemptions: 3,
        body: join_beside_a_worker_that_sends,
        kills: &["join.twice", "join.observe", "join.observe_slot", "pool.done"],
    },
    Model { name: "join_asleep_beside_two_workers", preemptions: 2, body: join_asleep_beside_two_workers, kills: &["join.tell"] },
    Model { name: "two_grow", preemptions: 3, body: two_grow, kills: &["pool.bound"] },
];

/// The ring is about to pass its last lap.
const LAP: u64 = (1 << 40) - 1;

/// As aligned as a slot must be.
#[repr(C, align(16))]
struct OneSlot(Stamp);

/// A ring of one slot, and chunks of one word.
struct Shared<const N: usize> {
    ring: mpmc::Header,
    slots: [OneSlot; 1],
    header: Header,
    entries: [Entry; N],
    content: [Slot<u64>; N],
    /// The participant that is dead, 0 for nobody.
    dead: AtomicU32,
}

impl<const N: usize> Shared<N> {
    fn new() -> Arc<Self> {
        Self::after(Word(0))
    }

    /// All chunks have that word.
    fn after(word: Word) -> Arc<Self> {
        let hint = Position::new(LAP, 0).pack();
        Arc::new(Shared {
            ring: mpmc::Header::hinting(hint, hint),
            slots: [OneSlot(Stamp::vacant(LAP))],
            header: Header::new(),
            entries: std::array::from_fn(|_| Entry::new(word)),
            content: std::array::from_fn(|_| Slot::vacant()),
            dead: AtomicU32::new(0),
        })
    }

    fn slots(&self) -> Slots {
        let first = NonNull::from(&self.slots).cast();
        let geometry = Geometry::new(1, size_of::<OneSlot>()).unwrap();
        // SAFETY: the slots are used while `self` is borrowed or shared, and are what is asked for.
        unsafe { Slots::new(NonNull::from(&self.ring), first, geometry) }
    }

    fn pool(&self) -> Pool {
        let layout = Layout::of(Demand { messages: N as u64, max_held: 0, usual: 8, largest: 8, max_bytes: 0, share: 0 });
        let (header, area) = (NonNull::from(&self.header), NonNull::from(&self.entries).cast());
        // SAFETY: the pool is used while `self` is borrowed or shared, and has N entries and no extents.
        unsafe { Pool::new(header, area, NonNull::dangling(), layout.unwrap()) }
    }

    fn is_dead(&self, who: u16) -> bool {
        // The kernel's answer is never stale: a read-modify-write.
        self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who)
    }

    fn dies(&self, who: u16) {
        self.dead.swap(who.into(), Ordering::Release);
    }

    fn read(&self, chunk: Chunk) -> u64 {
        // SAFETY: its callers own the chunk; loom reports who writes beside them.
        unsafe { self.content[chunk.index() as usize].read() }
    }

    fn write(&self, chunk: Chunk, value: u64) {
        // SAFETY: its callers own the chunk; loom reports everybody else.
        unsafe { self.content[chunk.index() as usize].write(value) }
    }

    /// Sends `value` in that chunk; `false` if the chunk is not free.
    fn send(&self, me: u16, index: u32, value: u64) -> bool {
        let pool = self.pool();
        let Some(loan) = pool.loan_at(me, 0, index) else { return false };
        self.write(loan.chunk(), value);
        let claim = self.slots().claim(me).unwrap();
        pool.send(&self.slots(), claim, loan, 8);
        true
    }

    /// Takes the next message, an orphan of the ring first.
    fn take(&self, me: u16) -> Option<mpmc::Claim> {
        let slots = self.slots();
        slots.take_orphan(me, |who| who != me && self.is_dead(who)).or_else(|| slots.take_next(me).ok())
    }

    fn keep(&self, me: u16) -> Option<Kept> {
        Some(self.pool().receive_kept(&self.slots(), self.take(me)?, me).expect("an honest slot"))
    }

    fn work(&self, me: u16) -> Option<Task> {
        Some(self.pool().receive_task(&self.slots(), self.take(me)?, me).expect("an honest slot"))
    }

    /// Receives, looks again whether the chunk is still ours, and frees it.
    fn recv(&self, me: u16) -> Option<u64> {
        let kept = self.keep(me)?;
        let value = self.read(kept.chunk());
        self.still(kept.chunk(), State::Kept, me);
        self.pool().free(kept);
        Some(value)
    }

    #[track_caller]
    fn still(&self, chunk: Chunk, state: State, owner: u16) {
        let word = self.pool().word(chunk);
        assert_eq!((word.state(), word.owner()), (Some(state), owner), "taken from a live owner");
    }

    /// What whoever comes along does about the dead.
    fn sweep(&self, me: u16) {
        let slots = self.slots();
        slots.sweep(|who| self.is_dead(who));
        self.pool().sweep(me, &slots, |who| self.is_dead(who));
    }

    /// What the next holder of an index does first.
    fn acquire(&self, me: u16) {
        let slots = self.slots();
        slots.sweep(|who| who == me);
        self.pool().sweep(me, &slots, |who| who == me);
    }

    fn first(&self) -> Chunk {
        self.pool().words().next().unwrap().0
    }
}

fn spawn<const N: usize, R: 'static>(shared: &Arc<Shared<N>>, body: impl FnOnce(&Shared<N>) -> R + 'static) -> thread::JoinHandle<R> {
    let shared = shared.clone();
    thread::spawn(move || body(&shared))
}

/// A receiver frees the only chunk, and a sender uses it again.
fn straight_on() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let receiver = spawn(&shared, |shared| assert_eq!(shared.recv(2), Some(1)));
    let again = shared.pool().loan_at(1, 0, 0);
    if let Some(loan) = again {
        shared.write(loan.chunk(), 2);
        shared.still(loan.chunk(), State::Loaned, 1);
    }
    receiver.join().unwrap();
}

/// Two senders meet at the only chunk: at most one has it at a time.
fn two_allocators() {
    let shared = Shared::<1>::new();
    let fill = |shared: &Shared<1>, me| {
        let Some(loan) = shared.pool().loan_at(me, 0, 0) else { return false };
        shared.write(loan.chunk(), me.into());
        shared.still(loan.chunk(), State::Loaned, me);
        assert_eq!(shared.read(loan.chunk()), me.into());
        shared.pool().give_up(loan);
        true
    };
    let other = spawn(&shared, move |shared| fill(shared, 1));
    let mine = fill(&shared, 2);
    assert!(other.join().unwrap() || mine);
}

/// A receiver comes while the sender sends.
fn sent_beside_a_receiver() {
    let shared = Shared::<1>::new();
    let sender = spawn(&shared, |shared| assert!(shared.send(1, 0, 1)));
    let early = shared.recv(2);
    sender.join().unwrap();
    assert_eq!(early.or_else(|| shared.recv(2)), Some(1));
}

/// Whoever finds a name on a chunk sees what its owner wrote about itself before.
fn claims_show_the_row() {
    let shared = Shared::<1>::new();
    let row = Arc::new(AtomicU32::new(0));
    let owner = spawn(&shared, {
        let row = row.clone();
        move |shared| {
            let pool = shared.pool();
            row.store(1, Ordering::Relaxed);
            assert!(shared.send(1, 0, 1));
            row.store(2, Ordering::Relaxed);
            let task = shared.work(1).unwrap();
            row.store(3, Ordering::Relaxed);
            pool.give_back(task, 1).unwrap();
            row.store(4, Ordering::Relaxed);
            let _task = pool.take_orphan(1).unwrap().unwrap();
        }
    });
    let word = shared.pool().word(shared.first());
    let seen = row.load(Ordering::Relaxed);
    let least = match (word.state(), word.deliveries()) {
        (Some(State::Loaned), _) => 1,
        (Some(State::Task), 0) => 2,
        (Some(State::Orphan), _) => 3,
        (Some(State::Task), _) => 4,
        _ => 0,
    };
    assert!(seen >= least, "{word:?}, but row {seen}");
    owner.join().unwrap();
}

/// A sender dies after it wrote. Who writes there next has not asked after it: it only sees that somebody swept.
fn reused_after_a_sweep() {
    let shared = Shared::<1>::new();
    let dying = spawn(&shared, |shared| {
        let loan = shared.pool().loan_at(1, 0, 0).unwrap();
        shared.write(loan.chunk(), 1);
        shared.acquire(1);
    });
    let chunk = shared.first();
    let word = shared.pool().words().next().unwrap().1;
    if word.version() > 1
        && let Some(loan) = shared.pool().loan_at(2, 0, 0)
    {
        shared.write(chunk, 2);
        shared.still(loan.chunk(), State::Loaned, 2);
    }
    dying.join().unwrap();
}

/// The sender is dead, and somebody sweeps while the message is received.
fn received_beside_a_sweep() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    shared.dies(1);
    let receiver = spawn(&shared, |shared| assert_eq!(shared.recv(2), Some(1)));
    shared.sweep(3);
    if let Some(loan) = shared.pool().loan_at(3, 0, 0) {
        shared.write(loan.chunk(), 2);
        shared.still(loan.chunk(), State::Loaned, 3);
    }
    receiver.join().unwrap();
}

/// The sender dies right after it sent, while one receives and another sweeps.
fn sender_dies() {
    let shared = Shared::<1>::new();
    let sender = spawn(&shared, |shared| {
        assert!(shared.send(1, 0, 1));
        shared.dies(1);
    });
    let sweeper = spawn(&shared, |shared| shared.sweep(3));
    let early = shared.recv(2);
    sender.join().unwrap();
    sweeper.join().unwrap();
    shared.sweep(3);
    let late = shared.recv(2);
    assert_eq!((early.or(late), early.and(late)), (Some(1), None));
    assert!(shared.pool().word(shared.first()).is_free());
}

/// The sender died with a loan (0), or with everything done but the commit (1). Two sweep, and one uses the chunk again.
fn sender_dies_before<const STEPS: u32>() {
    let shared = Shared::<1>::new();
    let loan = shared.pool().loan_at(1, 0, 0).unwrap();
    shared.write(loan.chunk(), 1);
    if STEPS == 1 {
        let claim = shared.slots().claim(1).unwrap();
        shared.pool().send_uncommitted(&shared.slots(), claim, &loan, 8);
    }
    shared.dies(1);
    let sweeper = spawn(&shared, |shared| shared.sweep(3));
    shared.sweep(4);
    assert!(shared.send(4, 0, 2), "both the slot and the chunk are free");
    sweeper.join().unwrap();
    shared.still(shared.first(), State::Loaned, 4);
    assert_eq!(shared.recv(2), Some(2));
}

/// A receiver dies before it stamped the chunk (0) or before it freed the slot (1); two others come along.
fn receiver_dies<const STEPS: u32>() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let claim = shared.take(2).unwrap();
    if STEPS == 1 {
        let _kept = shared.pool().stamp_only(&shared.slots(), claim, 2).unwrap();
    }
    shared.dies(2);
    let other = spawn(&shared, |shared| {
        shared.sweep(3);
        shared.recv(3)
    });
    shared.sweep(4);
    let mine = shared.recv(4);
    let others = other.join().unwrap();
    let last = shared.recv(4);
    let times = [mine, others, last].into_iter().flatten().inspect(|value| assert_eq!(*value, 1)).count();
    assert_eq!(times, 1);
    shared.sweep(4);
    assert!(shared.pool().word(shared.first()).is_free());
}

/// A receiver died after it stamped the chunk. Somebody sweeps slowly, while the next holder of the index receives.
fn index_reused() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let claim = shared.take(2).unwrap();
    let _kept = shared.pool().stamp_only(&shared.slots(), claim, 2).unwrap();
    shared.dies(2);
    let sweeper = spawn(&shared, |shared| {
        shared.pool().sweep(3, &shared.slots(), |who| shared.is_dead(who));
    });
    shared.dead.swap(0, Ordering::AcqRel);
    shared.acquire(2);
    let kept = shared.keep(2).unwrap();
    sweeper.join().unwrap();
    shared.still(kept.chunk(), State::Kept, 2);
    assert_eq!(shared.read(kept.chunk()), 1);
    shared.pool().free(kept);
}

/// A worker died with a task that came back so often that this is counted no further. Somebody sweeps slowly, while the
/// next holder of its index takes the same task.
fn task_taken_again_by_the_next_holder() {
    let shared = Shared::<1>::after(Word(0).to(State::Task, 2, MAX_DELIVERIES));
    shared.dies(2);
    let sweeper = spawn(&shared, |shared| {
        shared.pool().sweep(3, &shared.slots(), |who| shared.is_dead(who));
    });
    shared.dead.swap(0, Ordering::AcqRel);
    shared.acquire(2);
    let task = shared.pool().take_orphan(2).unwrap();
    sweeper.join().unwrap();
    // The sweeper may have been the one who made it an orphan, and told later.
    let task = task.or_else(|| shared.pool().take_orphan(2).unwrap()).unwrap();
    shared.still(task.chunk(), State::Task, 2);
    shared.pool().done(task).unwrap();
}

/// A worker is done, and a sender uses the chunk again.
fn done_and_reused() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let task = shared.work(2).unwrap();
    let worker = spawn(&shared, move |shared| {
        assert_eq!(shared.read(task.chunk()), 1);
        shared.pool().done(task).unwrap();
    });
    if let Some(loan) = shared.pool().loan_at(1, 0, 0) {
        shared.write(loan.chunk(), 2);
    }
    worker.join().unwrap();
}

/// A worker is done and dies; a sweeper has seen the task before.
fn done_beside_a_sweep() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let task = shared.work(2).unwrap();
    let sweeper = spawn(&shared, |shared| {
        shared.pool().sweep(3, &shared.slots(), |who| shared.is_dead(who));
    });
    shared.pool().done(task).unwrap();
    shared.dies(2);
    let loan = shared.pool().loan_at(1, 0, 0).expect("what is done is free");
    sweeper.join().unwrap();
    shared.still(loan.chunk(), State::Loaned, 1);
    assert!(shared.pool().take_orphan(4).unwrap().is_none());
}

/// A worker writes into its task and gives it back; another takes it. The flag is up already.
fn given_back() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    shared.pool().give_back(shared.work(2).unwrap(), 2).unwrap();
    let task = shared.pool().take_orphan(2).unwrap().unwrap();
    let worker = spawn(&shared, move |shared| {
        shared.write(task.chunk(), 2);
        shared.pool().give_back(task, 2).unwrap();
    });
    if let Some(task) = shared.pool().take_orphan(3).unwrap() {
        assert_eq!((shared.read(task.chunk()), task.deliveries()), (2, 2));
        assert_eq!(task.position(), Position::new(LAP, 0));
    }
    worker.join().unwrap();
}

/// A worker gives a task back while another looks in vain, and takes the flag down.
fn announced() {
    let shared = Shared::<2>::new();
    // The flag is up for a task that is done by now.
    assert!(shared.send(1, 0, 1));
    shared.pool().give_back(shared.work(2).unwrap(), 2).unwrap();
    shared.pool().done(shared.pool().take_orphan(2).unwrap().unwrap()).unwrap();
    assert!(shared.send(1, 1, 2));
    let task = shared.work(2).unwrap();
    let worker = spawn(&shared, move |shared| shared.pool().give_back(task, 2).unwrap());
    let early = shared.pool().take_orphan(3).unwrap();
    worker.join().unwrap();
    let late = shared.pool().take_orphan(3).unwrap();
    let task = early.or(late).expect("nobody was told");
    assert_eq!(shared.read(task.chunk()), 2);
}

/// A worker gives a task back, and dies before it told anybody.
fn maker_dies() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let task = shared.work(2).unwrap();
    let worker = spawn(&shared, move |shared| {
        shared.pool().return_untold(task, 2).unwrap();
        shared.dies(2);
    });
    shared.sweep(3);
    let early = shared.pool().take_orphan(3).unwrap();
    worker.join().unwrap();
    shared.sweep(3);
    let late = shared.pool().take_orphan(3).unwrap();
    assert!(early.or(late).is_some(), "nobody was told");
}

/// Two look for the one task that came back.
fn two_take_one_back() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    shared.pool().give_back(shared.work(2).unwrap(), 2).unwrap();
    let take = |shared: &Shared<1>, me| {
        let task = shared.pool().take_orphan(me).unwrap()?;
        shared.write(task.chunk(), me.into());
        shared.still(task.chunk(), State::Task, me);
        Some(())
    };
    let other = spawn(&shared, move |shared| take(shared, 3));
    let mine = take(&shared, 4);
    assert!(other.join().unwrap().xor(mine).is_some());
}

/// The ring gives a message up, with two repairers; then a sender uses the chunk again.
fn given_up_twice() {
    let shared = Shared::<1>::new();
    assert!(shared.send(1, 0, 1));
    let word = mpmc::Word::free(LAP).writing(1).ready(mpmc::MAX_DELIVERIES).reading(2);
    shared.slots().stamp(0).word.store(word.0, Ordering::Relaxed);
    let repair = move |shared: &Shared<1>| {
        let blocker = Blocker { index: 0, word };
        shared.pool().disown(&shared.slots(), blocker);
        shared.slots().repair(blocker);
    };
    let other = spawn(&shared, repair);
    repair(&shared);
    shared.pool().sweep(3, &shared.slots(), |_| false);
    let loan = shared.pool().loan_at(3, 0, 0);
    other.join().unwrap();
    if let Some(loan) = loan {
        shared.still(loan.chunk(), State::Loaned, 3);
        shared.pool().give_up(loan);
    }
    shared.pool().sweep(3, &shared.slots(), |_| false);
    assert!(shared.pool().word(shared.first()).is_free());
}

/// A worker sends the next message before it is done with the last: at no instant is everything finished.
fn join_beside_a_worker_that_sends() {
    let shared = Shared::<2>::new();
    assert!(shared.send(1, 0, 1));
    let worker = spawn(&shared, |shared| {
        let task = shared.work(2).unwrap();
        assert!(shared.send(2, 1, 2));
        shared.pool().done(task).unwrap();
    });
    assert!(!crate::pool::is_finished(&shared.slots(), &shared.pool()), "at no instant it was");
    worker.join().unwrap();
    let task = shared.work(2).unwrap();
    shared.pool().done(task).unwrap();
    assert!(crate::pool::is_finished(&shared.slots(), &shared.pool()));
}

/// File space without end.
struct Endless;

/// Two workers end the last two tasks, one of which is still in the ring; whoever waits for both sleeps without slices.
fn join_asleep_beside_two_workers() {
    let shared = Shared::<2>::new();
    let finished = Arc::new(EventCount::new());
    assert!(shared.send(1, 0, 1));
    let first = shared.work(2).unwrap();
    assert!(shared.send(1, 1, 2));
    let end = |shared: &Shared<2>, task, finished: &EventCount| {
        shared.pool().done(task).unwrap();
        tell(&shared.slots(), finished, Barrier::Fence);
    };
    let other = spawn(&shared, {
        let finished = finished.clone();
        move |shared| end(shared, first, &finished)
    });
    let another = spawn(&shared, {
        let finished = finished.clone();
        move |shared| {
            let task = shared.work(3).unwrap();
            end(shared, task, &finished);
        }
    });
    let attempt = || is_finished(&shared.slots(), &shared.pool()).then_some(());
    let mut waiter = Waiter::unsliced(Wait::Park);
    waiter.wait(&finished, Barrier::Fence, Deadline::NEVER, attempt, || None, || false).unwrap();
    other.join().unwrap();
    another.join().unwrap();
}

impl Backing for Endless {
    fn reserve(&self, _: u64, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn punch(&self, _: u64, _: u64) -> std::io::Result<()> {
        Ok(())
    }
}

/// Two large messages that together are too much.
fn two_grow() {
    struct Large {
        header: Header,
        entries: [Entry; 4],
        extents: [Extent; 2],
    }
    let large = Arc::new(Large {
        header: Header::new(),
        entries: std::array::from_fn(|_| Entry::new(Word(0))),
        extents: std::array::from_fn(|_| Extent::new()),
    });
    let grow = |large: &Large, me| {
        let layout = Layout::of(Demand { messages: 2, max_held: 0, usual: 8, largest: 8, max_bytes: 4096, share: 0 });
        let (area, tail) = (NonNull::from(&large.entries).cast(), NonNull::from(&large.extents).cast());
        // SAFETY: the entries are as many as the layout has, and so are the extents, which under loom lie in the tail.
        let pool = unsafe { Pool::new(NonNull::from(&large.header), area, tail, layout.unwrap()) };
        pool.reserve_extent(me, 3000, &Endless).is_ok()
    };
    let other = thread::spawn({
        let large = large.clone();
        move || grow(&large, 1)
    });
    let mine = grow(&large, 2);
    assert!(!(other.join().unwrap() && mine), "more than there may be");
}
