//! Secret settings: sealed where they stand among the others.
//!
//! They are sealed with a key of their own, which is itself a secret of the vault: so a rotation of the master keys seals
//! that one again, and the settings of a connection stay the same bytes, which say whether a person changed them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use superfasttt_proto::error::ConnectorError;
use zeroize::Zeroizing;

use super::Credentials;
use super::trouble::{away, internal, settings_invalid};
use crate::catalog::{Manifest, SEALED, pointer_below, secret_places};
use crate::store::connections::Connection;
use crate::vault::{Key, KeyRing, Place, Sealed, VaultError, open_with, seal_with};

/// What is said of a secret setting that is lost.
pub const UNOPENED: &str = "cannot be opened any more (its key is gone, or it was damaged): enter it anew";

/// Settings as JSON has them.
type Settings = Map<String, Value>;

impl Credentials {
    /// Seals the secret values of settings for a connection of this organisation and id. Those that are as they were
    /// `before`, open and stored, stay as they are stored.
    ///
    /// # Errors
    /// `SETTINGS_INVALID` where there are no keys to seal with, `INTERNAL` where the vault or the store is at fault.
    pub async fn seal_settings(
        &self,
        manifest: &Manifest,
        (organization, connection): (&str, &str),
        settings: Settings,
        before: Option<(&Settings, &Settings)>,
    ) -> Result<Settings, ConnectorError> {
        let mut settings = Value::Object(settings);
        let places = secret_places(manifest, &settings);
        if places.is_empty() {
            return Ok(into_object(settings));
        }
        let ring = self.settings_key().await?;
        let place = place(organization, connection);
        let before =
            before.map(|(open, stored)| (Value::Object(open.clone()), Value::Object(stored.clone())));
        for pointer in places {
            // A secret within another is sealed with it.
            let Some(value) = settings.pointer_mut(&pointer) else { continue };
            let stored = before.as_ref().and_then(|(open, stored)| {
                stored
                    .pointer(&pointer)
                    .filter(|stored| sealed_in(stored).is_some() && open.pointer(&pointer) == Some(&*value))
            });
            *value = match stored {
                Some(stored) => stored.clone(),
                None => {
                    let text = Zeroizing::new(value.to_string());
                    let sealed = seal_with(ring.newest(), &place, text.as_bytes());
                    json!({ SEALED: STANDARD.encode(sealed.0) })
                }
            };
        }
        Ok(into_object(settings))
    }

    /// The settings of a connection with their secret values opened.
    ///
    /// # Errors
    /// `SETTINGS_INVALID` where one cannot be opened and has to be entered anew, `INTERNAL` where the vault or the store
    /// is at fault.
    pub async fn open_settings(&self, connection: &Connection) -> Result<Settings, ConnectorError> {
        let settings = self.open_what_opens(connection).await?;
        match sealed_places(&settings).first() {
            None => Ok(settings),
            Some(pointer) => {
                let field = field_of(pointer);
                let error = settings_invalid(format!("the secret setting {field:?} {UNOPENED}"));
                Err(error.with_metadata("field", field))
            }
        }
    }

    /// As [`Self::open_settings`], for who changes them: what cannot be opened stays as it is stored
    /// ([`sealed_places`] says where).
    ///
    /// # Errors
    /// `INTERNAL` where the vault or the store is at fault.
    pub async fn open_what_opens(&self, connection: &Connection) -> Result<Settings, ConnectorError> {
        let mut settings = Value::Object(connection.settings.clone());
        if !sealed_places(&connection.settings).is_empty() {
            let ring = self.settings_key().await?;
            let place = place(&connection.organization, &connection.id);
            open_all(&mut settings, ring, &place);
        }
        Ok(into_object(settings))
    }

    /// The key of secret settings, made where there is none yet.
    async fn settings_key(&self) -> Result<&KeyRing, ConnectorError> {
        let read = async {
            let place = Place::of_vault("settings key");
            let new = self.vault.seal(&place, Key::generate().to_base64().as_bytes()).map_err(unsealed)?;
            let stored = self.store.secret_or(place.clone(), new).await.map_err(|error| away(&error))?;
            let opened = self.vault.open(&place, &stored).await.map_err(unsealed)?;
            let text = std::str::from_utf8(opened.expose_secret()).unwrap_or_default();
            KeyRing::parse(text).map_err(|_| internal("the key of secret settings is damaged"))
        };
        self.settings_key.get_or_try_init(|| read).await
    }
}

fn place(organization: &str, connection: &str) -> Place {
    Place::of_connection(organization, connection, "settings")
}

fn unsealed(error: VaultError) -> ConnectorError {
    match error {
        VaultError::NoKeys => settings_invalid(format!("secret settings cannot be kept: {error}")),
        error => internal(&format!("the key of secret settings cannot be used: {error}")),
    }
}

/// What is sealed in this value, if it is one of ours.
fn sealed_in(value: &Value) -> Option<&str> {
    match value {
        Value::Object(object) if object.len() == 1 => object.get(SEALED)?.as_str(),
        _ => None,
    }
}

/// Where sealed values stand in these settings, as JSON pointers.
pub fn sealed_places(settings: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    settings.iter().for_each(|(name, value)| find_sealed(value, pointer_below("", name), &mut found));
    found
}

/// A place in settings as people read it.
pub fn field_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn find_sealed(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        _ if sealed_in(value).is_some() => found.push(pointer),
        Value::Object(object) => {
            let inner = object.iter();
            inner.for_each(|(name, inner)| find_sealed(inner, pointer_below(&pointer, name), found));
        }
        Value::Array(items) => {
            let inner = items.iter().enumerate();
            inner.for_each(|(at, inner)| find_sealed(inner, pointer_below(&pointer, &at.to_string()), found));
        }
        _ => {}
    }
}

