//! Landlock's system calls, which no C library wraps (`linux/landlock.h`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;

/// `struct landlock_ruleset_attr`, as far as revision 6 has it; an older kernel is told a shorter length.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Ruleset {
    pub(crate) files: u64,
    pub(crate) network: u64,
    pub(crate) scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: i32,
}

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// Which revision of Landlock the kernel has; `None`: it has none, or it is switched off.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
pub(crate) fn revision() -> Option<u32> {
    let none: *const Ruleset = std::ptr::null();
    // SAFETY: with this flag the kernel reads nothing from the pointer, which has to be null.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, CREATE_RULESET_VERSION) };
    u32::try_from(answer).ok().filter(|revision| *revision > 0)
}

/// Makes a set of rules. `length` says how much of it the kernel's revision knows.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
pub(crate) fn create(ruleset: &Ruleset, length: usize) -> io::Result<OwnedFd> {
    debug_assert!(length <= size_of::<Ruleset>());
    // SAFETY: the pointer is to at least `length` bytes that stay for the call, and are only read.
    let answer = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(ruleset), length, 0_u32)
    };
    let descriptor = i32::try_from(answer).ok().filter(|descriptor| *descriptor >= 0);
    let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Allows `files` below an open folder.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
pub(crate) fn allow_below(ruleset: &OwnedFd, folder: BorrowedFd<'_>, files: u64) -> io::Result<()> {
    let rule = Beneath { allowed: files, parent: folder.as_raw_fd() };
    // SAFETY: the pointer is to a whole rule that stays for the call, and is only read.
    let answer = unsafe {
        let rule = std::ptr::from_ref(&rule);
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, rule, 0_u32)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts the calling thread, and all that it starts from here on, under the rules for good. It has to have said already that
/// it wants no new privileges. A system call and nothing else: fit for between fork and exec.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
pub(crate) fn restrict_self(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: numbers only.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
