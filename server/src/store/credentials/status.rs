//! How it stands with a credential, for people and for whoever refreshes it: one JSON column.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How it stands with a credential. It holds no secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// What can be done with it.
    pub state: State,
    /// Since when that is so.
    pub since: DateTime<Utc>,
    /// Why, where it cannot be used, or where the last refresh did not go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// When a person last connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<DateTime<Utc>>,
    /// When it was last refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<DateTime<Utc>>,
    /// Refreshes in a row that did not go through.
    #[serde(skip_serializing_if = "is_default")]
    pub failures: u32,
    /// Whose account it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The account that a person connected with meanwhile, where that is another one and nobody confirmed it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_account: Option<Account>,
    /// The OAuth app that it was granted to; empty: it is no grant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub oauth_app: String,
    /// How the access token is presented; empty: as a bearer token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token_type: String,
    /// What was granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub granted_scopes: Vec<String>,
    /// What was asked for and not granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// What the provider's reply had for the connector, as its manifest declares.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extras: Map<String, Value>,
}

/// What can be done with a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A person has begun to connect, and not ended.
    #[default]
    Pending,
    /// It can be used.
    Connected,
    /// A person has to connect again.
    NeedsReconnect,
    /// A person or the provider ended it.
    Revoked,
}

/// Why a credential cannot be used, or not be refreshed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// Of the closed list of reasons, such as `CREDENTIAL_REVOKED`.
    pub reason: String,
    /// In words, without secrets.
    pub message: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// An account at the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// What the provider knows it by.
    pub id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: State::default(),
            since: DateTime::UNIX_EPOCH,
            trouble: None,
            connected_at: None,
            refreshed_at: None,
            failures: 0,
            account: None,
            other_account: None,
            oauth_app: String::new(),
            token_type: String::new(),
            granted_scopes: Vec::new(),
            missing_scopes: Vec::new(),
            extras: Map::new(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_not_written_and_old_rows_are_read() {
        let status = Status { state: State::NeedsReconnect, ..Status::default() };
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(json, r#"{"state":"needs_reconnect","since":"1970-01-01T00:00:00Z"}"#);
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        assert_eq!(serde_json::from_str::<Status>("{}").unwrap(), Status::default());
    }
}
