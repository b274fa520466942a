//! The `process_*` metrics, read from `/proc/self` at each scrape.
//!
//! What cannot be read (another system, a hidden `/proc`) is left out, never guessed.

use std::fs;

use super::catalogue;
use super::instrument::Instrument;
use super::reading::{Point, Reading, as_float};

/// `USER_HZ`: what Linux reports times in, on every architecture it has now.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the kernel's numbers about this process.
pub(super) fn read() -> Vec<Reading> {
    let mut found = Vec::new();
    let mut add = |instrument: &'static Instrument, value: Option<f64>| {
        found.extend(value.map(|value| Reading::single(instrument, Point::Real(value))));
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let (user, system) = (stat_field(&stat, 14), stat_field(&stat, 15));
    let cpu = user.zip(system).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    add(&catalogue::PROCESS_CPU, cpu);
    add(&catalogue::PROCESS_RESIDENT, memory(&status, "VmRSS:"));
    add(&catalogue::PROCESS_VIRTUAL, memory(&status, "VmSize:"));
    // The directory handle that counts them is itself among them.
    let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1));
    let open = open.and_then(|open| u64::try_from(open).ok()).map(as_float);
    add(&catalogue::PROCESS_OPEN_FDS, open);
    add(&catalogue::PROCESS_MAX_FDS, max_fds());
    let started = boot_time().zip(stat_field(&stat, 22));
    let started = started.map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND);
    add(&catalogue::PROCESS_START, started);
    found
}

/// A field of `/proc/self/stat`, counted from 1 as proc(5) does. The second field may hold spaces
/// and parentheses, so counting starts behind its last one.
fn stat_field(stat: &str, field: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

/// A line of `/proc/self/status` in kB, as bytes.
fn memory(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20";
        assert_eq!(stat_field(stat, 4), Some(1.0));
        assert_eq!(stat_field(stat, 14), Some(11.0));
    }

    #[test]
    fn an_unreadable_proc_gives_nothing_instead_of_zero() {
        assert_eq!(stat_field("", 14), None);
        assert_eq!(memory("VmRSS: much", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_living_process_has_memory_and_open_files() {
        let readings = read();
        assert_eq!(readings.len(), 6);
        let open = readings.iter().find(|found| *found.instrument == catalogue::PROCESS_OPEN_FDS);
        assert!(matches!(open.unwrap().series[0].point, Point::Real(open) if open > 2.0));
    }
}
