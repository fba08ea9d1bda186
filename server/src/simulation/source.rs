//! A small model of a real source: documents with versions in scopes and folders, a log of what changed, and the facts
//! by which the engine is judged. Every change has a number of its own, counted up: a document's version is the number
//! of its last change, and so is the name in its permissions that of the last change of those.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::rngs::StdRng;

/// What a connector of the simulation can do. Each is a connector of its own in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub id: &'static str,
    pub incremental: bool,
    pub full_listing: bool,
    pub targeted: bool,
    pub list: bool,
}

pub(super) const KINDS: [Kind; 6] = [
    Kind { id: "feed", incremental: true, full_listing: true, targeted: false, list: false },
    Kind { id: "rich", incremental: true, full_listing: true, targeted: true, list: false },
    Kind { id: "lister", incremental: false, full_listing: true, targeted: false, list: false },
    Kind { id: "asked-lister", incremental: false, full_listing: true, targeted: true, list: false },
    Kind { id: "comparer", incremental: true, full_listing: true, targeted: true, list: true },
    Kind { id: "feed-only", incremental: true, full_listing: false, targeted: false, list: false },
];

impl Kind {
    /// The names in its manifest.
    pub(super) fn capabilities(&self) -> Vec<&'static str> {
        let all = [
            (self.incremental, "incremental"),
            (self.full_listing, "full_listing"),
            (self.targeted, "targeted"),
            (self.list, "list"),
            (true, "fetch_content"),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }
}

/// A document as the source has it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub scope: String,
    /// The number of its last change.
    pub version: i64,
    /// The number of the last change of its permissions.
    pub acl: i64,
    /// The folder that holds it; empty for none.
    pub folder: String,
    /// It cannot be read for now.
    pub bad: bool,
    /// Its text is behind a reference, and is larger than is read.
    pub heavy: bool,
}

/// What the log of a scope says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    Document(String),
    Permissions(String),
    Gone(String),
    Folder(String),
    /// A folder with all that was in it.
    FolderGone(String, Vec<String>),
}

/// One source, of one connection.
#[derive(Debug)]
pub(super) struct Source {
    pub kind: Kind,
    /// The number of the last change.
    pub revision: i64,
    pub items: BTreeMap<String, Item>,
    /// Folders and their scopes.
    pub folders: BTreeMap<String, String>,
    /// What happened in each scope that there is, in order.
    pub logs: BTreeMap<String, Vec<(i64, Event)>>,
    /// Folders that cannot be read for now.
    pub bad_folders: BTreeSet<String>,
    /// When each document left each scope.
    left: BTreeMap<(String, String), Vec<i64>>,
    /// Where an id was last.
    pub last_scope: BTreeMap<String, String>,
    /// The number of its connector's Normalize: another one makes other documents.
    pub normalizer: u32,
    /// How often its connector has begun to go round in a circle.
    pub circles: u64,
    /// How many listings were begun.
    listings: u64,
    /// Those of them that leave things out.
    lies: BTreeMap<u64, Lie>,
    made: u32,
}

/// A listing that leaves things out.
#[derive(Debug)]
struct Lie {
    /// How likely it is to leave a document out.
    share: f64,
    /// It says that it is complete all the same.
    claims: bool,
    /// What it left out.
    left_out: BTreeSet<String>,
}

impl Source {
    /// A source with up to `scopes` scopes.
    pub(super) fn new(kind: Kind, scopes: usize) -> Self {
        let names = ["", "b", "c"].into_iter().take(scopes);
        Self {
            kind,
            revision: 0,
            items: BTreeMap::new(),
            folders: BTreeMap::new(),
            logs: names.map(|name| (name.to_owned(), Vec::new())).collect(),
            bad_folders: BTreeSet::new(),
            left: BTreeMap::new(),
            last_scope: BTreeMap::new(),
            normalizer: 0,
            circles: 0,
            listings: 0,
            lies: BTreeMap::new(),
            made: 0,
        }
    }

    /// Whether the document left the scope in a change after `version`: only then may it be deleted there.
    pub(super) fn left_since(&self, scope: &str, id: &str, version: i64) -> bool {
        let left = self.left.get(&(scope.to_owned(), id.to_owned()));
        left.is_some_and(|left| left.iter().any(|at| *at > version))
    }

    /// Begins a listing, which leaves things out where it `lies`. Returns its number.
    pub(super) fn begin_listing(&mut self, lies: bool, chance: &mut StdRng) -> u64 {
        self.listings += 1;
        // One that can never be complete has nothing to lie about.
        if lies && self.kind.full_listing {
            let share = if chance.random_bool(0.5) { 0.15 } else { 0.9 };
            let lie = Lie { share, claims: chance.random_bool(0.6), left_out: BTreeSet::new() };
            self.lies.insert(self.listings, lie);
        }
        self.listings
    }

