//! Real processes around one bell, killed at random: three that send, two that poll.
//!
//! The ring has room for one message, so that a byte too few is never made good by the next sender's: nothing moves
//! any more, and that is seen. Every now and then the senders pause, and then the ring must become empty and the
//! descriptor unreadable. The wrong orders are run as well and must get stuck.

use super::super::stress::{Child, PATIENCE, limit};
use super::{Bell, Clapper, Ear};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::clock;
use crate::sys::cpus;
use crate::sys::socket::{self, Fifo, Heard, Line};
use crate::wait::Barrier;
use crossbeam_utils::CachePadded;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

const SENDERS: usize = 3;
const RECEIVERS: usize = 2;

/// Somebody neither sleeps nor gets anywhere.
const HOPELESS: Duration = Duration::from_secs(120);

/// Lies in memory that all processes map; all-zero is its beginning.
#[repr(C)]
struct Shared {
    tail: CachePadded<AtomicU64>,
    head: CachePadded<AtomicU64>,
    bell: CachePadded<Bell>,
    /// Who holds the lock of the sending and of the receiving end; 0 is nobody.
    locks: [CachePadded<AtomicU32>; 2],
    /// Odd: senders pause. Each writes the number it has seen.
    pause: CachePadded<AtomicU32>,
    paused: [CachePadded<AtomicU32>; SENDERS],
    /// How often each process has begun anew: the senders, then the receivers.
    turns: [CachePadded<AtomicU64>; SENDERS + RECEIVERS],
    /// Polls that found nothing, and settlings.
    vain: AtomicU64,
    settled: AtomicU64,
}

/// What the byte travels through.
enum Wire {
    Sockets(OwnedFd, OwnedFd),
    Fifo(Fifo),
}

impl Wire {
    fn ear(&self) -> BorrowedFd<'_> {
        match self {
            Wire::Sockets(_, ear) => ear.as_fd(),
            Wire::Fifo(fifo) => fifo.as_fd(),
        }
    }
}

impl Clapper for Wire {
    fn put(&self) -> bool {
        match self {
            Wire::Sockets(clapper, _) => Line::new(clapper.as_fd()).put(),
            Wire::Fifo(fifo) => fifo.put(),
        }
    }
}

impl Ear for Wire {
    fn is_there(&self) -> bool {
        match self {
            Wire::Sockets(_, ear) => Line::new(ear.as_fd()).is_there(),
            Wire::Fifo(fifo) => fifo.is_there(),
        }
    }

    fn take(&self) -> bool {
        match self {
            Wire::Sockets(_, ear) => Line::new(ear.as_fd()).take(),
            Wire::Fifo(fifo) => fifo.take(),
        }
    }
}

/// How senders and receivers meet.
#[derive(Clone, Copy)]
enum Order {
    /// As it ships, if both have the same barrier.
    Settle { sender: Barrier, receiver: Barrier },
    /// Takes the byte, then arms.
    TakeThenArm,
}

impl Order {
    fn sender(self) -> Barrier {
        match self {
            Order::Settle { sender, .. } => sender,
            Order::TakeThenArm => Barrier::Fence,
        }
    }
}

/// Uneven pauses. Most are short; some let another process come in between any two steps.
#[derive(Clone, Copy)]
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn rest(&mut self) {
        let draw = self.next();
        if draw & 0x7f == 0 {
            clock::pause(50_000);
        } else {
            for _ in 0..(draw >> 20) & 0x3f {
                std::hint::spin_loop();
            }
        }
    }
}

/// Rests before and behind the byte, where a sender is to be killed.
struct Slow<'a>(&'a Wire, std::cell::Cell<Noise>);

impl Slow<'_> {
    fn rest(&self) {
        let mut noise = self.1.get();
        noise.rest();
        self.1.set(noise);
    }
}

impl Clapper for Slow<'_> {
    fn put(&self) -> bool {
        self.rest();
        let put = self.0.put();
        self.rest();
        put
    }
}

// The children neither allocate nor panic: they come from a process with threads.

fn lock(word: &AtomicU32, me: u32) {
    // Acquire: pairs with `unlock`, or with the parent's giving back for a holder that is gone.
    while word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
        cpus::give_way();
    }
}

