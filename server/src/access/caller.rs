//! Who calls, as a service sees it. Whatever a service looks up or makes is bounded by the caller's organisation; what it
//! tells the caller of here is what the audit log says of the call.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::{Request, Status};

use super::Permission;
use crate::store::audit::{Actor, Detail};
use crate::store::connections::Connection;

/// Who calls. Clones are the same call. `Debug` shows no secret: there is none in it.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    actor: Actor,
    organization: String,
    permissions: Vec<Permission>,
    note: Mutex<Note>,
}

/// What a service found out about a call, for the audit log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    /// Whose thing the call is about; `None`: nobody said.
    pub(crate) organization: Option<String>,
    /// What it is about.
    pub(crate) target: String,
    /// What there is to say beside it. A reason is only there where the call was denied.
    pub(crate) detail: Detail,
}

impl Caller {
    /// A caller of this organisation (empty: of all) who may do this.
    pub fn new(actor: Actor, organization: String, permissions: Vec<Permission>) -> Self {
        Self(Arc::new(Inner { actor, organization, permissions, note: Mutex::default() }))
    }

    /// Takes a request apart: who sent it, and what it says.
    ///
    /// # Errors
    /// INTERNAL where the listener let it through without a caller: nothing is done for nobody.
    pub fn of<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let caller = request.extensions().get::<Self>().cloned();
        let caller = caller.ok_or_else(|| Status::internal("the listener did not say who calls"))?;
        Ok((caller, request.into_inner()))
    }

    /// Who it is, for the audit log.
    pub fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// The only organisation that it sees anything of; empty: all.
    pub fn organization(&self) -> &str {
        &self.0.organization
    }

    /// Whether it may see what belongs to this organisation. What is of no organisation is the installation's.
    pub fn sees(&self, organization: &str) -> bool {
        self.0.organization.is_empty() || self.0.organization == organization
    }

    /// Whether it may do what needs this.
    pub fn allows(&self, needed: Permission) -> bool {
        self.0.permissions.iter().any(|permission| *permission >= needed)
    }

    /// The call is about this connection.
    pub fn concerns(&self, connection: &Connection) {
        self.concerns_any("connection", &connection.id, &connection.organization);
    }

    /// The call is about this: its kind and id, such as `run` and the run's, and whose it is. Only of what exists: an id
    /// that is none may be anything, also a secret that was put into the wrong place.
    pub fn concerns_any(&self, kind: &str, id: &str, organization: &str) {
        let mut note = self.note();
        note.target = format!("{kind}/{id}");
        note.organization = Some(organization.to_owned());
    }

    /// What else the audit log is to say of the call.
    pub fn tells(&self, tell: impl FnOnce(&mut Detail)) {
        tell(&mut self.note().detail);
    }

    /// The call is denied: it names something of another organisation, which exists.
    pub fn denied_other_organization(&self, kind: &str, id: &str) {
        let mut note = self.note();
        note.target = format!("{kind}/{id}");
        // It is told to those who see this caller, and not to the other organisation.
        note.organization = None;
        "ORGANIZATION_DENIED".clone_into(&mut note.detail.reason);
    }

    /// The call is denied: it says itself that it is about another organisation.
    pub(crate) fn denied_organization(&self) {
        "ORGANIZATION_DENIED".clone_into(&mut self.note().detail.reason);
    }

    /// What was found out about the call.
    pub(crate) fn noted(&self) -> Note {
        self.note().clone()
    }

    fn note(&self) -> std::sync::MutexGuard<'_, Note> {
        self.0.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
