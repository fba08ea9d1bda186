//! What the state of a connection was made with, beside the connector: the settings that a person set, and whether raw
//! items were asked for. It is kept with the state as bytes; where it differs at the next run, everything is listed anew.

use ring::digest::{SHA256, digest};

use super::json;
use crate::store::connections::Connection;

const HASH_BYTES: usize = 32;

/// What a run finds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// A person has changed settings since.
    pub settings_changed: bool,
    /// Raw items are kept, and not of everything yet.
    pub raw_missing: bool,
    /// What is true once everything has begun to be listed anew.
    pub now: Vec<u8>,
}

impl Synced {
    /// Compares what a connection is with what its state was made with.
    pub fn of(connection: &Connection) -> Self {
        // What the person set, not what a newer manifest fills in.
        let set = prost::Message::encode_to_vec(&json::to_struct(&connection.settings));
        let mut now = digest(&SHA256, &set).as_ref().to_vec();
        if connection.keep_raw {
            now.extend(connection.raw_epoch.to_le_bytes());
        }
        let before = connection.synced_settings.as_deref();
        Self {
            settings_changed: before.is_some_and(|before| before.get(..HASH_BYTES) != now.get(..HASH_BYTES)),
            raw_missing: connection.keep_raw
                && before.is_some_and(|before| before.get(HASH_BYTES..) != now.get(HASH_BYTES..)),
            now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::Rig;

    #[tokio::test]
    async fn raw_items_of_an_earlier_epoch_do_not_count() {
        let mut connection = Rig::new(|_, _| {}).await.connection;
        let mut made = |keep_raw, raw_epoch, setting: i64| {
            (connection.keep_raw, connection.raw_epoch) = (keep_raw, raw_epoch);
            connection.settings.insert("setting".to_owned(), setting.into());
            let synced = Synced::of(&connection);
            connection.synced_settings = Some(synced.now);
            (synced.settings_changed, synced.raw_missing)
        };
        assert_eq!(made(false, 0, 1), (false, false), "nothing was synced yet");
        assert_eq!(made(true, 1, 1), (false, true));
        assert_eq!(made(true, 1, 1), (false, false));
        assert_eq!(made(true, 1, 2), (true, false));
        assert_eq!(made(false, 2, 2), (false, false), "switching off asks for nothing");
        assert_eq!(made(true, 3, 2), (false, true));
        assert_eq!(made(true, 5, 2), (false, true), "off and on again in between");
    }
}
