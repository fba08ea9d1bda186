//! The limits that a worker puts on itself. Unlike the connectors, it is our own program and known not to reserve memory
//! that it does not use, so the kernel's own limits do: an allocation beyond them fails, and the process aborts.

use std::ffi::OsStr;
use std::io::Result;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::frame::Setup;
use crate::extract::STACK_BYTES;

/// Standard streams, the document (opened up to three times by its reader), and a few for the system's libraries.
const MAX_OPEN_FILES: u64 = 32;

/// Address space that is reserved but not used: the program itself and the allocator's arenas.
const RESERVED_BYTES: u64 = 1 << 30;

pub(super) fn apply(setup: &Setup) -> Result<()> {
    let memory = setup.memory_bytes.saturating_add(STACK_BYTES as u64);
    // Memory that is written to counts against the first; the second holds where a kernel does not enforce that one.
    lower(Resource::RLIMIT_DATA, memory)?;
    lower(Resource::RLIMIT_AS, memory.saturating_add(RESERVED_BYTES))?;
    lower(Resource::RLIMIT_CPU, setup.cpu_seconds)?;
    // Nothing is ever written to disk, neither a file nor an image of the memory.
    lower(Resource::RLIMIT_FSIZE, 0)?;
    lower(Resource::RLIMIT_CORE, 0)?;
    lower(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES)?;
    #[cfg(target_os = "linux")]
    {
        nix::sys::prctl::set_no_new_privs()?;
        nix::sys::prctl::set_dumpable(false)?;
        if let Some(folder) = &setup.folder {
            // Where the kernel has no Landlock the other limits remain; the server warns of it at its start.
            superfasttt_confine::only_read_below(Path::new(OsStr::from_bytes(folder)))?;
        }
    }
    Ok(())
}

/// Sets both limits for good, or keeps the one in force where that is stricter.
fn lower(resource: Resource, value: u64) -> Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let value = value.min(hard);
    Ok(setrlimit(resource, value, value)?)
}
