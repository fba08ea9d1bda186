//! Every check, one file each.

use futures::future::LocalBoxFuture;

use crate::outcome::Verdict;
use crate::workbench::Workbench;
use superfasttt_conformance_proof::Level;

mod apart;
mod cancel;
mod changes;
mod content;
mod cursors;
mod cut;
mod describe;
mod envelopes;
mod errors;
mod full;
mod health;
mod ids;
mod kill;
mod list;
mod listing;
mod memory;
mod normalize;
mod permissions;
mod rate_limits;
mod reflection;
mod repeat;
mod schemas;
mod secrets;
mod start;
mod stdout;
mod stop;
mod targeted;
mod test_connection;
mod timestamps;
mod token;
mod tombstones;
mod unchanged;
mod undeclared;

/// One thing that a connector has to do.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// The level that it belongs to.
    pub level: Level,
    /// What it checks, as something that holds.
    pub title: &'static str,
    /// The checks without which it says nothing.
    pub needs: &'static [&'static str],
    pub(crate) run: for<'a> fn(&'a mut Workbench) -> LocalBoxFuture<'a, Verdict>,
}

macro_rules! checks {
    ($($level:ident $name:ident [$($needs:literal),*] $title:literal)*) => {
        /// All checks, in the order in which they are tried: each stands behind those that it needs.
        pub const ALL: &[Check] = &[$(Check {
            name: stringify!($name),
            level: Level::$level,
            title: $title,
            needs: &[$($needs),*],
            run: |bench| Box::pin($name::check(bench)),
        }),*];
    };
}

checks! {
    Serves start [] "it starts as connectord starts it"
    Serves describe ["start"] "Describe equals the manifest"
    Serves health ["start"] "health says SERVING, for the whole and for the service"
    Serves reflection ["start"] "reflection lists the service"
    Serves token ["start"] "every service refuses calls without the token"
    Serves undeclared ["start"] "what is not declared answers UNIMPLEMENTED"
    Serves test_connection ["start"] "TestConnection answers with checks"
    Serves stop ["start"] "it ends when it is asked to, also in the middle of a pull"
    Syncs full ["start"] "a FULL pull ends well, in messages that the contract knows"
    Syncs envelopes ["full"] "documents and errors are within the limits"
    Syncs permissions ["full"] "every document says who may see it"
    Syncs timestamps ["full"] "times are possible, and not ahead of now"
    Syncs ids ["full"] "ids are unique in a listing and the same in the next"
    Syncs listing ["full"] "`listing_complete` is said only where it is true"
    Syncs schemas ["full"] "metadata and raw items follow the connector's schemas"
    Syncs repeat ["full", "ids"] "the same state twice brings the same"
    Syncs normalize ["repeat"] "Normalize is pure, and gives what Pull gives"
    Syncs list ["repeat"] "LIST names what a listing names"
    Syncs targeted ["repeat"] "TARGETED answers exactly the ids that it was asked for"
    Syncs content ["full"] "FetchContent gives the bytes that it announces"
    Syncs errors ["full"] "errors carry a reason, and with it who must act"
    Syncs cut ["repeat"] "cut at every message and resumed, a listing loses and deletes nothing"
    Syncs unchanged ["repeat"] "an incremental pull brings nothing where nothing changed"
    Syncs changes ["repeat", "cut"] "changes of the source arrive, also when the stream is cut"
    Syncs tombstones ["repeat", "cut"] "deletions of the source arrive"
    Syncs cursors ["full"] "a cursor that is not the source's is refused with CURSOR_INVALID"
    Survives kill ["cut"] "killed at any message and resumed, nothing is lost or deleted"
    Survives cancel ["full"] "a cancelled pull stops within a second, and leaves nothing behind"
    Survives apart ["repeat"] "100 pulls of several connections at once stay apart"
    Survives rate_limits ["full"] "the manifest's rate limits are kept"
    Survives memory ["full"] "memory stays flat over many pulls"
    Survives secrets ["start"] "no secret is in the logs or in the stream"
    Survives stdout ["start"] "nothing is said on stdout"
}
