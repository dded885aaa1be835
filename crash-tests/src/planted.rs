//! Bugs that must be found: one step of an algorithm left out or done wrongly, in a build with instruments.

/// A bug, and the scenarios of which at least one must find it.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// The site in the sources, as written in `mutated!`.
    pub site: &'static str,
    /// Names of scenarios, tried in this order.
    pub scenarios: &'static [&'static str],
}

/// All of them.
pub const PLANTED: &[Planted] = &[
    // A message is announced before it is there.
    Planted { site: "spsc.publish_before_write", scenarios: &["spsc/push"] },
    Planted { site: "bytes.publish_before_payload", scenarios: &["bytes/push"] },
    Planted { site: "bytes.publish_before_record", scenarios: &["bytes/reserve-commit"] },
    // A role is taken over in the wrong place, or never.
    Planted { site: "spsc.write_takeover_one_early", scenarios: &["spsc/producer-takeover"] },
    Planted { site: "spsc.read_takeover_one_late", scenarios: &["spsc/consumer-takeover"] },
    Planted { site: "bytes.write_takeover_one_early", scenarios: &["bytes/producer-takeover"] },
    Planted { site: "bytes.read_takeover_one_late", scenarios: &["bytes/consumer-takeover"] },
    Planted { site: "role.keep_dead", scenarios: &["spsc/producer-heir"] },
    // A slot of a queue.
    Planted { site: "mpmc.commit_before_write", scenarios: &["queue/send"] },
    Planted { site: "mpmc.skip", scenarios: &["queue/send"] },
    Planted { site: "mpmc.redeliver", scenarios: &["queue/repair-receiver"] },
    Planted { site: "mpmc.announce_before", scenarios: &["queue/repair-at-open"] },
    // The memory of a message, and who holds it.
    Planted { site: "pool.commit_first", scenarios: &["byte-queue/send-chunk"] },
    Planted { site: "pool.free_slot_first", scenarios: &["byte-queue/recv-chunk"] },
    Planted { site: "pool.free_slot_first", scenarios: &["tasks/recv-done"] },
    Planted { site: "channel.sweep_pool", scenarios: &["byte-queue/reserve-drop"] },
    Planted { site: "channel.wake_room", scenarios: &["byte-queue/drop-wakes-sender"] },
    // A task that comes back.
    Planted { site: "pool.maker", scenarios: &["tasks/recv-drop"] },
    Planted { site: "pool.announce", scenarios: &["tasks/sweep-task"] },
    Planted { site: "channel.wake_swept", scenarios: &["tasks/sweep-wakes-worker"] },
    Planted { site: "channel.wake_finished", scenarios: &["tasks/done-wakes-joiner"] },
    // What was handed out, and what is done.
    Planted { site: "tally.sweep", scenarios: &["tally/sweep-counted-at-open"] },
    Planted { site: "tally.tell", scenarios: &["tally/done-wakes-joiner"] },
    // Names.
    Planted { site: "segment.link_first", scenarios: &["segment/create"] },
    Planted { site: "segment.retire_first", scenarios: &["segment/unlink-own"] },
    Planted { site: "segment.sweep", scenarios: &["pipe/send-swept"] },
    // What a process holds of a pipe when it dies.
    Planted { site: "gate.patrol", scenarios: &["pipe/send-straight"] },
    Planted { site: "pipe.reload_writer", scenarios: &["pipe/send-first"] },
    Planted { site: "pipe.reload_reader", scenarios: &["pipe/recv-swept"] },
    Planted { site: "pipe.abort", scenarios: &["pipe/send-in-pieces-then-loan"] },
    Planted { site: "pipe.abort_ends", scenarios: &["pipe/send-in-pieces"] },
    Planted { site: "pipe.dead_hold", scenarios: &["named/send-last"] },
    // A mutex, and what becomes of it when its owner is gone.
    Planted { site: "lock.inconsistent", scenarios: &["mutex/lock"] },
    Planted { site: "gate.patrol", scenarios: &["mutex/lock"] },
    Planted { site: "gate.unlock_wakes", scenarios: &["mutex/unlock-wakes"] },
    Planted { site: "gate.leaving_wakes", scenarios: &["mutex/panic-wakes"] },
    Planted { site: "gate.burial_wakes", scenarios: &["mutex/leak-wakes"] },
    Planted { site: "gate.abandon_wakes_all", scenarios: &["mutex/give-up"] },
    Planted { site: "gate.sweep_wakes", scenarios: &["mutex/sweep-wakes"] },
    Planted { site: "segment.sweep", scenarios: &["mutex/lock-of-swept"] },
    // Permits, those of the dead too.
    Planted { site: "count.wakes", scenarios: &["semaphore/release-wakes"] },
    Planted { site: "count.several", scenarios: &["semaphore/release-wakes-beyond"] },
    Planted { site: "permits.patrol", scenarios: &["permits/acquire"] },
    Planted { site: "permits.give_wakes", scenarios: &["permits/drop-wakes"] },
    Planted { site: "permits.sweep_wakes", scenarios: &["permits/sweep-wakes"] },
    Planted { site: "segment.sweep", scenarios: &["permits/acquire-swept"] },
    // A token, and what becomes of it when its holder is gone, in one way or the other.
    Planted { site: "token.patrol", scenarios: &["token/acquire"] },
    Planted { site: "token.recovered", scenarios: &["token/acquire-swept"] },
    Planted { site: "token.give_clears", scenarios: &["token/acquire"] },
    Planted { site: "token.give_wakes", scenarios: &["token/release-wakes"] },
    Planted { site: "token.sweep_wakes", scenarios: &["token/sweep-wakes"] },
    Planted { site: "token.hand_over", scenarios: &["token/hand-over"] },
    Planted { site: "token.hand_over", scenarios: &["token/drop-held"] },
    Planted { site: "token.hand_over", scenarios: &["token/hand-over-arena"] },
    Planted { site: "segment.sweep", scenarios: &["token/acquire-swept"] },
    // What others are told.
    Planted { site: "flag.wakes", scenarios: &["event/set-wakes"] },
    Planted { site: "flag.wakes_all", scenarios: &["event/set-wakes"] },
    Planted { site: "flag.pulse", scenarios: &["event/set-and-clear-wakes"] },
    Planted { site: "condition.moves", scenarios: &["condvar/notify-one"] },
    Planted { site: "condition.wakes", scenarios: &["condvar/notify-all"] },
    Planted { site: "condition.release", scenarios: &["condvar/notification-goes-along"] },
    Planted { site: "condition.bury", scenarios: &["condvar/notification-goes-along"] },
    Planted { site: "attendance.enter", scenarios: &["condvar/notification-goes-along"] },
    // Parties that wait for each other.
    Planted { site: "rendezvous.patrol", scenarios: &["barrier/wait-between"] },
    Planted { site: "rendezvous.wakes_all", scenarios: &["barrier/wait-last-of-three"] },
    Planted { site: "rendezvous.break_wakes", scenarios: &["barrier/reset"] },
    Planted { site: "rendezvous.log", scenarios: &["barrier/reset"] },
    // A value that changes as a whole.
    Planted { site: "journal.log_first", scenarios: &["cells/write"] },
    Planted { site: "journal.settle", scenarios: &["cells/write-slice"] },
    Planted { site: "journal.settle", scenarios: &["cells/finish"] },
    // A dictionary.
    Planted { site: "map.commit_first", scenarios: &["map/insert"] },
    Planted { site: "map.settled", scenarios: &["map/insert"] },
    Planted { site: "map.link_first", scenarios: &["map/insert"] },
    Planted { site: "map.mending", scenarios: &["map/insert-after-dead"] },
    // A block of an arena, and a piece of its memory.
    Planted { site: "tenure.leave_closes", scenarios: &["arena/drop-last"] },
    Planted { site: "tenure.sweep_closes", scenarios: &["arena/drop-last"] },
    Planted { site: "arena.sweep_slabs", scenarios: &["arena/create-first"] },
    Planted { site: "arena.sweep_objects", scenarios: &["arena/sweep"] },
    Planted { site: "arena.wipe", scenarios: &["arena/create-again"] },
    // Readiness.
    Planted { site: "bell.put_first", scenarios: &["bell/send-anonymous"] },
];

/// Breaks the step, in this process and those it forks. `false` if this build has no instruments.
pub fn plant(site: &'static str) -> bool {
    #[cfg(ringway_instruments)]
    ringway::instruments::plant(site);
    let _ = site;
    cfg!(ringway_instruments)
}
