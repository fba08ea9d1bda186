//! Who may do what, and what was done: API tokens, the permission that each rpc needs, and the audit log.
//!
//! `gate` finds out who calls, by the token that was shown; `rpcs` is the one table of what each rpc needs and whether it is
//! audited; `caller` is who calls as a service sees it: every query is bounded by its organisation; `audit` takes down what
//! was done. The listener's `authenticate` puts them together.

pub mod audit;
#[cfg(test)]
mod audit_tests;
pub mod caller;
pub mod gate;
pub mod permission;
pub mod rpcs;

pub use audit::{Audit, CredentialUse, Purpose};
pub use caller::Caller;
pub use gate::Access;
pub use permission::Permission;