    /// Whether a listing leaves this document out.
    pub(super) fn leaves_out(&mut self, listing: u64, id: &str, chance: &mut StdRng) -> bool {
        let Some(lie) = self.lies.get_mut(&listing) else { return false };
        let leaves_out = chance.random_bool(lie.share);
        if leaves_out {
            lie.left_out.insert(id.to_owned());
        }
        leaves_out
    }

    /// Whether a listing that has come to its end says that it is complete.
    pub(super) fn claims_complete(&self, listing: u64) -> bool {
        self.kind.full_listing && self.lies.get(&listing).is_none_or(|lie| lie.claims)
    }

    /// Whether a listing left something out, and said that it is complete.
    pub(super) fn has_lied(&self) -> bool {
        self.lies.values().any(|lie| lie.claims && !lie.left_out.is_empty())
    }

    /// Whether a listing left this document out, and said that it is complete.
    pub(super) fn denied(&self, listing: u64, id: &str) -> bool {
        self.lies.get(&listing).is_some_and(|lie| lie.claims && lie.left_out.contains(id))
    }

    /// One change, of whatever kind chance picks. Says what it was.
    pub(super) fn change(&mut self, chance: &mut StdRng) -> String {
        let scopes: Vec<String> = self.logs.keys().cloned().collect();
        if scopes.is_empty() {
            return "nothing: no scope is left".to_owned();
        }
        let scope = scopes[chance.random_range(0..scopes.len())].clone();
        let ids: Vec<String> = self.items.keys().cloned().collect();
        let pick = |chance: &mut StdRng| ids.get(chance.random_range(0..ids.len().max(1))).cloned();
        match chance.random_range(0..100_u32) {
            0..30 => self.create(&scope, chance),
            30..50 => match pick(chance) {
                Some(id) => self.edit(&id),
                None => self.create(&scope, chance),
            },
            50..58 => match pick(chance) {
                Some(id) => self.share(&id),
                None => self.create(&scope, chance),
            },
            58..74 => match pick(chance) {
                Some(id) => self.delete(&id),
                None => self.create(&scope, chance),
            },
            74..82 => match pick(chance) {
                Some(id) => self.move_to(&id, &scope, chance),
                None => self.create(&scope, chance),
            },
            82..86 => self.come_back(&scope, chance),
            86..91 => self.make_folder(&scope),
            91..93 => self.delete_folder(chance),
            93..96 => match pick(chance) {
                Some(id) => self.spoil(&id),
                None => self.create(&scope, chance),
            },
            96 => self.spoil_folder(chance),
            97 if scopes.len() > 1 => self.remove_scope(&scope),
            _ => self.mend(),
        }
    }

    /// So many documents more.
    pub(super) fn fill(&mut self, documents: usize, chance: &mut StdRng) {
        let scopes: Vec<String> = self.logs.keys().cloned().collect();
        for _ in 0..documents {
            let scope = &scopes[chance.random_range(0..scopes.len())];
            self.create(scope, chance);
        }
    }

    /// Everything can be read again.
    pub(super) fn mend(&mut self) -> String {
        let bad: Vec<String> =
            self.items.iter().filter(|(_, item)| item.bad).map(|(id, _)| id.clone()).collect();
        for id in bad {
            self.items.get_mut(&id).expect("it was found there").bad = false;
            // A source says so: what becomes readable is a change.
            self.edit(&id);
        }
        self.bad_folders.clear();
        "everything can be read".to_owned()
    }

    fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    fn log(&mut self, scope: &str, at: i64, event: Event) {
        if let Some(log) = self.logs.get_mut(scope) {
            log.push((at, event));
        }
    }

    fn folder_of(&self, scope: &str, chance: &mut StdRng) -> String {
        let folders: Vec<&String> =
            self.folders.iter().filter(|(_, of)| *of == scope).map(|(id, _)| id).collect();
        if folders.is_empty() || chance.random_bool(0.4) {
            return String::new();
        }
        folders[chance.random_range(0..folders.len())].clone()
    }

    fn create(&mut self, scope: &str, chance: &mut StdRng) -> String {
        self.made += 1;
        let id = format!("d{:02}", self.made);
        self.put(&id, scope, chance);
        format!("{id} is made in {scope:?}")
    }

    /// A document of an id that was there before.
    fn come_back(&mut self, scope: &str, chance: &mut StdRng) -> String {
        let gone: Vec<String> =
            self.last_scope.keys().filter(|id| !self.items.contains_key(*id)).cloned().collect();
        if gone.is_empty() {
            return self.create(scope, chance);
        }
        let id = gone[chance.random_range(0..gone.len())].clone();
        self.put(&id, scope, chance);
        format!("{id} comes back in {scope:?}")
    }

