//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    plan::{Crew, Kind},
    transports::{self, Mode, Peer, SIZES},
};

/// Ringway beside its peers: the same work over each, in one run.
///
/// Two pinned processes (two threads for what lives in one process). The sender copies a message of its own in, the
/// receiver reads a word of every cache line where the transport lets it see them, and both must come to the same
/// checksum. Every peer is tested before it is timed. The order changes every round; figures are medians of the rounds.
///
/// Locks and their like (--works locks) are taken by one alone, and by 2, 4 and 8 processes at once, where plain additions
/// to what they protect must come out right; two processes take turns by them, and some meet.
#[derive(Debug, Parser)]
#[command(name = "peers", max_term_width = 110)]
pub(crate) struct Args {
    /// A run of one minute, for a first look
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only these, by name or by the beginning of it [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = parse_name)]
    pub(crate) transports: Vec<String>,

    /// Only these ways of waiting: spin, adaptive, park, poll, block [default: all]
    #[arg(long, value_name = "MODE,...", value_delimiter = ',', value_parser = parse_mode)]
    pub(crate) modes: Vec<Mode>,

    /// Payloads [default: 8,64,1K,64K,1M; there are 8, 64, 256, 1K, 4K, 16K, 64K, 256K, 1M]
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', value_parser = parse_size)]
    pub(crate) sizes: Vec<usize>,

    /// Only these crews of senders and receivers [default: 1x1,2x2,4x4,8x1,1x8; 1x1,2x2 if quick]
    #[arg(long, value_name = "NxM,...", value_delimiter = ',')]
    pub(crate) crews: Vec<Crew>,

    /// Only these kinds of work; for the locks alone, `locks` [default: all]
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub(crate) works: Vec<Kind>,

    /// How often everything is measured [default: 7; 2 if quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,

    /// How long each figure is measured, in milliseconds [default: 100; 40 if quick]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) time: Option<u64>,

    /// The CPUs of the two sides [default: the first two usable]
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 2)]
    pub(crate) cpus: Vec<usize>,

    /// Write every figure to FILE as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Where the plots go
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    pub(crate) plots: PathBuf,

    /// List the transports and what is to be known about them
    #[arg(long)]
    pub(crate) list: bool,

    /// The measuring process of one job (internal)
    #[arg(long, hide = true, num_args = 9)]
    pub(crate) worker: Vec<String>,
}

impl Args {
    pub(crate) fn wants(&self, peer: &Peer) -> bool {
        self.transports.is_empty() || self.transports.iter().any(|name| peer.name.starts_with(name.as_str()))
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    if !text.is_empty() && transports::everybody().any(|peer| peer.name.starts_with(text)) {
        return Ok(text.into());
    }
    let names: Vec<_> = transports::everybody().map(|peer| peer.name).collect();
    Err(format!("there are {}", names.join(", ")))
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    Mode::from_name(text).ok_or_else(|| "there are spin, adaptive, park, poll and block".into())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| SIZES.contains(size)).ok_or_else(|| format!("there are {SIZES:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64"), Ok(64));
        assert_eq!(parse_size("64K"), Ok(64 << 10));
        assert_eq!(parse_size("1M"), Ok(1 << 20));
        assert!(parse_size("9").is_err() && parse_size("").is_err() && parse_size("M").is_err());
    }

    #[test]
    fn names_select_by_their_beginning() {
        let args = Args::parse_from(["peers", "--transports", "ringway,pipe"]);
        let names: Vec<_> =
            transports::everybody().filter(|peer| args.wants(peer)).map(|peer| peer.name).collect();
        assert!(names.contains(&"pipe") && names.contains(&"ringway-spsc") && !names.contains(&"unix"));
        assert!(Args::try_parse_from(["peers", "--transports", "nobody"]).is_err());
    }
}