fn unlock(word: &AtomicU32) {
    word.store(0, Ordering::Release);
}

impl Shared {
    fn is_empty(&self) -> bool {
        // Acquire: pairs with the sender's Release.
        self.tail.load(Ordering::Acquire) == self.head.load(Ordering::Relaxed)
    }

    fn send(&self, wire: &Wire, order: Order, me: u32, slot: usize) -> i32 {
        let noise = Noise(u64::from(me).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let clapper = Slow(wire, std::cell::Cell::new(noise));
        loop {
            self.turns[slot].fetch_add(1, Ordering::Relaxed);
            let pause = self.pause.load(Ordering::Acquire);
            if pause & 1 == 1 {
                self.paused[slot].store(pause, Ordering::Release);
                clock::pause(100_000);
                continue;
            }
            lock(&self.locks[0], me);
            // Acquire: pairs with the receiver's Release.
            let tail = self.tail.load(Ordering::Relaxed);
            let space = tail == self.head.load(Ordering::Acquire);
            if space {
                // Release: pairs with the receivers' Acquire.
                self.tail.store(tail + 1, Ordering::Release);
            }
            unlock(&self.locks[0]);
            if space {
                self.bell.ring(order.sender(), &clapper);
                clapper.rest();
            } else {
                cpus::give_way();
            }
        }
    }

    fn receive(&self, wire: &Wire, order: Order, me: u32, slot: usize) -> i32 {
        let mut noise = Noise(u64::from(me).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        loop {
            self.turns[SENDERS + slot].fetch_add(1, Ordering::Relaxed);
            if socket::listen(wire.ear(), u64::MAX) == Heard::HungUp {
                return 1;
            }
            lock(&self.locks[1], me);
            if self.is_empty() {
                self.vain.fetch_add(1, Ordering::Relaxed);
            } else {
                let head = self.head.load(Ordering::Relaxed);
                self.head.store(head + 1, Ordering::Release);
            }
            if self.is_empty() {
                self.settled.fetch_add(1, Ordering::Relaxed);
                self.settle(wire, order, &mut noise);
            }
            unlock(&self.locks[1]);
            noise.rest();
        }
    }

    fn settle(&self, wire: &Wire, order: Order, noise: &mut Noise) {
        match order {
            Order::Settle { receiver, .. } => {
                let looks = || {
                    let empty = self.is_empty();
                    noise.rest();
                    empty
                };
                // What it saw after all makes the pollers come again.
                let _ = self.bell.settle_if_watched(receiver, wire, looks);
            }
            Order::TakeThenArm => {
                wire.take();
                noise.rest();
                let seen = self.bell.0.load(Ordering::Relaxed);
                self.bell.arm(seen);
            }
        }
    }
}

/// All processes, by the numbers they hold locks with.
struct Crowd<'a> {
    shared: &'static Shared,
    wire: &'a Wire,
    order: Order,
    senders: Vec<(u32, Child)>,
    receivers: Vec<(u32, Child)>,
    last: u32,
}

impl<'a> Crowd<'a> {
    fn new(shared: &'static Shared, wire: &'a Wire, order: Order) -> Self {
        let mut crowd = Crowd { shared, wire, order, senders: Vec::new(), receivers: Vec::new(), last: 0 };
        crowd.senders = (0..SENDERS).map(|slot| crowd.sender(slot)).collect();
        crowd.receivers = (0..RECEIVERS).map(|slot| crowd.receiver(slot)).collect();
        crowd
    }

    fn sender(&mut self, slot: usize) -> (u32, Child) {
        self.last += 1;
        let (shared, wire, order, me) = (self.shared, self.wire, self.order, self.last);
        (me, Child::spawn(|| shared.send(wire, order, me, slot)))
    }

    fn receiver(&mut self, slot: usize) -> (u32, Child) {
        self.last += 1;
        let (shared, wire, order, me) = (self.shared, self.wire, self.order, self.last);
        (me, Child::spawn(|| shared.receive(wire, order, me, slot)))
    }

