//! The one table of rights: each rpc that there is, the permission that it needs, and whether it is audited. It covers all of
//! the contract, served or not, and reflection; a test holds it against the descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Permission::{self, Admin, Manage, Read};

/// What goes into the audit log besides what was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// Nothing: it changes nothing.
    No,
    /// That it was called, and how often: it comes too often for a row each.
    Counted,
    /// Each call.
    Each,
}
use Audited::{Counted, Each, No};

/// An rpc.
#[derive(Debug)]
pub struct Rpc {
    /// `Service.Rpc`, without the package.
    pub name: String,
    /// What its caller must be allowed.
    pub needs: Permission,
    /// What of it is audited.
    pub audited: Audited,
}

const CONTROL: &str = "superfasttt.control.v1";

/// The rpcs of a service: each by its name, with what it needs and what of it is audited.
type Rows = &'static [(&'static str, Permission, Audited)];

/// What each service's rpcs need, by its package and name.
const TABLE: &[(&str, &str, Rows)] = &[
    (CONTROL, "CatalogService", &[("ListConnectors", Read, No), ("GetConnector", Read, No)]),
    (
        CONTROL,
        "ConnectionService",
        &[
            ("CreateConnection", Manage, Each),
            ("GetConnection", Read, No),
            ("ListConnections", Read, No),
            ("UpdateConnection", Manage, Each),
            ("DeleteConnection", Manage, Each),
            // These two run the connector with the account's credential, also on settings that nobody saved.
            ("TestConnection", Manage, Counted),
            ("DiscoverResources", Manage, Counted),
            ("EnableConnection", Manage, Each),
            ("DisableConnection", Manage, Each),
            ("PauseConnection", Manage, Each),
            ("ResumeConnection", Manage, Each),
            ("SetDefaultConnection", Manage, Each),
            ("ResolveConnection", Read, No),
            ("ImportConnections", Manage, Each),
            ("ExportConnections", Read, No),
        ],
    ),
    (
        CONTROL,
        "CredentialService",
        &[
            ("StartAuthorization", Manage, Each),
            ("CompleteAuthorization", Manage, Each),
            ("GetAuthorization", Read, No),
            ("SetCredential", Manage, Each),
            ("RevokeCredential", Manage, Each),
            ("GetCredential", Read, No),
            ("RefreshCredential", Manage, Each),
            ("ConfirmAccount", Manage, Each),
            ("CreateOAuthApp", Manage, Each),
            ("GetOAuthApp", Read, No),
            ("ListOAuthApps", Read, No),
            ("UpdateOAuthApp", Manage, Each),
            ("DeleteOAuthApp", Manage, Each),
        ],
    ),
    (
        CONTROL,
        "SyncService",
        &[
            ("StartSync", Manage, Each),
            ("CancelRun", Manage, Each),
            ("GetRun", Read, No),
            ("ListRuns", Read, No),
            ("WatchRun", Read, No),
            ("ListRunLogs", Read, No),
            ("ListItemErrors", Read, No),
            ("RetryItemErrors", Manage, Each),
            ("RenormalizeConnection", Manage, Each),
            // It costs the connector as much as the change itself.
            ("PreviewRenormalization", Manage, Counted),
            ("GetSyncState", Read, No),
            ("UpdateSyncState", Manage, Each),
            ("ResetSyncState", Manage, Each),
            ("ApproveDeletions", Manage, Each),
        ],
    ),
    (
        CONTROL,
        "DocumentService",
        &[
            ("GetDocument", Read, No),
            ("ListDocuments", Read, No),
            ("ReadContent", Read, No),
            // A reader keeps its own place in the feed, and moves it often.
            ("WatchDocuments", Read, Counted),
            ("CommitPosition", Read, Counted),
        ],
    ),
    (CONTROL, "ActionService", &[("ExecuteAction", Manage, Each)]),
    (
        CONTROL,
        "SinkService",
        &[
            ("CreateSink", Manage, Each),
            ("GetSink", Read, No),
            ("ListSinks", Read, No),
            ("DeleteSink", Manage, Each),
        ],
    ),
    (
        CONTROL,
        "AdminService",
        &[
            ("GetServerInfo", Admin, No),
            ("ListConsumers", Admin, No),
            ("DeleteConsumer", Admin, Each),
            ("CreateApiToken", Admin, Each),
            ("ListApiTokens", Admin, No),
            ("RevokeApiToken", Admin, Each),
            ("ListAuditEvents", Admin, Counted),
        ],
    ),
    ("grpc.reflection.v1", "ServerReflection", &[("ServerReflectionInfo", Read, No)]),
    ("grpc.reflection.v1alpha", "ServerReflection", &[("ServerReflectionInfo", Read, No)]),
];

/// By the path that an rpc is called at.
static BY_PATH: LazyLock<HashMap<String, Rpc>> = LazyLock::new(|| {
    let rows = TABLE.iter().flat_map(|(package, service, rpcs)| {
        rpcs.iter().map(move |(rpc, needs, audited)| {
            let name = format!("{service}.{rpc}");
            (format!("/{package}.{service}/{rpc}"), Rpc { name, needs: *needs, audited: *audited })
        })
    });
    rows.collect()
});

/// The rpc at this path.
pub fn at(path: &str) -> Option<&'static Rpc> {
    BY_PATH.get(path)
}

/// What a plain page needs. One that is not there may be asked for by everybody who may see anything.
pub fn page_needs(path: &str) -> Permission {
    // It tells of all organisations.
    if path == "/metrics" { Admin } else { Read }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// The paths of all rpcs of the services whose package begins so.
    fn described(descriptors: &[u8], package: &str) -> BTreeSet<String> {
        let descriptors = FileDescriptorSet::decode(descriptors).unwrap();
        let files = descriptors.file.iter().filter(|file| file.package().starts_with(package));
        let services = files.flat_map(|file| file.service.iter().map(move |service| (file, service)));
        let paths = services.flat_map(|(file, service)| {
            let path = move |rpc: &str| format!("/{}.{}/{rpc}", file.package(), service.name());
            service.method.iter().map(move |rpc| path(rpc.name()))
        });
        paths.collect()
    }

    #[test]
    fn each_rpc_has_its_row_and_each_row_its_rpc() {
        let mut rpcs = described(superfasttt_proto::DESCRIPTORS, "superfasttt.control");
        rpcs.extend(described(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, "grpc.reflection"));
        rpcs.extend(described(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET, "grpc.reflection"));
        let rows: BTreeSet<String> = BY_PATH.keys().cloned().collect();
        assert!(rpcs.len() > 60, "the descriptors are there");
        assert_eq!(rows.difference(&rpcs).collect::<Vec<_>>(), Vec::<&String>::new(), "rows of no rpc");
        assert_eq!(rpcs.difference(&rows).collect::<Vec<_>>(), Vec::<&String>::new(), "rpcs without a row");
    }

    #[test]
    fn what_changes_something_is_audited_and_needs_more_than_to_read() {
        const CHANGES: [&str; 15] = [
            "Create", "Update", "Delete", "Set", "Revoke", "Start", "Complete", "Cancel", "Reset", "Enable",
            "Disable", "Pause", "Resume", "Import", "Approve",
        ];
        for rpc in BY_PATH.values() {
            let (_, verb) = rpc.name.split_once('.').unwrap();
            if CHANGES.iter().any(|change| verb.starts_with(change)) {
                assert!(rpc.needs >= Manage && rpc.audited == Each, "{}", rpc.name);
            }
        }
    }
}
