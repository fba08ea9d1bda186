//! What a process and all that it started use, from /proc.

use std::collections::HashSet;

/// What the processes of a connector use at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident size in bytes; pages that processes share count more than once, so it may be too high, never too low.
    pub resident_bytes: u64,
    /// Time on processors since each began, in ticks of 1/100 s.
    pub cpu_ticks: u64,
    /// Open files, sockets included.
    pub files: u64,
    /// Threads.
    pub threads: u64,
}

/// All processes of this machine at one moment.
#[derive(Debug)]
pub struct Processes(Vec<Process>);

#[derive(Debug)]
struct Process {
    pid: u32,
    parent: u32,
    group: u32,
    cpu_ticks: u64,
    threads: u64,
}

impl Processes {
    /// Reads them.
    pub fn now() -> Self {
        let found = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| parse_stat(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
        Self(found.collect())
    }

    /// The resident size, as [`Usage`] has it, of the process `leader`, its group, and all their descendants.
    pub fn resident_bytes(&self, leader: u32) -> u64 {
        self.tree(leader).into_iter().filter_map(resident_bytes).sum()
    }

    /// What the process `leader`, its group, and all their descendants use.
    pub fn usage(&self, leader: u32) -> Usage {
        let members = self.tree(leader);
        let mut usage = Usage::default();
        for process in self.0.iter().filter(|process| members.contains(&process.pid)) {
            usage.cpu_ticks += process.cpu_ticks;
            usage.threads += process.threads;
            usage.resident_bytes += resident_bytes(process.pid).unwrap_or(0);
            let files = std::fs::read_dir(format!("/proc/{}/fd", process.pid));
            usage.files += files.map_or(0, |files| files.count() as u64);
        }
        usage
    }

    /// By group as well as by parent: a child whose parent ended has another parent, one that made a group of its own
    /// has another group.
    fn tree(&self, leader: u32) -> HashSet<u32> {
        let mut members = HashSet::from([leader]);
        loop {
            let before = members.len();
            for process in &self.0 {
                if process.group == leader || members.contains(&process.parent) {
                    members.insert(process.pid);
                }
            }
            if members.len() == before {
                return members;
            }
        }
    }
}

/// Reads `pid (name) state ppid pgrp …`. The name may hold anything, parentheses and spaces included.
fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
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

fn resident_bytes(pid: u32) -> Option<u64> {
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
        assert!(parse_stat(7, "").is_none());
    }

    #[test]
    fn a_tree_has_the_group_and_the_descendants() {
        let process = |pid, parent, group| Process { pid, parent, group, cpu_ticks: 0, threads: 1 };
        // 12 left the group, 13 lost its parent, 14 is a child of one that left; 20 is a stranger.
        let processes = Processes(vec![
            process(10, 1, 10),
            process(14, 12, 12),
            process(12, 10, 12),
            process(13, 1, 10),
            process(20, 1, 20),
        ]);
        assert_eq!(processes.tree(10), HashSet::from([10, 12, 13, 14]));
    }

    #[test]
    fn this_process_uses_memory_files_and_threads() {
        let (processes, own) = (Processes::now(), std::process::id());
        let usage = processes.usage(own);
        assert!(usage.resident_bytes > 1024 * 1024 && usage.files > 2 && usage.threads > 0, "{usage:?}");
        assert!(processes.resident_bytes(own) > 1024 * 1024);
        assert_eq!(processes.resident_bytes(u32::MAX), 0);
    }
}
