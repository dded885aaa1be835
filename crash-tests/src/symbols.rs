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

    /// The function each address lies in, with the one it was built into.
    pub(crate) fn functions(&self, addresses: &[u64]) -> Vec<String> {
        let mut functions = Vec::new();
        for some in addresses.chunks(AT_ONCE) {
            let mut by_file: Vec<(&str, Vec<String>)> = Vec::new();
            for &address in some {
                let (path, inside) = self.locate(address).unwrap_or(("", address));
                match by_file.last_mut() {
                    Some((last, insides)) if *last == path => insides.push(format!("{inside:#x}")),
                    _ => by_file.push((path, vec![format!("{inside:#x}")])),
                }
            }
            for (path, insides) in by_file {
                let words =
                    [&["-e", path, "-afiC"], &insides.iter().map(String::as_str).collect::<Vec<_>>()[..]];
                let lines = run("addr2line", &words.concat());
                let of_each: Vec<Vec<&str>> = lines.lines().fold(Vec::new(), |mut all, line| {
                    if line.starts_with("0x") {
                        all.push(Vec::new())
                    } else {
                        all.last_mut().into_iter().for_each(|frames| frames.push(line))
                    }
                    all
                });
                let name = |frames: &Vec<&str>| {
                    let names: Vec<String> =
                        frames.iter().step_by(2).take(FRAMES).map(|name| without_generics(name)).collect();
                    names.join(" in ")
                };
                functions.extend(
                    (0..insides.len()).map(|at| of_each.get(at).map_or_else(|| path.to_owned(), name)),
                );
            }
        }
        functions
    }

    /// The file an address is from, and where in it.
    fn locate(&self, address: u64) -> Option<(&str, u64)> {
        let file = self.files.iter().find(|file| file.range.contains(&address))?;
        // Where the file would begin: its first mapping is that of its first byte.
        let first = self.files.iter().find(|other| other.path == file.path && other.offset == 0);
        Some((&file.path, address - first.map_or(0, |first| first.range.start)))
    }

    /// `address in function at file:line: instruction`, as far as that is known.
    pub(crate) fn tell(&self, address: u64) -> String {
        let Some((path, inside)) = self.locate(address) else { return format!("{address:#x}") };
        let inside_as_text = format!("{inside:#x}");
        let lines = run("addr2line", &["-e", path, "-fiC", &inside_as_text]);
        let lines: Vec<_> = lines.lines().collect();
        let frames = lines.chunks_exact(2).filter(|frame| frame[0] != "??").map(|frame| {
            let line = frame[1].rsplit_once(" (").map_or(frame[1], |(line, _)| line);
            let line = line.rsplit_once("/src/").map_or(line, |(_, line)| line);
            format!(" in {} ({line})", without_generics(frame[0]))
        });
        // The innermost say enough; the outermost are the scenario's.
        let mut place: String = frames.take(FRAMES).collect();
        if place.is_empty() {
            place = format!(" in {path}");
        }
        let stop = format!("{:#x}", inside + 16);
        let start = ["--start-address", &inside_as_text, "--stop-address", &stop];
        let listing = run("objdump", &[&["-dC", "--no-show-raw-insn"], &start[..], &[path]].concat());
        let wanted = format!("{inside:x}:");
        let text = listing.lines().find_map(|line| line.trim().strip_prefix(&wanted)).map(str::trim);
        format!("{address:#x}{place}: {}", text.unwrap_or("(no text)").replace('\t', " "))
    }
}

/// How many addresses one command is asked about.
const AT_ONCE: usize = 2000;

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
