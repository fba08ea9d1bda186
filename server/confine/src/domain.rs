//! A domain: from inside, the processes outside are closed.

use std::io;
use std::mem::offset_of;
use std::os::fd::OwnedFd;

use crate::kernel::{self, Ruleset};

/// From this revision on signals and abstract sockets can be kept inside.
const SCOPES_SINCE: u32 = 6;
/// Abstract sockets (1) and signals (2).
const SCOPE_ALL: u64 = 0b11;
/// Making block devices, which no connector does. An older kernel wants to be told of something that is closed.
const MAKE_BLOCK: u64 = 1 << 11;

/// A domain that a process can be put into.
#[derive(Debug)]
pub struct Domain {
    rules: OwnedFd,
}

impl Domain {
    /// A new one. `None`: the kernel has no Landlock.
    ///
    /// # Errors
    ///
    /// No more files can be opened.
    pub fn new() -> io::Result<Option<Self>> {
        let Some(revision) = kernel::revision() else { return Ok(None) };
        let rules = if revision >= SCOPES_SINCE {
            let ruleset = Ruleset { scoped: SCOPE_ALL, ..Ruleset::default() };
            kernel::create(&ruleset, size_of::<Ruleset>())?
        } else {
            let ruleset = Ruleset { files: MAKE_BLOCK, ..Ruleset::default() };
            kernel::create(&ruleset, offset_of!(Ruleset, network))?
        };
        Ok(Some(Self { rules }))
    }

    /// Puts the calling thread and all that it starts into it, for good. Between fork and exec that is the new program. It
    /// has to have said that it wants no new privileges. Only a system call.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn enter(&self) -> io::Result<()> {
        kernel::restrict_self(&self.rules)
    }
}
