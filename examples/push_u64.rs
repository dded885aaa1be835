//! Pushes and pops ten million numbers through a ring, in functions that a disassembler finds by name.
//!
//! `ci/asm.sh` looks at the machine code of the functions and at the system calls of the run: a message must
//! cost neither a locked instruction nor a system call while nobody sleeps.
//!
//! ```text
//! cargo run --release --example push_u64 [MESSAGES]
//! ```

use ringway::{bytes, spsc};
use std::hint::black_box;
use std::time::Instant;

/// [`spsc::Producer::push`] as it is compiled for `u64`.
// SAFETY: no other symbol of the program or its libraries has this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn ringway_push_u64(ring: &mut spsc::Producer<u64>, value: u64) -> bool {
    ring.push(value).is_ok()
}

/// [`spsc::Consumer::pop`] as it is compiled for `u64`.
// SAFETY: no other symbol of the program or its libraries has this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn ringway_pop_u64(ring: &mut spsc::Consumer<u64>) -> Option<u64> {
    ring.pop().ok()
}

/// [`bytes::Producer::push`] of eight bytes.
// SAFETY: no other symbol of the program or its libraries has this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn ringway_push_bytes(ring: &mut bytes::Producer, record: &[u8; 8]) -> bool {
    ring.push(record).is_ok()
}

/// [`bytes::Consumer::peek`] of a short record, which is released at the end.
// SAFETY: no other symbol of the program or its libraries has this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn ringway_peek_bytes(ring: &mut bytes::Consumer) -> usize {
    ring.peek().map_or(0, |record| record.len())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages = std::env::args().nth(1).map_or(Ok(10_000_000), |count| count.parse::<u64>())?;
    let (mut tx, mut rx) = spsc::pair::<u64>(1024)?;
    let (mut records_in, mut records_out) = bytes::pair(64 * 1024)?;
    let began = Instant::now();
    let mut sum = 0_u64;
    for n in 0..messages {
        assert!(ringway_push_u64(&mut tx, black_box(n)));
        sum = sum.wrapping_add(ringway_pop_u64(&mut rx).ok_or("the message is lost")?);
    }
    let typed = began.elapsed();
    assert_eq!(sum, messages * (messages.saturating_sub(1)) / 2);
    let began = Instant::now();
    for n in 0..messages {
        assert!(ringway_push_bytes(&mut records_in, &black_box(n).to_ne_bytes()));
        assert_eq!(ringway_peek_bytes(&mut records_out), 8);
    }
    let bytes = began.elapsed();
    let each = |time: std::time::Duration| time.as_nanos() as f64 / messages.max(1) as f64;
    println!("{messages} messages: {:.1} ns a u64, {:.1} ns a record of 8 bytes", each(typed), each(bytes));
    Ok(())
}
