//! Two real processes that sleep without slices, so that a lost wake-up stays lost and is seen.
//!
//! The models show that the protocol is right under loom's rules; this shows that the kernel and the processor
//! play by them, which matters most for the light barrier, which no model can express. The wrong orders are run
//! as well and must get stuck: a stress that cannot lose a wake-up would prove nothing.
//!
//! `RINGWAY_STRESS_SECONDS` sets how long each right order runs (2 by default); `ci/stress.sh` runs them alone.

use super::{ALL, Barrier, Deadline, EventCount, Wait, Waiter};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sys::{clock, cpus, futex};
use crossbeam_utils::CachePadded;
use std::time::{Duration, Instant};

/// Lies in memory that both processes map; all-zero is its beginning. Room for one message only, so that a missed
/// sleeper stays missed: with more, the sender's next message would wake it.
#[repr(C)]
struct Shared {
    tail: CachePadded<AtomicU64>,
    head: CachePadded<AtomicU64>,
    items: CachePadded<EventCount>,
    space: CachePadded<EventCount>,
    stop: CachePadded<AtomicU32>,
    message: AtomicU64,
}

/// How sleepers and wakers meet.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// As it ships.
    Right { publisher: Barrier, sleeper: Barrier },
    /// Wakes, then clears; arms by setting the flag.
    ClearAfterWake,
}

impl PartialEq for Barrier {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Barrier::Light(_), Barrier::Light(_)) | (Barrier::Fence, Barrier::Fence))
    }
}

impl Order {
    fn wake(self, ec: &EventCount) {
        match self {
            Order::Right { publisher, .. } => ec.wake(1, publisher),
            Order::ClearAfterWake => {
                fence(Ordering::SeqCst);
                let word = ec.word();
                let seen = word.load(Ordering::Relaxed);
                if seen & 1 != 0 && futex::wake(word, 1) == 0 {
                    // Between the two the other falls asleep, also where there is one processor only.
                    clock::pause(50_000);
                    let _ = word.compare_exchange(
                        seen,
                        (seen & !1).wrapping_add(4),
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                }
            }
        }
    }

    fn wait<R>(self, ec: &EventCount, attempt: impl Fn() -> Option<R>) -> R {
        match self {
            Order::Right { sleeper, .. } => {
                let mut waiter = Waiter::unsliced(Wait::Park);
                match waiter.wait(ec, sleeper, Deadline::NEVER, &attempt, || None, || false) {
                    Ok(done) => done,
                    Err(_) => unreachable!("no deadline, no time-out"),
                }
            }
            Order::ClearAfterWake => loop {
                if let Some(done) = attempt() {
                    return done;
                }
                let word = ec.word();
                let armed = word.fetch_or(1, Ordering::AcqRel) | 1;
                fence(Ordering::SeqCst);
                if let Some(done) = attempt() {
                    return done;
                }
                futex::wait(word, armed, futex::FOR_EVER);
            },
        }
    }
}

// Neither side allocates, prints or panics: they are children of a process with threads.

/// Uneven pauses, so that each side publishes while the other is at every point of falling asleep.
struct Noise(u64);

impl Noise {
    /// Watches for up to some microseconds; whoever sees it come acts at once, while the other has hardly
    /// begun to wait. Then a pause of up to half a microsecond.
    fn watch(&mut self, attempt: impl Fn() -> Option<bool>) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        for _ in 0..self.0 & 0x1ff {
            if attempt().is_some() {
                break;
            }
            std::hint::spin_loop();
        }
        for _ in 0..(self.0 >> 20) & 0xf {
            std::hint::spin_loop();
        }
    }
}

/// Sends 1, 2, 3 … 0 is success.
fn send(shared: &Shared, order: Order) -> i32 {
    let mut noise = Noise(88_172_645_463_325_252);
    let mut tail = 0;
    loop {
        let space = || {
            let stop = shared.stop.load(Ordering::Acquire) != 0;
            // Acquire: pairs with the receiver's Release; the message has been read.
            (stop || tail == shared.head.load(Ordering::Acquire)).then_some(!stop)
        };
        noise.watch(space);
        if !order.wait(&shared.space, space) {
            return 0;
        }
        shared.message.store(tail + 1, Ordering::Relaxed);
        tail += 1;
        // Release: pairs with the receiver's Acquire; the message is written.
        shared.tail.store(tail, Ordering::Release);
        order.wake(&shared.items);
    }
}

/// Receives and checks. 0 is success, 1 a wrong message.
fn receive(shared: &Shared, order: Order) -> i32 {
    let mut noise = Noise(2_463_534_242);
    let mut head = 0;
    loop {
        let items = || {
            let stop = shared.stop.load(Ordering::Acquire) != 0;
            // Acquire: pairs with the sender's Release; the message is written.
            (stop || shared.tail.load(Ordering::Acquire) > head).then_some(!stop)
        };
        noise.watch(items);
        if !order.wait(&shared.items, items) {
            return 0;
        }
        if shared.message.load(Ordering::Relaxed) != head + 1 {
            return 1;
        }
        head += 1;
        // Release: pairs with the sender's Acquire; the message has been read.
        shared.head.store(head, Ordering::Release);
        order.wake(&shared.space);
    }
}

