//! What the operating system says of processes and processors, and how figures are summed up.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Clock ticks a second in proc(5): 100 on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Median with the least and the greatest.
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// Of at least one figure; of none, all are 0.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(0.0);
        let last = figures.len().saturating_sub(1);
        // An even count has two in the middle.
        let median = (at(last / 2) + at(figures.len() / 2)) / 2.0;
        Self { min: at(0), median, max: at(last) }
    }

    pub(crate) fn json(&self) -> Value {
        let places = |figure: f64| (figure * 1000.0).round() / 1000.0;
        json!({ "median": places(self.median), "min": places(self.min), "max": places(self.max) })
    }
}

/// The time below which `part` of the sorted figures lie (nearest rank).
pub(crate) fn percentile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// CPU seconds used so far.
#[derive(Clone, Copy)]
pub(crate) struct CpuTimes {
    /// By the server.
    server_s: f64,
    /// By this process.
    client_s: f64,
    /// By the whole machine, idle time and stolen time included.
    all_s: f64,
    /// Spent doing nothing, or waiting for a disk.
    idle_s: f64,
    /// Taken by the host of a virtual machine.
    stolen_s: f64,
}

/// CPU used in a span of time.
#[derive(Clone, Copy)]
pub(crate) struct CpuUse {
    /// By the server, seconds.
    pub(crate) server_s: f64,
    /// By this process, seconds.
    pub(crate) client_s: f64,
    /// Stolen, of all there was.
    pub(crate) steal_percent: f64,
    /// Used by anything but these two, of all there was; the kernel's interrupts are among it.
    pub(crate) other_percent: f64,
}

impl CpuTimes {
    /// Now. proc(5): fields 14 and 15 of `/proc/PID/stat`, the first line of `/proc/stat`.
    pub(crate) fn now(server: u32) -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let (all_s, idle_s, stolen_s) = of_machine(&stat).context("/proc/stat")?;
        Ok(Self {
            server_s: of_process(&server.to_string())?,
            client_s: of_process("self")?,
            all_s,
            idle_s,
            stolen_s,
        })
    }

    /// What was used since then.
    pub(crate) fn since(&self, before: &Self) -> CpuUse {
        let (server_s, client_s) = (self.server_s - before.server_s, self.client_s - before.client_s);
        let all = (self.all_s - before.all_s).max(1.0 / TICKS_PER_SECOND);
        let (idle, stolen) = (self.idle_s - before.idle_s, self.stolen_s - before.stolen_s);
        let other = (all - idle - stolen - server_s - client_s).max(0.0);
        CpuUse {
            server_s,
            client_s,
            steal_percent: 100.0 * stolen / all,
            other_percent: 100.0 * other / all,
        }
    }
}

fn of_process(pid: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    used(&stat).with_context(|| format!("/proc/{pid}/stat"))
}

/// User and system time of a `/proc/PID/stat`.
fn used(stat: &str) -> Option<f64> {
    // The command's name in parentheses may hold anything: fields are counted behind it.
    let rest = stat.rsplit_once(')')?.1;
    let field = |n: usize| rest.split_whitespace().nth(n - 3)?.parse::<f64>().ok();
    Some((field(14)? + field(15)?) / TICKS_PER_SECOND)
}

/// All, idle and stolen time of a `/proc/stat`.
fn of_machine(stat: &str) -> Option<(f64, f64, f64)> {
    // user nice system idle iowait irq softirq steal; guest time, behind them, is in user already.
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<f64> = fields.map(|text| text.parse().ok()).collect::<Option<_>>()?;
    let [.., idle, iowait, _, _, stolen] = ticks[..] else { return None };
    let seconds = |ticks: f64| ticks / TICKS_PER_SECOND;
    Some((seconds(ticks.iter().sum()), seconds(idle + iowait), seconds(stolen)))
}

/// Resident memory of a process, now and at its highest, in MB of 2^20 bytes.
pub(crate) fn memory_mb(pid: u32) -> Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = |name: &str| -> Option<f64> {
        let kb = status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
        Some(kb.parse::<f64>().ok()? / 1024.0)
    };
    Ok((line("VmRSS:").context("VmRSS")?, line("VmHWM:").context("VmHWM")?))
}

/// Bytes of the database with its write-ahead log.
pub(crate) fn database_bytes(home: &Path) -> u64 {
    let size = |name: &str| std::fs::metadata(home.join(name)).map_or(0, |file| file.len());
    size("silkgate.db") + size("silkgate.db-wal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter());
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(std::iter::empty()).median, 0.0);
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        let figures: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&figures, 0.50), 100.0);
        assert_eq!(percentile(&figures, 0.99), 198.0);
        assert_eq!(percentile(&figures, 1.0), 200.0);
        assert_eq!(percentile(&[7.0], 0.01), 7.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_command_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 1";
        assert_eq!(used(stat), Some(3.0));
        assert_eq!(used("7 (cut"), None);
    }

    #[test]
    fn guest_time_counts_once() {
        let stat = "cpu  100 10 50 700 40 5 15 80 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(of_machine(stat), Some((10.0, 7.4, 0.8)));
        assert_eq!(of_machine("cpu  1 2 3\n"), None);
    }
}
