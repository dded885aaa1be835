//! What an address means, to people: function, line and text of the instruction, as `addr2line` and `objdump` know.
//!
//! Asked only about an instruction that something is wrong with, so their slowness does not matter.

use std::ops::Range;
use std::process::Command;

/// The code this process has mapped.
#[derive(Debug)]
pub(crate) struct Symbols {
    files: Vec<Mapped>,
}

#[derive(Debug)]
struct Mapped {
    range: Range<u64>,
    offset: u64,
    path: String,
}

impl Symbols {
    pub(crate) fn load() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Symbols { files: maps.lines().filter_map(Mapped::parse).collect() }
    }

    /// The code that the kernel has mapped into this process, and that cannot be changed.
    pub(crate) fn kernel_code() -> Range<u64> {
        let symbols = Symbols::load();
        symbols.files.into_iter().find(|file| file.path == "[vdso]").map_or(0..0, |file| file.range)
    }

    /// `address in function at file:line: instruction`, as far as that is known.
    pub(crate) fn tell(&self, address: u64) -> String {
        let Some(file) = self.files.iter().find(|file| file.range.contains(&address)) else {
            return format!("{address:#x}");
        };
        // Where the file would begin: its first mapping is that of its first byte.
        let first = self.files.iter().find(|other| other.path == file.path && other.offset == 0);
        let inside = address - first.map_or(0, |first| first.range.start);
        let inside_as_text = format!("{inside:#x}");
        let lines = run("addr2line", &["-e", &file.path, "-fiC", &inside_as_text]);
        let lines: Vec<_> = lines.lines().collect();
        let frames = lines.chunks_exact(2).filter(|frame| frame[0] != "??").map(|frame| {
            let line = frame[1].rsplit_once(" (").map_or(frame[1], |(line, _)| line);
            let line = line.rsplit_once("/src/").map_or(line, |(_, line)| line);
            format!(" in {} ({line})", without_generics(frame[0]))
        });
        // The innermost say enough; the outermost are the scenario's.
        let mut place: String = frames.take(FRAMES).collect();
        if place.is_empty() {
            place = format!(" in {}", file.path);
        }
        let stop = format!("{:#x}", inside + 16);
        let start = ["--start-address", &inside_as_text, "--stop-address", &stop];
        let listing = run("objdump", &[&["-dC", "--no-show-raw-insn"], &start[..], &[&file.path]].concat());
        let wanted = format!("{inside:x}:");
        let text = listing.lines().find_map(|line| line.trim().strip_prefix(&wanted)).map(str::trim);
        format!("{address:#x}{place}: {}", text.unwrap_or("(no text)").replace('\t', " "))
    }
}

/// How many functions that were built into each other are told.
const FRAMES: usize = 3;

/// A function's name without what is in angle brackets.
fn without_generics(name: &str) -> String {
    let mut depth = 0;
    let keep = |&letter: &char| {
        depth += i32::from(letter == '<');
        let outside = depth == 0;
        depth -= i32::from(letter == '>');
        outside
    };
    name.chars().filter(keep).collect()
}

impl Mapped {
    /// A line of `/proc/self/maps` about a file, or code of the kernel's.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let offset = words.nth(1)?;
        let path = words.nth(2)?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Mapped { range: number(start)?..number(end)?, offset: number(offset)?, path: path.to_owned() })
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_code_has_a_name_and_a_line() {
        let here = our_own_code_has_a_name_and_a_line as *const () as u64;
        let told = Symbols::load().tell(here);
        assert!(told.contains("our_own_code_has_a_name_and_a_line"), "{told}");
        assert!(told.contains("symbols.rs:"), "{told}");
        assert!(!told.contains("(no text)"), "{told}");
    }

    #[test]
    fn an_address_of_nothing_is_just_told() {
        assert_eq!(Symbols::load().tell(1), "0x1");
    }
}