    fn put(&mut self, id: &str, scope: &str, chance: &mut StdRng) {
        let at = self.next();
        let folder = self.folder_of(scope, chance);
        let heavy = chance.random_bool(0.06);
        let item = Item { scope: scope.to_owned(), version: at, acl: at, folder, bad: false, heavy };
        self.items.insert(id.to_owned(), item);
        self.last_scope.insert(id.to_owned(), scope.to_owned());
        self.log(scope, at, Event::Document(id.to_owned()));
    }

    fn edit(&mut self, id: &str) -> String {
        let at = self.next();
        let Some(item) = self.items.get_mut(id) else { return String::new() };
        item.version = at;
        let scope = item.scope.clone();
        self.log(&scope, at, Event::Document(id.to_owned()));
        format!("{id} is edited: {at}")
    }

    fn share(&mut self, id: &str) -> String {
        let at = self.next();
        let Some(item) = self.items.get_mut(id) else { return String::new() };
        item.acl = at;
        let scope = item.scope.clone();
        self.log(&scope, at, Event::Permissions(id.to_owned()));
        format!("{id} is shared: {at}")
    }

    fn leaves(&mut self, id: &str, at: i64) -> Option<Item> {
        let item = self.items.remove(id)?;
        self.left.entry((item.scope.clone(), id.to_owned())).or_default().push(at);
        Some(item)
    }

    fn delete(&mut self, id: &str) -> String {
        let at = self.next();
        let Some(item) = self.leaves(id, at) else { return String::new() };
        self.log(&item.scope, at, Event::Gone(id.to_owned()));
        format!("{id} is deleted: {at}")
    }

    fn move_to(&mut self, id: &str, scope: &str, chance: &mut StdRng) -> String {
        let folder = self.folder_of(scope, chance);
        let here = self.items.get(id).is_some_and(|item| item.scope == scope);
        let at = self.next();
        if here {
            let Some(item) = self.items.get_mut(id) else { return String::new() };
            (item.folder, item.version) = (folder, at);
            self.log(scope, at, Event::Document(id.to_owned()));
            return format!("{id} moves within {scope:?}: {at}");
        }
        let Some(item) = self.leaves(id, at) else { return String::new() };
        self.log(&item.scope, at, Event::Gone(id.to_owned()));
        let moved = Item { scope: scope.to_owned(), version: at, folder, ..item };
        self.items.insert(id.to_owned(), moved);
        self.last_scope.insert(id.to_owned(), scope.to_owned());
        self.log(scope, at, Event::Document(id.to_owned()));
        format!("{id} moves to {scope:?}: {at}")
    }

    fn make_folder(&mut self, scope: &str) -> String {
        self.made += 1;
        let id = format!("f{:02}", self.made);
        let at = self.next();
        self.folders.insert(id.clone(), scope.to_owned());
        self.log(scope, at, Event::Folder(id.clone()));
        format!("folder {id} is made in {scope:?}")
    }

    fn any_folder(&self, chance: &mut StdRng) -> Option<String> {
        let folders: Vec<&String> = self.folders.keys().collect();
        (!folders.is_empty()).then(|| folders[chance.random_range(0..folders.len())].clone())
    }

    fn delete_folder(&mut self, chance: &mut StdRng) -> String {
        let Some(folder) = self.any_folder(chance) else { return "no folder".to_owned() };
        let Some(scope) = self.folders.remove(&folder) else { return String::new() };
        let at = self.next();
        let held = self.items.iter().filter(|(_, item)| item.folder == folder);
        let held: Vec<String> = held.map(|(id, _)| id.clone()).collect();
        for id in &held {
            self.leaves(id, at);
        }
        let told = format!("folder {folder} is deleted with {held:?}: {at}");
        self.log(&scope, at, Event::FolderGone(folder, held));
        told
    }

    fn spoil(&mut self, id: &str) -> String {
        let told = self.edit(id);
        if let Some(item) = self.items.get_mut(id) {
            item.bad = true;
        }
        format!("{told} and cannot be read")
    }

    fn spoil_folder(&mut self, chance: &mut StdRng) -> String {
        let Some(folder) = self.any_folder(chance) else { return "no folder".to_owned() };
        let told = format!("folder {folder} cannot be read");
        self.bad_folders.insert(folder);
        told
    }

    fn remove_scope(&mut self, scope: &str) -> String {
        let at = self.next();
        let ids: Vec<String> =
            self.items.iter().filter(|(_, item)| item.scope == scope).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.leaves(id, at);
        }
        self.folders.retain(|_, of| of != scope);
        self.logs.remove(scope);
        format!("scope {scope:?} is gone with {ids:?}")
    }
}
