//! What a process and all that it started use, from /proc.

use std::collections::HashSet;

/// What a group of processes uses at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident size; pages that processes share count more than once.
    pub(crate) resident_bytes: u64,
    /// Time on processors since each began, in ticks of 1/100 s.
    pub(crate) cpu_ticks: u64,
    /// Open files, sockets included.
    pub(crate) files: u64,
    /// Threads.
    pub(crate) threads: u64,
}

struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    cpu_ticks: u64,
    threads: u64,
}

impl Usage {
    /// The process `leader`, its group, and all their descendants.
    pub(crate) fn of(leader: i32) -> Self {
        let all = processes();
        let members = members(leader, &all);
        let mut usage = Usage::default();
        for process in all.iter().filter(|process| members.contains(&process.pid)) {
            usage.cpu_ticks += process.cpu_ticks;
            usage.threads += process.threads;
            usage.resident_bytes += resident_bytes(process.pid).unwrap_or(0);
            let files = std::fs::read_dir(format!("/proc/{}/fd", process.pid));
            usage.files += files.map_or(0, |files| files.count() as u64);
        }
        usage
    }
}

fn processes() -> Vec<Process> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| parse_stat(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `pid (name) state ppid pgrp …`. The name may hold anything, parentheses and spaces included.
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        cpu_ticks: number(11)? + number(12)?,
        threads: number(17)?,
    })
}

/// By group as well as by parent: a child whose parent ended has another parent, one that made a group of its own has
/// another group.
fn members(leader: i32, processes: &[Process]) -> HashSet<i32> {
    let mut members = HashSet::from([leader]);
    loop {
        let before = members.len();
        for process in processes {
            if process.group == leader || members.contains(&process.parent) {
                members.insert(process.pid);
            }
        }
        if members.len() == before {
            return members;
        }
    }
}

fn resident_bytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b) S 3 5 5 0 -1 0 1 2 3 4 50 6 7 8 20 0 9 0 100";
        let process = parse_stat(7, stat).unwrap();
        assert_eq!((process.pid, process.parent, process.group), (7, 3, 5));
        assert_eq!((process.cpu_ticks, process.threads), (56, 9));
    }

    #[test]
    fn this_process_uses_memory_files_and_threads() {
        let usage = Usage::of(i32::try_from(std::process::id()).unwrap());
        assert!(usage.resident_bytes > 1024 * 1024 && usage.files > 2 && usage.threads > 0, "{usage:?}");
    }
}
