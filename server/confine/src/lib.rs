//! What a process gives up before it runs code, or reads documents, of somebody else. No privilege is needed for it; what root
//! has beside, [`drop_capabilities`] takes away.
//!
//! The kernel's means is Landlock (Linux 5.13; where it is missing or switched off, nothing is given up and the caller is
//! told so). A process in a [`Domain`] can neither trace nor read the memory, environment or open files of any process
//! outside of it, whoever it runs as (root without capabilities included); from Linux 6.12 on it cannot send them signals either, nor reach their
//! abstract sockets. Each connector is in a domain of its own. [`only_read_below`] closes the file system as well.

mod capabilities;
mod domain;
mod files;
mod kernel;

pub use capabilities::drop_capabilities;
pub use domain::Domain;
pub use files::only_read_below;
