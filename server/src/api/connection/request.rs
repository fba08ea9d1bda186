//! What requests about connections ask for: every field is checked, and every fault is named before anything is done.

use std::sync::Arc;

use serde_json::{Map, Value};
use superfasttt_proto::control::v1::Connection;
use superfasttt_proto::control::v1::run::Trigger;

use super::schedule;
use crate::access::Caller;
use crate::api::Api;
use crate::api::bounds::owner;
use crate::api::error::ApiError;
use crate::catalog::{Manifest, SEALED, apply_defaults, validate_settings};
use crate::credentials::{UNOPENED, field_of, sealed_places};
use crate::schedule::new_id;
use crate::schedule::times::Due;
use crate::store::connections::{Connection as Stored, ConnectionChange, Schedule as StoredSchedule};
use crate::sync::json::from_struct;

impl Api {
    /// What the fields of a mask change.
    pub(super) async fn change(
        &self,
        found: &Stored,
        asked: &Connection,
        mask: &[String],
    ) -> Result<ConnectionChange, ApiError> {
        let now = self.clock.now();
        let mut change = ConnectionChange::default();
        let mut faults = Vec::new();
        if found.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()));
        }
        if mask.is_empty() {
            faults.push(fault("update_mask", "is required: name the fields to change"));
        }
        let manifest = self.manifest(&found.connector, &mut faults);
        let asked_settings = asked.settings.as_ref().map(from_struct).unwrap_or_default();
        let changes_settings = mask.iter().any(|path| path == "settings" || path.starts_with("settings."));
        let set = if changes_settings { self.credentials.open_what_opens(found).await? } else { Map::new() };
        let mut settings: Option<Map<String, Value>> = None;
        let mut schedule_fields = Vec::new();
        for path in mask {
            match path.split_once('.').unwrap_or((path, "")) {
                ("name", "") => {
                    check_name(&asked.name, &mut faults);
                    change.name = Some(asked.name.clone());
                }
                ("settings", "") => {
                    let mut asked = asked_settings.clone();
                    let secrets = manifest.as_ref().map(|manifest| manifest.settings.secret_fields());
                    for secret in secrets.unwrap_or_default() {
                        keep(&mut asked, &set, &secret);
                    }
                    settings = Some(asked);
                }
                ("settings", name) if !name.contains('.') => {
                    let settings = settings.get_or_insert_with(|| set.clone());
                    match asked_settings.get(name) {
                        Some(value) => settings.insert(name.to_owned(), value.clone()),
                        None => settings.remove(name),
                    };
                }
                ("schedule", field) => schedule_fields.push(field),
                ("keep_raw", "") => change.keep_raw = Some(asked.keep_raw),
                _ => faults.push(fault(
                    "update_mask",
                    &format!("{path:?} cannot be changed; name, settings, settings.<field>, schedule, schedule.<field> and keep_raw \
                              can"),
                )),
            }
        }
        if let (Some(settings), Some(manifest)) = (&settings, &manifest) {
            let lost = lost(settings, &set);
            if lost.is_empty() {
                check_settings(manifest, settings, &mut faults);
            }
            faults.extend(lost);
        }
        if !schedule_fields.is_empty() {
            let asked = asked.schedule.clone().unwrap_or_default();
            let schedule = schedule::updated(&found.schedule, &asked, &schedule_fields, now, &mut faults);
            change.next = schedule::next_due(found, &schedule, now);
            change.schedule = Some(schedule);
        }
        refuse(faults)?;
        if let (Some(settings), Some(manifest)) = (settings, &manifest)
            && settings != set
        {
            // A person wants to see what the new settings bring.
            change.next = Some(Some(Due { at: now, cause: Trigger::Settings, full: false }));
            let owner = (found.organization.as_str(), found.id.as_str());
            let before = Some((&set, &found.settings));
            change.settings = Some(self.credentials.seal_settings(manifest, owner, settings, before).await?);
        }
        Ok(change)
    }

    /// The connector's manifest; a fault where it has none that works.
    pub(super) fn manifest(
        &self,
        connector: &str,
        faults: &mut Vec<(String, String)>,
    ) -> Option<Arc<Manifest>> {
        if connector.is_empty() {
            faults.push(fault("connection.connector", "is required: the id of a connector"));
            return None;
        }
        let Some(entry) = self.catalog.get(connector) else {
            let known: Vec<_> = self.catalog.list().iter().map(|entry| entry.id.clone()).collect();
            let text = format!("there is no connector {connector:?}; there are: {}", known.join(", "));
            faults.push(fault("connection.connector", &text));
            return None;
        };
        if entry.manifest.is_none() {
            let text =
                format!("the manifest of {connector:?} is not valid: look at the connector for what to mend");
            faults.push(fault("connection.connector", &text));
        }
        entry.manifest.clone()
    }

    /// A connection that is not saved.
    pub(super) fn draft(&self, caller: &Caller, draft: Connection) -> Result<Stored, ApiError> {
        let mut faults = Vec::new();
        let organization = organization(caller, &draft.organization, &mut faults)?;
        self.manifest(&draft.connector, &mut faults);
        refuse(faults)?;
        let now = self.clock.now();
        Ok(Stored {
            key: crate::store::ConnectionKey(0),
            id: format!("draft-{}", new_id()),
            organization,
            connector: draft.connector,
            name: draft.name,
            settings: draft.settings.as_ref().map(from_struct).unwrap_or_default(),
            schedule: StoredSchedule::default(),
            disabled: false,
            paused: false,
            deleting_at: None,
            revision: 0,
            fence: 0,
            synced_settings: None,
            next_run_at: None,
            next_cause: Trigger::Schedule,
            last_full_at: None,
            last_run: None,
            last_success_at: None,
            failures: 0,
            keep_raw: false,
            raw_epoch: 0,
            created_at: now,
            updated_at: now,
        })
    }
}