fn open_all(value: &mut Value, ring: &KeyRing, place: &Place) {
    if let Some(text) = sealed_in(value) {
        if let Some(opened) = open(text, ring, place) {
            *value = opened;
        }
        return;
    }
    match value {
        Value::Object(object) => object.values_mut().for_each(|inner| open_all(inner, ring, place)),
        Value::Array(items) => items.iter_mut().for_each(|inner| open_all(inner, ring, place)),
        _ => {}
    }
}

/// `None`: its key is gone, or it is not what was sealed here.
fn open(text: &str, ring: &KeyRing, place: &Place) -> Option<Value> {
    let sealed = Sealed(STANDARD.decode(text).ok()?);
    let opened = open_with(ring, place, &sealed).ok()?;
    serde_json::from_slice(opened.expose_secret()).ok()
}

fn into_object(settings: Value) -> Settings {
    match settings {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}

#[cfg(test)]
mod tests {
    use superfasttt_oauth_testing::Rules;
    use superfasttt_proto::connector::v1::Reason;

    use super::*;
    use crate::catalog::without_secrets;
    use crate::credentials::tests::Installation;

    fn object(value: Value) -> Settings {
        into_object(value)
    }

    fn set() -> Settings {
        object(json!({
            "door": "token", "password": {"old": 7, "new": "s3cret"},
            "proxies": [{"host": "a", "login": "joe:s3cret"}, {"host": "b"}],
        }))
    }

    async fn sealed(
        installation: &Installation,
        settings: Settings,
        before: Option<(&Settings, &Settings)>,
    ) -> Settings {
        let Connection { organization, id, .. } = &installation.connection;
        let owner = (organization.as_str(), id.as_str());
        installation.replicas[0].seal_settings(&installation.manifest, owner, settings, before).await.unwrap()
    }

    #[tokio::test]
    async fn i8_a_secret_setting_is_stored_sealed_and_opens_for_its_connection_alone() {
        let installation = Installation::new(2, Rules::default()).await;
        let stored = sealed(&installation, set(), None).await;
        let text = Value::Object(stored.clone()).to_string();
        assert!(
            !text.contains("s3cret") && !text.contains("old") && text.contains("\"host\":\"a\""),
            "{text}"
        );
        let mut connection = Connection { settings: stored.clone(), ..installation.connection.clone() };
        assert_eq!(installation.replicas[1].open_settings(&connection).await.unwrap(), set());
        let shown = without_secrets(&installation.manifest, &Value::Object(stored.clone()));
        assert_eq!(shown, json!({"door": "token", "proxies": [{"host": "a"}, {"host": "b"}]}));
        connection.id = "c-another".to_owned();
        let error = installation.replicas[1].open_settings(&connection).await.unwrap_err();
        assert_eq!((error.reason, &*error.metadata["field"]), (Reason::SettingsInvalid, "password"));
        assert!(error.message.contains("enter it anew"), "{error}");
        // A person's own settings, which nobody sealed, need no key.
        connection.settings = object(json!({"door": "x"}));
        assert_eq!(installation.replicas[1].open_settings(&connection).await.unwrap(), connection.settings);
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_named_and_the_rest_opens() {
        let installation = Installation::new(1, Rules::default()).await;
        let mut stored = sealed(&installation, set(), None).await;
        stored["proxies"][0]["login"] = json!({ SEALED: STANDARD.encode([7; 80]) });
        let connection = Connection { settings: stored.clone(), ..installation.connection.clone() };
        let replica = &installation.replicas[0];
        let opened = replica.open_what_opens(&connection).await.unwrap();
        assert_eq!(sealed_places(&opened), ["/proxies/0/login"]);
        assert_eq!(opened["password"], set()["password"]);
        let error = replica.open_settings(&connection).await.unwrap_err();
        assert_eq!(error.metadata["field"], "proxies.0.login");
        // Entered anew, it is sealed; the others stay the same bytes.
        let mut entered = opened.clone();
        entered["proxies"][0]["login"] = json!("ann:other");
        let after = sealed(&installation, entered.clone(), Some((&opened, &stored))).await;
        assert_eq!(after["password"], stored["password"]);
        let connection = Connection { settings: after, ..installation.connection.clone() };
        assert_eq!(replica.open_settings(&connection).await.unwrap(), entered);
        let odd = object(json!({"a/b": {"c~d": {SEALED: "AAAA"}}}));
        assert_eq!(sealed_places(&odd).iter().map(|place| field_of(place)).collect::<Vec<_>>(), ["a/b.c~d"]);
    }

    #[tokio::test]
    async fn what_stays_as_it_was_stays_the_same_bytes() {
        let installation = Installation::new(1, Rules::default()).await;
        let before = sealed(&installation, set(), None).await;
        let mut changed = set();
        changed["proxies"][0]["login"] = json!("ann:other");
        let after = sealed(&installation, changed.clone(), Some((&set(), &before))).await;
        assert_eq!(
            after["password"], before["password"],
            "or each change of anything would list everything anew"
        );
        assert_ne!(after["proxies"][0]["login"], before["proxies"][0]["login"]);
        let connection = Connection { settings: after, ..installation.connection.clone() };
        assert_eq!(installation.replicas[0].open_settings(&connection).await.unwrap(), changed);
    }
}
