//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    event::EventArgs,
    harness::worker::WorkerArgs,
    list::{CleanArgs, LsArgs, RmArgs},
    lock::LockArgs,
    queue::QueueArgs,
    recv::RecvArgs,
    sem::SemArgs,
    send::SendArgs,
    stat::StatArgs,
    transport::{Kind, work},
};

/// Rings, pipes, queues and locks between the processes of one machine.
#[derive(Debug, Parser)]
#[command(
    name = "ringway",
    version,
    arg_required_else_help = true,
    after_help = "\
Exit status: 0 if all went well, 1 if something failed, 2 if the command line makes no sense. `lock` and `sem run` end
as their command does, `event` as its help says.
NO_COLOR=1 switches highlighting off; it is off anyway where the output is no terminal."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Bench(BenchArgs),
    Send(SendArgs),
    Recv(RecvArgs),
    Queue(QueueArgs),
    Lock(LockArgs),
    Sem(SemArgs),
    Event(EventArgs),
    Ls(LsArgs),
    Stat(StatArgs),
    Rm(RmArgs),
    Clean(CleanArgs),
    /// The other process of a measurement.
    #[command(name = "__worker", hide = true)]
    Worker(WorkerArgs),
}

/// Shows what moving data between two processes costs here, in under 20 seconds
///
/// Starts a real second process and moves market ticks and the bytes of a file to it, over each transport in
/// turn. Both sides compute checksums; a mismatch is an error. The typed ring carries all ticks and the byte ring
/// the whole file; the others carry as much of the same sequence as fits into their time.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway demo                          ten million ticks, and this program's own file
  ringway demo --input access.log       another file
  ringway demo --size 1000000           a million ticks")]
pub(crate) struct DemoArgs {
    /// The file to move; by default this program's own [at most 1 GB]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// How many ticks to move
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) size: u64,
    /// How long one measurement of a slow transport may take
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub(crate) time: Duration,
    /// How much longer than planned a measurement may take before it is given up
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, hide = true)]
    pub(crate) patience: Duration,
}

/// Measures throughput and round trips of the transports, and the floors of this machine
///
/// The floors are what the machine itself takes: a cache line handed back and forth by two processes that
/// spin, and a futex by two that sleep. No transport can be faster.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway bench                                       everything
  ringway bench --transports spsc,pipe --sizes 64,4K  some of it
  ringway bench --json > results.jsonl                one JSON object a line

Each JSON line has the members transport, mode (spin, adaptive or park), payload_bytes, metric and value.
The metrics are throughput_msgs and throughput_bytes (a second), rtt_p50_ns, rtt_p99_ns, rtt_p999_ns and
rtt_max_ns. A round trip includes one look at the clock.")]
pub(crate) struct BenchArgs {
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// What to measure [default: everything]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    pub(crate) transports: Vec<Kind>,
    /// Bytes of a message: multiples of 8 up to 64M; K and M are powers of two
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = parse_payload, default_value = "8,64,1K,64K,1M")]
    pub(crate) sizes: Vec<usize>,
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value = "0.3", value_parser = parse_seconds)]
    pub(crate) time: Duration,
    /// How much longer than planned a measurement may take before it is given up
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, hide = true)]
    pub(crate) patience: Duration,
}

/// The largest payload of a benchmark.
const MOST_PAYLOAD: usize = 64 << 20;

/// Parses a number of bytes: `4096`, `4K`, `1MiB`. K, M and G are powers of two.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        unit => return Err(format!("{unit:?} is no unit: K, M and G are")),
    };
    let count: usize = digits.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    count.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too large"))
}

fn parse_payload(text: &str) -> Result<usize, String> {
    match parse_bytes(text)? {
        len if len > MOST_PAYLOAD => Err(format!("{text} is more than 64M")),
        len if !work::is_payload(len) => Err("a payload is a multiple of 8 bytes".into()),
        len => Ok(len),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err("between 0.001 and 3600 seconds, please".into()),
        Err(_) => Err(format!("{text:?} is no number of seconds")),
    }
}

/// Parses how long to wait: 0 is not at all.
pub(crate) fn parse_patience(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text:?} is no number of seconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("64K"), Ok(65_536));
        assert_eq!(parse_bytes("1MiB"), Ok(1 << 20));
        for bad in ["", "K", "-1", "1.5K", "3 bananas", "99999999999999999999", "99999999999G", "µ"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert!(parse_payload("12").is_err() && parse_payload("0").is_err() && parse_payload("65M").is_err());
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "inf", "1e9", "soon"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_and_defaults() {
        let cli = Cli::parse_from(["ringway", "bench", "--transports", "pipe,floor-futex"]);
        let Command::Bench(args) = cli.command else { panic!("that was bench") };
        assert_eq!(args.transports, [Kind::Pipe, Kind::FloorFutex]);
        assert_eq!(args.sizes, [8, 64, 1024, 65_536, 1 << 20]);
        assert!(Cli::try_parse_from(["ringway", "bench", "--transports", "pigeon"]).is_err());
        assert!(Cli::try_parse_from(["ringway", "demo", "--size", "0"]).is_err());
    }
}
