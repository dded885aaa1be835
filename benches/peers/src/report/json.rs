//! Figures for programs: one object a line.

use std::io::{self, Write};

use serde_json::json;

use super::Run;
use crate::plan::{Crew, Work};

/// Writes a line for every transport, mode, work, payload and metric.
pub(crate) fn write(run: &Run, mut out: impl Write) -> io::Result<()> {
    for (case, metric, figure) in run.results.all() {
        let (payload, crew) = match case.work {
            Work::Messages(len) => (Some(len), Crew::PAIR),
            Work::Many(len, crew) => (Some(len), crew),
            Work::Open | Work::Tool(_) => (None, Crew::PAIR),
        };
        let work = match case.work {
            Work::Messages(_) => "one to one".into(),
            Work::Many(..) => "many to many".into(),
            Work::Open => "opening".into(),
            Work::Tool(task) => task.to_string(),
        };
        let line = json!({
            "transport": case.peer.name,
            "mode": case.mode.name(),
            "work": work,
            "senders": crew.senders,
            "receivers": crew.receivers,
            "batch": crew.batch,
            "payload_bytes": payload,
            "metric": metric.name(),
            "value": figure.median,
            "low": figure.low,
            "high": figure.high,
            "rounds": figure.rounds,
            "machine": run.machine,
            "commit": run.commit,
            "date": run.date,
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}
