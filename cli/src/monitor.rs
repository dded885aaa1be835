//! What happens beside a stream: signals, the progress line, and looking whether anybody can still come.
//!
//! A thread of its own, because the thread that moves the messages may be asleep in the middle of one.

#![expect(
    clippy::disallowed_types,
    reason = "counters between two threads of one process: nothing for a model"
)]

use std::{
    fmt,
    io::{self, IsTerminal, PipeReader, PipeWriter, Write},
    os::fd::AsRawFd,
    process,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

use ringway::{Connection, End};

use crate::{
    error::{Context, FAILED, Failure},
    rendezvous::{abandon, is_nameless, look},
    report::{progress::is_wanted, units},
    sys::{self, Caught, Signals},
};

/// How often the progress line is drawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often to look whether anybody can still come.
const LOOK: Duration = Duration::from_millis(500);
/// What is over sooner needs no progress line.
const SHORT: Duration = Duration::from_millis(400);

/// What has gone through so far, for the progress line.
#[derive(Debug, Default)]
pub(crate) struct Count {
    bytes: AtomicU64,
    messages: AtomicU64,
    /// All is sent; what is in the ring is still to be taken.
    draining: AtomicBool,
}

/// What messages go through, as the monitor sees it.
pub(crate) trait Subject: fmt::Debug + Sync {
    /// What is to be done about a signal: `None` if the program can end at once, else how long to wait for the work
    /// to end by itself. A second signal asks once more.
    fn stop(&self, caught: Caught) -> Option<Duration>;

    /// Why nothing can ever come of it any more, if that is so.
    fn hopeless(&self) -> Option<String>;

    /// What the progress line says about it. `draining`: all is sent.
    fn state(&self, draining: bool) -> String;
}

impl Subject for Connection {
    fn stop(&self, _: Caught) -> Option<Duration> {
        abandon(self);
        None
    }

    /// The name is gone and the other end was never taken. (If it was, the library tells.)
    fn hopeless(&self) -> Option<String> {
        if !is_nameless(self) {
            return None;
        }
        let (object, pipe) = look(self).ok()?;
        let (other, who) = match self.end() {
            End::First => (&pipe.second, "receiver"),
            End::Second => (&pipe.first, "sender"),
        };
        // Who else is attached may be just arriving.
        let alone = object.participants.iter().filter(|process| process.alive).count() <= 1;
        let why = || format!("the name was removed before any {who} came: nobody can come now");
        (other.arrivals == 0 && alone).then(why)
    }

    fn state(&self, draining: bool) -> String {
        let Ok((_, pipe)) = look(self) else { return String::new() };
        let fill = pipe.forth.held_bytes as f64 / self.capacity().max(1) as f64;
        match self.end() {
            End::First if pipe.second.living() == 0 => "waiting for a receiver".into(),
            End::First if draining => "all sent, waiting for the rest to be taken".into(),
            End::Second if pipe.first.arrivals == 0 => "waiting for a sender".into(),
            _ => format!("ring {:.0} % full", fill * 100.0),
        }
    }
}

impl Count {
    /// One more message.
    #[inline]
    pub(crate) fn add(&self, len: usize) {
        // One thread counts, so no read-modify-write is needed. Relaxed: figures for people.
        self.bytes.store(self.bytes.load(Relaxed) + len as u64, Relaxed);
        self.messages.store(self.messages.load(Relaxed) + 1, Relaxed);
    }

    /// All messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// The bytes of all messages so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Says that only what is in the ring is left.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}

/// What there is to watch over.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) name: &'a str,
    pub(crate) subject: &'a dyn Subject,
    pub(crate) count: &'a Count,
    /// How many bytes there will be, if that is known.
    pub(crate) total: Option<u64>,
    /// Whether a progress line would disturb nobody.
    pub(crate) may_draw: bool,
}

/// The thread. Ends, and takes the progress line away, when it is dropped.
#[derive(Debug)]
pub(crate) struct Monitor<'scope> {
    done: Option<PipeWriter>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Monitor<'scope> {
    /// Starts it. `signals` were taken before any thread was started.
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        signals: &'env Signals,
        watched: Watched<'env>,
    ) -> Result<Self, Failure> {
        let (over, done) = io::pipe().context(|| "cannot watch for signals".into())?;
        let visible = watched.may_draw && is_wanted();
        let run = move || watched.run(signals, &over, visible);
        let thread = std::thread::Builder::new()
            .name("monitor".into())
            .spawn_scoped(scope, run)
            .context(|| "cannot watch for signals".into())?;
        Ok(Monitor { done: Some(done), thread: Some(thread) })
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Watched<'_> {
    fn run(&self, signals: &Signals, over: &PipeReader, visible: bool) {
        let start = Instant::now();
        let mut line = Line { visible, drawn: false, last: (Duration::ZERO, 0), rate: 0.0 };
        let pause = if visible { REDRAW } else { LOOK };
        // The signal that ends us, and when at the latest.
        let mut dying: Option<(libc::c_int, Instant)> = None;
        loop {
            let left = dying.map_or(pause, |(_, until)| until.saturating_duration_since(Instant::now()));
            let [signalled, over] = sys::poll_input([signals.fd(), over.as_raw_fd()], pause.min(left));
            if over {
                line.finish(self, start.elapsed());
                return;
            }
            if let Some(caught) = signalled.then(|| signals.next()).flatten() {
                line.clear();
                match self.subject.stop(caught) {
                    None => sys::die_of(caught.signal),
                    Some(patience) => {
                        let until = Instant::now() + patience;
                        dying = dying.or(Some((caught.signal, until)));
                    }
                }
            }
            match dying {
                Some((signal, until)) if Instant::now() >= until => sys::die_of(signal),
                Some(_) => {}
                None => {
                    self.look_around(&mut line);
                    line.draw(self, start.elapsed());
                }
            }
        }
    }

    /// Ends the program if nothing can come of it.
    fn look_around(&self, line: &mut Line) {
        if let Some(why) = self.subject.hopeless() {
            line.clear();
            tell(format_args!("{}: {why}", self.name));
            process::exit(i32::from(FAILED));
        }
    }
}

