//! What root could do, and a program that it starts must not.

use std::io;

use nix::errno::Errno;
use nix::libc;

/// To read files of others: a folder of another user is what a connector may be there to read.
const DAC_READ_SEARCH: libc::c_ulong = 2;
/// More capabilities than any kernel has.
const MANY: libc::c_ulong = 64;

/// Takes from the program that the calling thread becomes all of root's capabilities but that of reading files of others.
/// With them it could look into other processes in spite of its [domain](crate::Domain). For root only; a program of another
/// user has none. System calls and nothing else: fit for between fork and exec.
///
/// # Errors
///
/// The kernel refused.
pub fn drop_capabilities() -> io::Result<()> {
    for capability in (0..MANY).filter(|capability| *capability != DAC_READ_SEARCH) {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            // The kernel does not know so many.
            Err(Errno::EINVAL) => break,
            // A process that is root in name only has none to lose, and cannot give the rest back to anybody.
            Err(Errno::EPERM) => return Ok(()),
            dropped => dropped?,
        }
    }
    Ok(prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong)?)
}

#[expect(unsafe_code, reason = "a system call without a wrapper")]
fn prctl(option: libc::c_int, argument: libc::c_ulong) -> Result<(), Errno> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: numbers only.
    let answer = unsafe { libc::prctl(option, argument, NONE, NONE, NONE) };
    Errno::result(answer).map(drop)
}