/// A field and what is wrong with it.
pub(super) fn fault(field: &str, text: &str) -> (String, String) {
    (field.to_owned(), text.to_owned())
}

/// Keeps a value at a dotted path that a person left out, because it was never shown.
fn keep(asked: &mut Map<String, Value>, stored: &Map<String, Value>, path: &str) {
    match path.split_once('.') {
        None => {
            if let (None, Some(kept)) = (asked.get(path), stored.get(path)) {
                asked.insert(path.to_owned(), kept.clone());
            }
        }
        Some((name, rest)) => {
            let inner = asked.get_mut(name).and_then(Value::as_object_mut);
            if let (Some(asked), Some(stored)) = (inner, stored.get(name).and_then(Value::as_object)) {
                keep(asked, stored, rest);
            }
        }
    }
}

/// A fault for each secret that cannot be opened and that these settings leave as it is.
fn lost(asked: &Map<String, Value>, set: &Map<String, Value>) -> Vec<(String, String)> {
    let (asked, places) = (Value::Object(asked.clone()), sealed_places(set));
    let set = Value::Object(set.clone());
    let stays = places.into_iter().filter(|place| asked.pointer(place) == set.pointer(place));
    stays.map(|place| fault(&format!("connection.settings.{}", field_of(&place)), UNOPENED)).collect()
}

/// Refuses a request that has faults.
pub(super) fn refuse(faults: Vec<(String, String)>) -> Result<(), ApiError> {
    if faults.is_empty() { Ok(()) } else { Err(ApiError::Invalid(faults)) }
}

/// Checks a connection's name.
pub(super) fn check_name(name: &str, faults: &mut Vec<(String, String)>) {
    let letters =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    let begins_well = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    if name.is_empty() {
        faults.push(fault("connection.name", "is required"));
    } else if name.len() > 63 || !name.chars().all(letters) || !begins_well {
        let text = "must be 1 to 63 of a-z, 0-9, \"-\" and \"_\", beginning with a letter or digit";
        faults.push(fault("connection.name", text));
    }
}

/// The organisation that was asked for, else the caller's own, else the default one.
///
/// # Errors
/// It is not the caller's.
pub(super) fn organization(
    caller: &Caller,
    organization: &str,
    faults: &mut Vec<(String, String)>,
) -> Result<String, ApiError> {
    let organization = owner(caller, organization)?;
    check_organization("connection.organization", &organization, faults);
    Ok(organization)
}

/// Checks an organisation's name.
pub(in crate::api) fn check_organization(
    field: &str,
    organization: &str,
    faults: &mut Vec<(String, String)>,
) {
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if organization.len() > 63 || !organization.chars().all(letters) {
        faults.push(fault(field, "must be 1 to 63 of a-z, 0-9 and \"-\""));
    }
}

/// Checks settings, defaults filled in, against the connector's schema.
pub(super) fn check_settings(
    manifest: &Manifest,
    settings: &Map<String, Value>,
    faults: &mut Vec<(String, String)>,
) {
    let complete = apply_defaults(manifest, &Value::Object(settings.clone()));
    if complete.to_string().contains(&format!("\"{SEALED}\":")) {
        faults.push(fault("connection.settings", &format!("the name {SEALED:?} is the server's own")));
    }
    if let Err(problems) = validate_settings(manifest, &complete) {
        let named = problems.into_iter().map(|problem| {
            let field = if problem.field.is_empty() { String::new() } else { format!(".{}", problem.field) };
            (format!("connection.settings{field}"), problem.message)
        });
        faults.extend(named);
    }
}

/// The revision in an etag; `None` where none was given.
pub(in crate::api) fn revision(etag: &str, field: &str) -> Result<Option<i64>, ApiError> {
    if etag.is_empty() {
        return Ok(None);
    }
    let number = etag.trim_matches('"').parse();
    number.map(Some).map_err(|_| ApiError::field(field, "is not an etag that this server gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_never_shown_stays_when_it_is_left_out() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let stored = object(serde_json::json!({"key": "s1", "login": {"user": "a", "password": "s2"}}));
        let mut asked = object(serde_json::json!({"login": {"user": "b"}}));
        for path in ["key", "login.password", "other.secret"] {
            keep(&mut asked, &stored, path);
        }
        assert_eq!(asked, object(serde_json::json!({"key": "s1", "login": {"user": "b", "password": "s2"}})));
        let mut replaced = object(serde_json::json!({"key": "new"}));
        keep(&mut replaced, &stored, "key");
        assert_eq!(replaced["key"], "new");
    }
}
