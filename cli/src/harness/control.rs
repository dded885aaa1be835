//! What the two processes tell each other beside the work: lines of text over two pipes.
//!
//! The worker says `ready`, hears `go`, and says `report COUNT SUM END_NS` when its sender has finished, or
//! `failed REASON` at any time.

use std::{fmt, str::FromStr};

/// What the parent says.
pub(crate) const GO: &str = "go";

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is connected, pinned and waiting.
    Ready,
    /// It is done.
    Report(Report),
    /// It cannot go on.
    Failed(String),
}

/// The result of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Messages received, or bytes if the work is a stream.
    pub(crate) count: u64,
    /// The checksum over them.
    pub(crate) sum: u64,
    /// When it had read the last, on the machine's monotonic clock.
    pub(crate) end_ns: u64,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Ready => f.write_str("ready"),
            Said::Report(Report { count, sum, end_ns }) => write!(f, "report {count} {sum} {end_ns}"),
            // One line is one message.
            Said::Failed(why) => write!(f, "failed {}", why.replace('\n', " ")),
        }
    }
}

impl FromStr for Said {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let line = line.trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers = || rest.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>().ok();
        match word {
            "ready" if rest.is_empty() => return Ok(Said::Ready),
            "report" => {
                if let Some(&[count, sum, end_ns]) = numbers().as_deref() {
                    return Ok(Said::Report(Report { count, sum, end_ns }));
                }
            }
            "failed" => return Ok(Said::Failed(rest.to_owned())),
            _ => {}
        }
        Err(format!("the worker said {line:?}, which means nothing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let report = Report { count: 10_000_000, sum: u64::MAX, end_ns: 7 };
        for said in [Said::Ready, Said::Report(report), Said::Failed("no such fd".into())] {
            assert_eq!(format!("{said}\n").parse::<Said>().unwrap(), said);
        }
        assert_eq!(Said::Failed("a\nb".into()).to_string(), "failed a b");
        for bad in ["", "readyish", "ready 1", "report 1 2", "report 1 2 3 4", "report 1 2 -3", "go"] {
            assert!(bad.parse::<Said>().is_err(), "{bad}");
        }
    }
}