/// The progress line on standard error.
struct Line {
    visible: bool,
    drawn: bool,
    /// When it was last drawn, and the bytes then.
    last: (Duration, u64),
    /// Bytes a second, smoothed.
    rate: f64,
}

impl Line {
    fn draw(&mut self, watched: &Watched<'_>, now: Duration) {
        if !self.visible || now < SHORT {
            return;
        }
        let bytes = watched.count.bytes();
        let (then, before) = self.last;
        let rate = (bytes - before) as f64 / (now - then).as_secs_f64().max(1e-3);
        self.rate = if before == 0 { rate } else { 0.7 * self.rate + 0.3 * rate };
        self.last = (now, bytes);
        let mut text = describe(watched, now, self.rate);
        text += "  ";
        text += &watched.subject.state(watched.count.draining.load(Relaxed));
        self.drawn = true;
        // A terminal that cannot be written to shows no progress; nothing else is lost.
        let _ = write!(io::stderr(), "\r\x1b[2K{}", shorten(&text, sys::terminal_width(2).unwrap_or(80)));
    }

    /// What went through in all, if anybody has seen it going.
    fn finish(&mut self, watched: &Watched<'_>, now: Duration) {
        if self.drawn {
            self.clear();
            let mean = watched.count.bytes() as f64 / now.as_secs_f64().max(1e-3);
            let _ = writeln!(io::stderr(), "{}", describe(watched, now, mean));
        }
    }

    fn clear(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

fn describe(watched: &Watched<'_>, now: Duration, rate: f64) -> String {
    let (bytes, seconds) = (watched.count.bytes(), now.as_secs());
    let part = match watched.total {
        Some(total) if total > 0 => format!(" {:3.0} %", bytes as f64 / total as f64 * 100.0),
        _ => String::new(),
    };
    let time = format!("{}:{:02}", seconds / 60, seconds % 60);
    format!("{}: {}{part}  {}  {time}", watched.name, units::bytes(bytes), units::bandwidth(rate))
}

/// A line must not wrap, or it could not be drawn over.
fn shorten(text: &str, width: usize) -> String {
    text.chars().take(width.saturating_sub(1)).collect()
}

/// Notes for the user, where the progress line would be.
pub(crate) fn note(name: &str, text: &str) {
    let clear = if io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    write_or_not(format_args!("{clear}ringway: {name}: {text}"));
}

/// A word to the user.
pub(crate) fn tell(text: impl fmt::Display) {
    write_or_not(format_args!("ringway: {text}"));
}

/// Where it cannot be written (to a full disk, or a pipe that nobody reads) it goes by unsaid. `eprintln!` would panic: a lock
/// that is held would be left as if its holder had died, and the exit status would not be the one that was promised.
fn write_or_not(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
