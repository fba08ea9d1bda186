//! What a caller may be allowed. Each permission has those before it in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a caller may be allowed; a later one allows all that an earlier one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Permission {
    /// See connections, runs and documents.
    #[serde(rename = "integrations.read")]
    Read,
    /// Change them, and connect accounts.
    #[serde(rename = "integrations.manage")]
    Manage,
    /// Everything, for the whole installation: tokens, the audit log, what operators see.
    #[serde(rename = "admin")]
    Admin,
}

impl Permission {
    /// All of them.
    pub const ALL: [Permission; 3] = [Permission::Read, Permission::Manage, Permission::Admin];

    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::Read => "integrations.read",
            Permission::Manage => "integrations.manage",
            Permission::Admin => "admin",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text is no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none; there are \"integrations.read\", \"integrations.manage\" and \"admin\"")]
pub struct UnknownPermission;

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text).ok_or(UnknownPermission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_written_the_same_everywhere_and_has_the_lesser_ones_in_it() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.as_str());
        }
        assert_eq!("Admin".parse::<Permission>(), Err(UnknownPermission));
        assert!(Permission::Admin > Permission::Manage && Permission::Manage > Permission::Read);
    }
}
