//! One traced process.
//!
//! The tracer is its parent and runs on the same processor, which makes a step a change of context and nothing
//! more. All addresses mean the same in both: neither has called `exec` since they were one.

use crate::process;
use crate::trace::{Position, Trace, Way};
use core::arch::naked_asm;
use core::mem::offset_of;

/// Where an operation begins: its tracer sees the process stopped here.
#[unsafe(naked)]
pub(crate) extern "C" fn begin() {
    naked_asm!("int3", "ret")
}

/// Where it ends.
#[unsafe(naked)]
pub(crate) extern "C" fn end() {
    naked_asm!("int3", "ret")
}

/// The address of the last position.
pub(crate) fn end_address() -> u64 {
    end as *const () as u64
}

const BREAKPOINT: u8 = 0xcc;
const SYSCALL: u16 = 0x050f;
const REPEAT: u8 = 0xf3;

/// A child that is stopped, unless it says otherwise.
#[derive(Debug)]
pub(crate) struct Victim {
    pid: i32,
}

/// What a victim did when it was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    /// It executed what it should and is stopped behind it.
    On,
    /// It fell asleep in a system call, and is still there.
    Asleep,
}

/// Called when the victim is found asleep: what it waits for should happen now.
pub(crate) type WhenAsleep<'a> = Option<&'a mut dyn FnMut()>;

impl Victim {
    /// Forks the victim and waits until it is ready.
    ///
    /// # Panics
    /// If it ends without calling `operation`.
    pub(crate) fn start(body: impl FnOnce()) -> Self {
        let pid = process::fork("the victim", || {
            // SAFETY: asks for being traced by our parent; no memory is involved.
            unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            body();
            panic!("it ended without an operation, or went on behind it");
        });
        let victim = Victim { pid };
        let mut status = process::wait(pid);
        // While it gets ready, its children may end.
        while libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGCHLD {
            // SAFETY: lets a stopped child go on, without the signal.
            unsafe { libc::ptrace(libc::PTRACE_CONT, pid, 0, 0) };
            status = process::wait(pid);
        }
        victim.expect_trap(status);
        assert_eq!(victim.address(), begin as *const () as u64 + 1, "the victim stopped somewhere else");
        victim
    }

    /// The instruction it would execute next.
    pub(crate) fn address(&self) -> u64 {
        self.register(offset_of!(libc::user_regs_struct, rip))
    }

