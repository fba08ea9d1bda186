//! What the kernel says of this process.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// What this process uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnProcess {
    pub(super) resident_bytes: u64,
    pub(super) cpu: Duration,
    pub(super) open_files: u64,
}

impl OwnProcess {
    /// As it is now; `None` where the kernel does not tell.
    pub(super) fn read() -> Option<Self> {
        let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let time = |time: nix::sys::time::TimeVal| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
            Duration::from_secs(seconds) + Duration::from_micros(time.tv_usec().unsigned_abs())
        };
        Some(Self {
            resident_bytes: pages * page.unsigned_abs(),
            cpu: time(usage.user_time()) + time(usage.system_time()),
            // The one that lists them is among them.
            open_files: (std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_uses() {
        let before = OwnProcess::read().unwrap();
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        let file = std::fs::File::open("/proc/self/statm").unwrap();
        let after = OwnProcess::read().unwrap();
        assert!(after.resident_bytes >= before.resident_bytes + (32 << 20), "{before:?} {after:?}");
        assert!(after.cpu > before.cpu && after.open_files > 3);
        drop((memory, file));
    }
}