    fn kill(&mut self, victim: usize) {
        let (end, id, child) = if victim < SENDERS {
            let fresh = self.sender(victim);
            let (id, child) = std::mem::replace(&mut self.senders[victim], fresh);
            (0, id, child)
        } else {
            let fresh = self.receiver(victim - SENDERS);
            let (id, child) = std::mem::replace(&mut self.receivers[victim - SENDERS], fresh);
            (1, id, child)
        };
        drop(child); // kills it and waits until it is gone
        let lock = &self.shared.locks[end];
        // Release: pairs with `lock`; what the dead one did came before its end.
        let _ = lock.compare_exchange(id, 0, Ordering::Release, Ordering::Relaxed);
        if end == 0 {
            // On behalf of the dead: it may have published and not rung.
            self.shared.bell.ring(Barrier::of_this_process(), self.wire);
        }
    }

    fn progress(&self) -> (u64, u64) {
        (self.shared.tail.load(Ordering::Acquire), self.shared.head.load(Ordering::Acquire))
    }

    fn describe(&self, what: &str) -> String {
        let (tail, head) = self.progress();
        let (bell, readable) = (&self.shared.bell, self.wire.is_there());
        let asleep = self.receivers.iter().filter(|(_, child)| child.asleep()).count();
        format!(
            "{what} at tail {tail}, head {head}: {bell:?}, readable {readable}, {asleep} receivers asleep"
        )
    }

    fn turns(&self) -> [u64; SENDERS + RECEIVERS] {
        self.shared.turns.each_ref().map(|turns| turns.load(Ordering::Relaxed))
    }

    /// Whether each process, since it had these turns, has done all that it had begun, or is asleep. (One that is neither may
    /// only be waiting for a processor.)
    fn had_its_chance(&self, since: &[u64; SENDERS + RECEIVERS]) -> bool {
        let children = self.senders.iter().chain(&self.receivers);
        let mut each = children.zip(self.turns()).zip(since);
        each.all(|(((_, child), now), then)| now >= then + 2 || child.asleep())
    }

    /// Watches until `done`, or until nothing has moved for `patience`, though everybody had the chance.
    fn until(&self, done: impl Fn() -> bool, patience: Duration, what: &str) -> Result<(), String> {
        let (mut seen, mut turns, mut since) = (self.progress(), self.turns(), Instant::now());
        while !done() {
            let now = self.progress();
            if now != seen {
                (seen, turns, since) = (now, self.turns(), Instant::now());
            }
            let is_over = || self.had_its_chance(&turns) && self.progress() == seen && !done();
            if since.elapsed() >= HOPELESS || since.elapsed() >= patience && is_over() {
                return Err(self.describe(what));
            }
            cpus::give_way();
        }
        Ok(())
    }