/// A child process that ends with this value.
pub(super) struct Child(libc::pid_t);

impl Child {
    /// `body` uses only its own stack, shared memory and system calls.
    pub(super) fn spawn(body: impl FnOnce() -> i32) -> Self {
        // SAFETY: the child runs `body`, which needs nothing that other threads may have held locked.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: no memory is passed. The child must not outlive a test that was killed.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let code = body();
                // SAFETY: ends the child without running what belongs to its parent.
                unsafe { libc::_exit(code) }
            }
            pid => {
                assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
                Child(pid)
            }
        }
    }

    /// Whether it sleeps in the kernel.
    pub(super) fn asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
    }

    pub(super) fn join(self) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is ours to fill.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        let exited = waited == self.0 && libc::WIFEXITED(status);
        std::mem::forget(self);
        if exited { libc::WEXITSTATUS(status) } else { -1 }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: our own child, not yet waited for, so that the number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: a null status asks for none.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

/// Runs for `limit`. `Err` is a lost wake-up: nothing moved for `patience`, and both are asleep, one of whom has something
/// to do. (One that is awake may only be waiting for a processor, before it wakes the other.)
fn run(order: Order, limit: Duration, patience: Duration) -> Result<String, String> {
    let size = size_of::<Shared>();
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping of its own.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
    assert_ne!(map, libc::MAP_FAILED);
    // SAFETY: page-aligned, large enough, never unmapped, all-zero, and `Shared` is atomics only.
    let shared: &'static Shared = unsafe { &*map.cast::<Shared>() };

    let sender = Child::spawn(|| send(shared, order));
    let receiver = Child::spawn(|| receive(shared, order));
    let began = Instant::now();
    let (mut seen, mut since) = ((0, 0), Instant::now());
    while began.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(20));
        let progress = || (shared.tail.load(Ordering::Acquire), shared.head.load(Ordering::Acquire));
        let now = progress();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        let starved = || sender.asleep() && receiver.asleep() && progress() == seen;
        if since.elapsed() >= patience && starved() {
            let (items, space) = (&shared.items, &shared.space);
            return Err(format!(
                "stuck after {:?} at tail {}, head {}: {items:?}, {space:?}",
                began.elapsed(),
                now.0,
                now.1
            ));
        }
    }
    shared.stop.store(1, Ordering::Release);
    shared.items.wake(ALL, Barrier::Fence);
    shared.space.wake(ALL, Barrier::Fence);
    assert_eq!((sender.join(), receiver.join()), (0, 0), "a process failed");
    let ((item_wakes, item_sleeps), (space_wakes, space_sleeps)) =
        (shared.items.counts(), shared.space.counts());
    assert!(item_sleeps > 0 && space_sleeps > 0, "nobody slept, so nothing was shown");
    Ok(format!(
        "{} messages, {} sleeps, {} wakes",
        shared.tail.load(Ordering::Relaxed),
        item_sleeps + space_sleeps,
        item_wakes + space_wakes
    ))
}

/// How long a lost wake-up must last to be called one.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn limit() -> Duration {
    let seconds =
        std::env::var("RINGWAY_STRESS_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

fn loses_nothing(name: &str, barrier: Barrier) {
    let order = Order::Right { publisher: barrier, sleeper: barrier };
    // A wake-up lost at the end must have the time to be called so.
    let report = run(order, limit(), PATIENCE).unwrap_or_else(|stuck| panic!("{name}: {stuck}"));
    println!("stress  {name}: {report}");
}

fn gets_stuck(name: &str, order: Order) {
    let stuck = run(order, Duration::from_secs(120), Duration::from_secs(1));
    let stuck = stuck.expect_err("the wrong order lost nothing: this stress has no teeth");
    println!("stress  {name}: {stuck}");
}

/// What only a reordering by the processor breaks shows when it shows, rarely on a busy machine: reported, not
/// demanded. The models demand it (`barrier.publisher`, `barrier.sleeper`).
fn may_get_stuck(name: &str, order: Order) {
    match run(order, limit(), Duration::from_secs(1)) {
        Err(stuck) => println!("stress  {name}: {stuck}"),
        Ok(report) => println!("stress  {name}: not seen to lose a wake-up this time in {report}"),
    }
}

#[test]
fn light_barriers_lose_no_wakeup() {
    let barrier = Barrier::of_this_process();
    if barrier == Barrier::Fence {
        println!("stress  light: this kernel has no membarrier");
        return;
    }
    loses_nothing("light", barrier);
}

#[test]
fn fences_lose_no_wakeup() {
    loses_nothing("fence", Barrier::Fence);
}

#[test]
fn clearing_after_the_wake_gets_stuck() {
    gets_stuck("clear after wake", Order::ClearAfterWake);
}

#[test]
fn a_light_publisher_without_heavy_sleepers_is_watched() {
    let publisher = Barrier::of_this_process();
    if publisher == Barrier::Fence || cpus::usable() == 1 {
        println!("stress  half a barrier: cannot fail here, without membarrier or a second processor");
        return;
    }
    may_get_stuck("half a barrier", Order::Right { publisher, sleeper: Barrier::Fence });
}
