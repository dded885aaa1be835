//! What `stat` says of queues.

use ringway::inspect::{InHand, Queue};

use super::{json_process, json_traffic, line, traffic, who};
use crate::report::{json::Object, units};

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, queue: &Queue) {
    let again = match queue.orphans {
        0 => String::new(),
        orphans => format!(", {} of them once more", units::count(orphans)),
    };
    let bytes = queue
        .chunks
        .map_or_else(String::new, |chunks| format!(", {} bytes", units::count(chunks.queued_bytes)));
    line(out, "in it", &format!("{} messages{bytes}{again}", units::count(queue.held)));
    line(out, "sent", &format!("{} messages", units::count(queue.sent)));
    if let Some(tally) = &queue.tally {
        let (unfinished, done) = (units::count(tally.unfinished), units::count(tally.done));
        line(out, "unfinished", &format!("{unfinished} messages, {done} are done"));
    }
    let mut what = "in hand";
    for hand in &queue.in_hand {
        line(out, what, &format!("{} {}", who(&hand.participant), in_hand(hand)));
        what = "";
    }
    if queue.closed {
        line(out, "closed", "nobody can send any more");
    }
    if let Some(chunks) = &queue.chunks {
        let used = format!("{} of {} chunks in use", units::count(chunks.used), units::count(chunks.total));
        line(out, "memory", &used);
        let (large, most) = (units::count(chunks.large_bytes), units::count(chunks.max_large_bytes));
        if chunks.max_large_bytes > 0 {
            line(
                out,
                "",
                &format!("{large} of at most {most} bytes reserved for messages of more than 64 KiB"),
            );
        }
        if chunks.corrupt > 0 {
            let corrupt = units::count(chunks.corrupt);
            line(out, "", &format!("{corrupt} chunks lost: the shared memory is corrupt"));
        }
    }
    let repairs = format!(
        "{} processes died; {} messages delivered again, {} given up, {} places skipped",
        units::count(queue.deaths),
        units::count(queue.redelivered),
        units::count(queue.given_up),
        units::count(queue.skipped)
    );
    line(out, "repairs", &repairs);
    line(out, "receivers", &traffic(&queue.items));
    line(out, "senders", &traffic(&queue.space));
    if queue.chunks.is_some() {
        line(out, "for memory", &traffic(&queue.room));
        line(out, "for the end", &traffic(&queue.finished));
    }
}

/// What a process does with how many messages.
fn in_hand(hand: &InHand) -> String {
    let parts = [
        ("is sending", hand.sending),
        ("is receiving", hand.receiving),
        ("is writing", hand.writing),
        ("keeps", hand.kept),
        ("works on", hand.tasks),
    ];
    let said: Vec<_> = parts
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(does, n)| format!("{does} {}", units::count((*n).into())))
        .collect();
    said.join(", ")
}

/// The same for programs.
pub(super) fn json(object: Object, queue: &Queue) -> Object {
    let object = object
        .integer("held", queue.held)
        .integer("sent", queue.sent)
        .integer("orphans", queue.orphans)
        .list(
            "in_hand",
            queue.in_hand.iter().map(|hand| {
                json_process(&hand.participant)
                    .integer("sending", hand.sending.into())
                    .integer("receiving", hand.receiving.into())
                    .integer("writing", hand.writing.into())
                    .integer("kept", hand.kept.into())
                    .integer("tasks", hand.tasks.into())
            }),
        )
        .boolean("closed", queue.closed)
        .integer("skipped", queue.skipped)
        .integer("redelivered", queue.redelivered)
        .integer("given_up", queue.given_up)
        .integer("deaths", queue.deaths)
        .object("items", json_traffic(&queue.items))
        .object("space", json_traffic(&queue.space))
        .object("room", json_traffic(&queue.room))
        .object("finished", json_traffic(&queue.finished));
    let object = match &queue.tally {
        Some(tally) => object.object(
            "tally",
            Object::new()
                .integer("taken", tally.taken)
                .integer("done", tally.done)
                .integer("unfinished", tally.unfinished),
        ),
        None => object,
    };
    match &queue.chunks {
        Some(chunks) => object.object(
            "memory",
            Object::new()
                .integer("queued_bytes", chunks.queued_bytes)
                .integer("chunks", chunks.total)
                .integer("used", chunks.used)
                .integer("large_bytes", chunks.large_bytes)
                .integer("max_large_bytes", chunks.max_large_bytes)
                .integer("corrupt", chunks.corrupt),
        ),
        None => object.null("memory"),
    }
}
