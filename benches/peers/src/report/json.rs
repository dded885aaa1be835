//! Figures for programs: one object a line.

use std::io::{self, Write};

use serde_json::json;

use super::Run;
use crate::plan::Work;

/// Writes a line for every transport, mode, payload and metric.
pub(crate) fn write(run: &Run, mut out: impl Write) -> io::Result<()> {
    for (case, metric, figure) in run.results.all() {
        let payload = match case.work {
            Work::Messages(len) => Some(len),
            Work::Open => None,
        };
        let line = json!({
            "transport": case.peer.name,
            "mode": case.mode.name(),
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