    /// Pauses the senders. Then everything sent must be received and the descriptor fall silent.
    fn quieten(&self, patience: Duration) -> Result<(), String> {
        let pause = self.shared.pause.fetch_add_one();
        let paused = || self.shared.paused.iter().all(|seen| seen.load(Ordering::Acquire) == pause);
        self.until(paused, patience, "a sender does not pause")?;
        let quiet = || self.shared.is_empty() && socket::listen(self.wire.ear(), 0) == Heard::TimedOut;
        self.until(quiet, patience, "not quiet")?;
        self.shared.pause.fetch_add_one();
        Ok(())
    }
}

trait Count {
    fn fetch_add_one(&self) -> u32;
}

impl Count for AtomicU32 {
    /// The new number. Only one process counts.
    fn fetch_add_one(&self) -> u32 {
        let next = self.load(Ordering::Relaxed) + 1;
        self.store(next, Ordering::Release);
        next
    }
}

/// Runs for `limit`, killing one process in every round if `kills`. `Err` tells how it got stuck.
fn run(
    wire: &Wire,
    order: Order,
    kills: bool,
    limit: Duration,
    patience: Duration,
) -> Result<String, String> {
    let size = size_of::<Shared>();
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping of its own.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
    assert_ne!(map, libc::MAP_FAILED);
    // SAFETY: page-aligned, large enough, never unmapped, all-zero, and `Shared` is atomics only.
    let shared: &'static Shared = unsafe { &*map.cast::<Shared>() };
    match wire {
        Wire::Sockets(..) => {
            shared.bell.start();
            shared.bell.enable();
        }
        Wire::Fifo(fifo) => shared.bell.enable_with(fifo),
    }
    let mut crowd = Crowd::new(shared, wire, order);
    let (mut killed, mut checks) = ([0_u64; 2], 0_u64);
    let mut noise = Noise(88_172_645_463_325_252);
    let began = Instant::now();
    while began.elapsed() < limit {
        for _ in 0..10 {
            let goal = crowd.progress().1 + noise.next() % 100;
            crowd.until(|| crowd.progress().1 >= goal, patience, "stuck")?;
            if kills {
                let victim = (noise.next() % (SENDERS + RECEIVERS) as u64) as usize;
                crowd.kill(victim);
                killed[usize::from(victim >= SENDERS)] += 1;
            }
        }
        crowd.quieten(patience)?;
        checks += 1;
    }
    let [vain, settled] = [&shared.vain, &shared.settled].map(|count| count.load(Ordering::Relaxed));
    assert!(checks > 0 && settled > 0, "nothing was shown");
    let (_, received) = crowd.progress();
    Ok(format!(
        "{received} messages, {settled} settlings, {vain} polls in vain, {} senders and {} receivers killed, \
         {checks} quiet checks, 0 bad",
        killed[0], killed[1]
    ))
}

fn sockets() -> Wire {
    let (clapper, ear) = socket::pair().expect("a pair of sockets");
    Wire::Sockets(clapper, ear)
}

fn loses_nothing(name: &str, wire: &Wire, barrier: Barrier, kills: bool) {
    let order = Order::Settle { sender: barrier, receiver: barrier };
    let report = run(wire, order, kills, limit(), PATIENCE).unwrap_or_else(|stuck| panic!("{name}: {stuck}"));
    println!("stress  bell, {name}: {report}");
}

/// What only a reordering by the processor breaks shows when it shows: reported, not demanded. The models do that.
fn may_get_stuck(name: &str, order: Order) {
    match run(&sockets(), order, false, limit(), Duration::from_secs(1)) {
        Err(stuck) => println!("stress  bell, {name}: {stuck}"),
        Ok(report) => println!("stress  bell, {name}: not seen to lose a byte this time in {report}"),
    }
}

fn gets_stuck(name: &str, order: Order) {
    let stuck = run(&sockets(), order, false, Duration::from_secs(120), Duration::from_secs(1));
    let stuck = stuck.expect_err("the wrong order lost nothing: this stress has no teeth");
    // A byte too few, and not, say, processes that are gone.
    assert!(stuck.ends_with(&format!("readable false, {RECEIVERS} receivers asleep")), "{stuck}");
    println!("stress  bell, {name}: {stuck}");
}

#[test]
fn killed_around_sockets() {
    loses_nothing("sockets, kills", &sockets(), Barrier::of_this_process(), true);
}

#[test]
fn killed_around_a_fifo() {
    let dir = std::fs::File::open(std::env::temp_dir()).expect("a directory for temporary files");
    let name = std::ffi::CString::new(format!(".bell-stress-{}", std::process::id())).expect("no NUL");
    let fifo = Fifo::open(dir.as_fd(), &name, 0o600, crate::sys::identity::effective_user()).expect("a FIFO");
    crate::sys::file::unlink_at(dir.as_fd(), &name).expect("our own FIFO");
    loses_nothing("FIFO, kills", &Wire::Fifo(fifo), Barrier::of_this_process(), true);
}

#[test]
fn fences_lose_nothing() {
    loses_nothing("fences", &sockets(), Barrier::Fence, false);
}

#[test]
fn light_barriers_lose_nothing() {
    loses_nothing("light", &sockets(), Barrier::of_this_process(), false);
}

#[test]
fn taking_before_arming_gets_stuck() {
    gets_stuck("take, then arm", Order::TakeThenArm);
}

#[test]
fn light_senders_without_heavy_receivers_are_watched() {
    let sender = Barrier::of_this_process();
    if matches!(sender, Barrier::Fence) || cpus::usable() == 1 {
        println!("stress  bell, half a barrier: cannot fail here, without membarrier or a second processor");
        return;
    }
    may_get_stuck("half a barrier", Order::Settle { sender, receiver: Barrier::Fence });
}
