//! How much memory a connector and all that it started use, from /proc.
//!
//! Resident sizes are added up, so pages that processes share count more than once: for a connector that forks
//! workers the sum is too high, never too low.

use std::collections::{HashMap, HashSet};

/// The resident size of each group: the process of that id, its process group, and all their descendants.
pub(super) fn resident_bytes(leaders: &[u32]) -> HashMap<u32, u64> {
    let processes = processes();
    leaders
        .iter()
        .map(|leader| {
            let members = members(*leader, &processes);
            (*leader, members.into_iter().filter_map(resident_bytes_of).sum())
        })
        .collect()
}

struct Process {
    pid: u32,
    parent: u32,
    group: u32,
}

fn processes() -> Vec<Process> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| parse_stat(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `pid (name) state ppid pgrp …`. The name may hold anything, parentheses and spaces included.
fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, group })
}

/// By group as well as by parent: a child whose parent ended has another parent, one that made a group of its own
/// has another group.
fn members(leader: u32, processes: &[Process]) -> HashSet<u32> {
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

fn resident_bytes_of(pid: u32) -> Option<u64> {
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
        let process = parse_stat(7, "7 (a) b) S 3 5 5 0").unwrap();
        assert_eq!((process.pid, process.parent, process.group), (7, 3, 5));
        assert!(parse_stat(7, "").is_none());
    }

    #[test]
    fn a_tree_has_the_group_and_the_descendants() {
        let process = |pid, parent, group| Process { pid, parent, group };
        // 12 left the group, 13 lost its parent, 14 is a child of one that left; 20 is a stranger.
        let processes = [
            process(10, 1, 10),
            process(14, 12, 12),
            process(12, 10, 12),
            process(13, 1, 10),
            process(20, 1, 20),
        ];
        assert_eq!(members(10, &processes), HashSet::from([10, 12, 13, 14]));
    }

    #[test]
    fn this_process_uses_memory() {
        let own = std::process::id();
        assert!(resident_bytes(&[own])[&own] > 1024 * 1024);
        assert_eq!(resident_bytes(&[u32::MAX])[&u32::MAX], 0);
    }
}
