//! What the operating system says of a process, and how figures are summed up.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Processor time that [`cost_us`] measures for.
const SLICE: Duration = Duration::from_millis(150);

/// Median with the least and the greatest.
pub(crate) struct Spread {
    min: f64,
    pub(crate) median: f64,
    max: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(0.0);
        Self { min: at(0), median: at(figures.len() / 2), max: at(figures.len().saturating_sub(1)) }
    }

    /// What [`Spread::json`] wrote.
    pub(crate) fn read(written: &Value) -> Self {
        let figure = |name: &str| written[name].as_f64().unwrap_or_default();
        Self { min: figure("min"), median: figure("median"), max: figure("max") }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "min": self.min, "median": self.median, "max": self.max })
    }
}

/// CPU seconds of a process, user and system (proc(5), `/proc/PID/stat` fields 14 and 15).
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name in parentheses may hold anything: fields are counted behind it.
    let rest = stat.rsplit_once(')').context("stat")?.1;
    let field = |n: usize| rest.split_whitespace().nth(n - 3).and_then(|text| text.parse::<f64>().ok());
    // Clock ticks are hundredths of a second on Linux.
    Ok((field(14).context("utime")? + field(15).context("stime")?) / 100.0)
}

/// CPU seconds of a process and of all its children, those that ended and were waited for included (fields 14 to 17): of a
/// database server, whose connections are children.
pub(crate) fn cpu_seconds_of_family(pid: u32) -> Result<f64> {
    let mut total = 0.0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end while it is read.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{other}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let field = |n: usize| rest.split_whitespace().nth(n - 3).and_then(|text| text.parse::<f64>().ok());
        if other == pid {
            total += (14..=17).filter_map(field).sum::<f64>();
        } else if field(4) == Some(f64::from(pid)) {
            total += (14..=15).filter_map(field).sum::<f64>();
        }
    }
    Ok(total / 100.0)
}

/// Resident memory of a process and of its children.
pub(crate) fn memory_mb_of_family(pid: u32) -> Result<f64> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.map(memory_mb).try_fold(memory_mb(pid)?, |total, one| Ok(total + one?))
}

/// CPU time of this process's first thread (proc(5), `/proc/self/schedstat`, nanoseconds).
pub(crate) fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Microseconds of processor time for one call.
pub(crate) fn cost_us(call: impl Fn() -> bool) -> f64 {
    let (mut calls, start) = (0_u32, process_cpu());
    loop {
        for _ in 0..50 {
            std::hint::black_box(call());
        }
        calls += 50;
        let spent = process_cpu() - start;
        if spent >= SLICE {
            return spent.as_secs_f64() * 1e6 / f64::from(calls);
        }
    }
}

/// Resident memory of a process.
pub(crate) fn memory_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    let kb: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
    Ok(kb / 1024.0)
}

/// Ticks of all processors, and those stolen by the host (proc(5), `/proc/stat`).
pub(crate) fn all_and_stolen() -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    Ok((ticks.iter().take(8).sum(), ticks.get(7).copied().unwrap_or(0.0)))
}
