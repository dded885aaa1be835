//! Processes of two C libraries agree by the same objects: this one, and peers built for musl.
//!
//! `ci/libcs.sh` builds the peer for musl and says in `RINGWAY_MUSL_PEER` where it is.

use bytemuck::Zeroable;
use process_tests::halves::{Halves, add, repair};
use process_tests::support::{Peer, Test, rounds};
use ringway::{Barrier, Condvar, Event, LockError, Mutex, OwnedSemaphore, Semaphore};

/// Peers of both C libraries, under one watchdog each.
struct Libcs {
    ours: Test,
    musl: Test,
}

impl Libcs {
    fn new(name: &'static str) -> Self {
        let program =
            std::env::var("RINGWAY_MUSL_PEER").expect("run ci/libcs.sh, which builds a peer for musl");
        let bytes = std::fs::read(&program).expect("there is no such peer");
        assert!(!bytes.windows(10).any(|found| found == b"libc.so.6\0"), "the peer is one of glibc");
        Libcs { ours: Test::new(name, env!("CARGO_BIN_EXE_peer")), musl: Test::new(name, program.leak()) }
    }

    fn path(&self, what: &str) -> String {
        self.ours.path(what)
    }

    /// One peer of either library; which of them comes first changes with the round.
    fn both(&self, round: u64, script: &str) -> [Peer<'_>; 2] {
        let [first, second] =
            if round.is_multiple_of(2) { [&self.ours, &self.musl] } else { [&self.musl, &self.ours] };
        [first.start(script), second.start(script)]
    }
}

#[test]
#[ignore = "needs a peer built for musl: ci/libcs.sh"]
fn they_lock_one_mutex_in_turns() {
    let libcs = Libcs::new("libcs-turns");
    let path = libcs.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    let peers = [(); 2].map(|()| libcs.both(0, &format!("mutex {path} count:3000")));
    (0..1000).for_each(|_| add(&mutex));
    for mut peer in peers.into_iter().flatten() {
        peer.expect("counted");
        peer.succeed();
    }
    let halves = *mutex.lock().unwrap();
    assert_eq!((halves.left, halves.right, halves.repairs), (13_000, 13_000, 0));
}

#[test]
#[ignore = "needs a peer built for musl: ci/libcs.sh"]
fn each_recovers_the_mutex_of_the_other() {
    let libcs = Libcs::new("libcs-kills");
    let path = libcs.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for round in 0..rounds() / 3 {
        let (ours, musl) = (&libcs.ours, &libcs.musl);
        let [first, second] = if round % 2 == 0 { [ours, musl] } else { [musl, ours] };
        let mut holder = first.start(&format!("mutex {path} half hang"));
        holder.expect("half");
        let mut heir = second.start(&format!("mutex {path} hold count:0 hang"));
        if round % 3 > 0 {
            heir.until_asleep();
        }
        holder.kill();
        heir.expect("inherited");
        heir.expect("counted");
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        heir.kill();
        // It died after its repair, and with the mutex.
        let Err(LockError::OwnerDied(inherited)) = mutex.lock() else {
            panic!("granted as if all were well")
        };
        assert_eq!((inherited.left, inherited.right), (round + 1, round + 1));
        drop(inherited.recover(repair));
        holder.was_killed();
        heir.was_killed();
    }
}

#[test]
#[ignore = "needs a peer built for musl: ci/libcs.sh"]
fn they_count_while_some_are_killed() {
    let libcs = Libcs::new("libcs-racers");
    let path = libcs.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for round in 0..rounds() / 6 {
        let racers = libcs.both(round, &format!("mutex {path} race"));
        (0..1 + round * 13 % 40).for_each(|_| add(&mutex));
        racers[0].kill();
        (0..10).for_each(|_| add(&mutex));
        racers[1].kill();
        add(&mutex);
        racers.into_iter().for_each(|racer| racer.was_killed());
    }
    add(&mutex);
    let halves = *mutex.lock().unwrap();
    assert_eq!(halves.left, halves.right);
}

#[test]
#[ignore = "needs a peer built for musl: ci/libcs.sh"]
fn they_agree_by_all_else_too() {
    let libcs = Libcs::new("libcs-rest");
    let [semaphore_path, owned_path, event_path, barrier_path, condvar_path] =
        ["semaphore", "owned", "event", "barrier", "condvar"].map(|what| libcs.path(what));
    let semaphore = Semaphore::create(&semaphore_path, 0).unwrap();
    let owned = OwnedSemaphore::create(&owned_path, 2).unwrap();
    let event = Event::create(&event_path).unwrap();
    let barrier = Barrier::create(&barrier_path, 3).unwrap();
    let mutex = Mutex::create(&format!("{condvar_path}.mutex"), Halves::zeroed()).unwrap();
    let condvar = Condvar::create(&condvar_path).unwrap();
    for round in 1..=rounds() / 12 {
        let done = |peers: [Peer<'_>; 2], line: &str| {
            for mut peer in peers {
                peer.expect(line);
                peer.succeed();
            }
        };
        let takers = libcs.both(round, &format!("semaphore {semaphore_path} take"));
        semaphore.release_many(2).unwrap();
        done(takers, "taken");

        let waiters = libcs.both(round, &format!("event {event_path} await"));
        event.set();
        done(waiters, "set");
        event.clear();

        let parties = libcs.both(round, &format!("barrier {barrier_path} meet"));
        barrier.wait().unwrap();
        done(parties, "met");

        let waiters = libcs.both(round, &format!("condvar {condvar_path} await:{round}"));
        add(&mutex);
        condvar.notify_all();
        done(waiters, "reached");

        let mut holders = libcs.both(round, &format!("owned {owned_path} hold hang"));
        holders.iter_mut().for_each(|holder| holder.expect("held"));
        holders.into_iter().for_each(|holder| {
            holder.kill();
            holder.was_killed();
        });
        let permits = [(); 2].map(|()| owned.acquire().unwrap());
        assert!(permits.iter().all(|permit| permit.was_recovered()) && owned.recovered() == 2 * round);
    }
}