    fn register(&self, at: usize) -> u64 {
        // SAFETY: asks for a register of a stopped child.
        unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.pid, at, 0) as u64 }
    }

    /// Whether it has come to the end of the operation.
    pub(crate) fn is_done(&self) -> bool {
        self.address() == end_address()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether the next instruction is a system call.
    pub(crate) fn enters_kernel(&self) -> bool {
        // Reading our own memory instead of the victim's: the code is the same.
        let at = self.address() as *const u16;
        // SAFETY: the victim is about to execute what is there, so it is mapped there, and here as well.
        unsafe { at.read_unaligned() == SYSCALL }
    }

    /// Lets an instruction that repeats itself come to its end; how many steps that saved. `None` if it is none of those
    /// that copy or fill.
    pub(crate) fn finish_repeating(&self) -> Option<u64> {
        let at = self.address();
        let code = self.peek(at).to_le_bytes();
        let (operation, len) = if code[1] == 0x48 { (code[2], 3) } else { (code[1], 2) };
        if code[0] != REPEAT || !matches!(operation, 0xa4 | 0xa5 | 0xaa | 0xab) {
            return None;
        }
        let rest = self.register(offset_of!(libc::user_regs_struct, rcx));
        self.run_to(at + len, 1, &mut None).then_some(rest)
    }

    /// Executes one instruction.
    pub(crate) fn step(&self, when_asleep: WhenAsleep<'_>) {
        // Only system calls take long.
        let may_sleep = when_asleep.is_some() && self.enters_kernel();
        self.go(libc::PTRACE_SINGLESTEP, if may_sleep { when_asleep } else { None }, false);
    }

    /// Brings it as far as the way leads, or to the end of the operation if it never comes there.
    pub(crate) fn follow(&self, way: Way, mut when_asleep: WhenAsleep<'_>) -> Position {
        let here = || Position { address: self.address(), asleep: false };
        if let Some((address, hits)) = way.anchor
            && !self.run_to(address, hits, &mut when_asleep)
        {
            return here();
        }
        for _ in 0..way.steps {
            if self.is_done() {
                return here();
            }
            self.step(again(&mut when_asleep));
        }
        let before = here();
        if way.asleep
            && !self.is_done()
            && self.go(libc::PTRACE_SINGLESTEP, Some(&mut || {}), true) == Went::Asleep
        {
            return Position { asleep: true, ..before };
        }
        here()
    }

    /// Brings it to a position by single steps, as long as they go as recorded.
    pub(crate) fn follow_exactly(&self, trace: &Trace, number: usize) -> Position {
        for expected in &trace.positions()[..number] {
            if self.address() != expected.address || expected.asleep {
                return Position::NOWHERE;
            }
            self.step(None);
        }
        let here = Position { address: self.address(), asleep: false };
        if here == trace.position(number) { here } else { Position::NOWHERE }
    }

    /// Lets it run into a breakpoint at `address` so many times. `false` if it came to the end before.
    fn run_to(&self, address: u64, hits: u32, when_asleep: &mut WhenAsleep<'_>) -> bool {
        let code = self.peek(address);
        let broken = code & !0xff | i64::from(BREAKPOINT);
        for hit in 1..=hits {
            self.poke(address, broken);
            self.go(libc::PTRACE_CONT, again(when_asleep), false);
            let stopped_at = self.address() - 1;
            self.poke(address, code);
            self.set_address(stopped_at);
            if stopped_at != address {
                assert_eq!(stopped_at, end_address(), "a breakpoint that nobody has set");
                return false;
            }
            if hit < hits {
                self.step(again(when_asleep));
            }
        }
        true
    }

    /// Kills it and waits until the kernel has released all it had.
    pub(crate) fn kill(self) {
        process::kill(self.pid);
    }

    fn go(&self, request: libc::c_uint, when_asleep: WhenAsleep<'_>, stay_asleep: bool) -> Went {
        // SAFETY: lets a stopped child go on.
        let went = unsafe { libc::ptrace(request, self.pid, 0, 0) };
        assert_eq!(went, 0, "the victim cannot be let go");
        let Some(wake) = when_asleep else {
            self.expect_trap(process::wait(self.pid));
            return Went::On;
        };
        let mut status = 0;
        loop {
            // SAFETY: `status` is a valid place for the answer.
            let got = unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL | libc::WNOHANG) };
            if got == self.pid {
                self.expect_trap(status);
                return Went::On;
            }
            if process::state_of(self.pid) == 'S' {
                if stay_asleep {
                    return Went::Asleep;
                }
                wake();
            }
            process::give_way();
        }
    }

    fn expect_trap(&self, status: i32) {
        if libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP {
            return;
        }
        if libc::WIFSTOPPED(status) {
            panic!("the victim was stopped by signal {} at {:#x}", libc::WSTOPSIG(status), self.address());
        }
        panic!("the victim ended by itself, with status {status:#x}");
    }

    fn peek(&self, address: u64) -> i64 {
        // SAFETY: reads a stopped child's memory; what is not mapped is an error.
        unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, address, 0) }
    }

    fn poke(&self, address: u64, word: i64) {
        // SAFETY: changes a stopped child's private copy of its code.
        let changed = unsafe { libc::ptrace(libc::PTRACE_POKETEXT, self.pid, address, word) };
        assert_eq!(changed, 0, "the victim's code cannot be changed");
    }

    fn set_address(&self, address: u64) {
        let at = offset_of!(libc::user_regs_struct, rip);
        // SAFETY: changes a register of a stopped child.
        unsafe { libc::ptrace(libc::PTRACE_POKEUSER, self.pid, at, address) };
    }
}

fn again<'a>(when_asleep: &'a mut WhenAsleep<'_>) -> WhenAsleep<'a> {
    match when_asleep {
        Some(wake) => Some(&mut **wake),
        None => None,
    }
}
