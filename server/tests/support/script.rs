//! Scripts for the scripted connector, and what it was called with. `server/tests/scripted/src/script.rs` tells every
//! step.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::until_exists;

/// One thing that a pull does.
pub type Step = Value;

/// The script of one connection. It can be written on while the connector runs.
pub struct Script {
    folder: PathBuf,
    pulls: Mutex<Vec<Value>>,
    modes: Mutex<Map<String, Value>>,
    content: Mutex<Map<String, Value>>,
    normalize: Mutex<Value>,
    source: Mutex<Value>,
    checks: Mutex<Value>,
    resources: Mutex<Value>,
}

impl Script {
    /// An empty script in a folder of its own.
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let script = Self {
            folder,
            pulls: Mutex::default(),
            modes: Mutex::default(),
            content: Mutex::default(),
            normalize: Mutex::new(json!({})),
            source: Mutex::new(json!({})),
            checks: Mutex::new(json!([])),
            resources: Mutex::new(json!({})),
        };
        script.write();
        script
    }

    /// The connection's setting.
    pub fn path(&self) -> PathBuf {
        self.folder.join("script.json")
    }

    /// A file beside the script, for `wait_for_file` and `touch_file`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What the pulls from here on play, one after the other; then the last of them again.
    pub fn next_pulls(&self, pulls: impl IntoIterator<Item = Vec<Step>>) {
        let mut all = self.pulls.lock().unwrap();
        all.resize(self.pulls().len(), json!({"steps": []}));
        all.extend(pulls.into_iter().map(|steps| json!({"steps": steps})));
        drop(all);
        self.write();
    }

    /// What the pulls of one mode from here on play, whatever the others do.
    pub fn next_pulls_of<const N: usize>(&self, mode: &str, pulls: [Vec<Step>; N]) {
        let played = self.pulls().iter().filter(|pull| pull["mode"] == mode).count();
        let before = std::iter::repeat_n(json!({"steps": []}), played);
        let pulls = pulls.into_iter().map(|steps| json!({"steps": steps}));
        self.modes.lock().unwrap().insert(mode.to_owned(), before.chain(pulls).collect());
        self.write();
    }

    /// What is behind a `content_ref`.
    pub fn content(&self, reference: &str, content: Value) {
        self.content.lock().unwrap().insert(reference.to_owned(), content);
        self.write();
    }

    /// What Normalize does from here on.
    pub fn normalize(&self, normalize: Value) {
        *self.normalize.lock().unwrap() = normalize;
        self.write();
    }

    /// What the source says to a credential from here on: which secrets it refuses with which reason, and whose account
    /// each opens: `{"refuses": {..}, "accounts": {..}}`.
    pub fn source(&self, source: Value) {
        *self.source.lock().unwrap() = source;
        self.write();
    }

    /// The checks of TestConnection from here on, and the resources of Discover by their parent.
    pub fn answers(&self, checks: Value, resources: Value) {
        *self.checks.lock().unwrap() = checks;
        *self.resources.lock().unwrap() = resources;
        self.write();
    }

    /// A text behind a `content_ref`.
    pub fn text(&self, reference: &str, text: &str) {
        self.content(reference, json!({"text": text, "media_type": "text/plain"}));
    }

    /// Lets a step `wait_for_file` go on.
    pub fn release(&self, file: &str) {
        fs::write(self.file(file), "").unwrap();
    }

    /// Waits for a step `touch_file`.
    pub async fn reached(&self, file: &str) {
        until_exists(&self.file(file)).await;
    }

    /// The step that says where the pull is.
    pub fn touch(&self, file: &str) -> Step {
        json!({"touch_file": self.file(file)})
    }

    /// The step that waits for [`Self::release`].
    pub fn wait(&self, file: &str) -> Step {
        json!({"wait_for_file": self.file(file)})
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Value> {
        let calls = fs::read_to_string(self.folder.join("script.json.calls")).unwrap_or_default();
        calls.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The pulls so far.
    pub fn pulls(&self) -> Vec<Value> {
        self.calls().into_iter().filter(|call| call["rpc"] == "pull").collect()
    }

    /// The last pull: its mode, and the cursor of the scope "" or "none".
    pub fn last_pull(&self) -> (String, String) {
        let pull = self.pulls().pop().expect("there was a pull");
        let cursor = pull["states"].as_array().unwrap().iter().find(|state| state["scope"] == "");
        let cursor = cursor.map_or("none", |state| state["cursor"].as_str().unwrap());
        (pull["mode"].as_str().unwrap().to_owned(), cursor.to_owned())
    }

    /// The process that was called last.
    pub fn pid(&self) -> i32 {
        let call = self.calls().pop().expect("there was a call");
        i32::try_from(call["pid"].as_i64().unwrap()).unwrap()
    }

    fn write(&self) {
        let pulls = self.pulls.lock().unwrap();
        let script = json!({
            "pulls": *pulls,
            "modes": *self.modes.lock().unwrap(),
            "content": *self.content.lock().unwrap(),
            "normalize": *self.normalize.lock().unwrap(),
            "source": *self.source.lock().unwrap(),
            "checks": *self.checks.lock().unwrap(),
            "resources": *self.resources.lock().unwrap(),
        });
        // The connector reads at every call: it must never see half of a file.
        let draft = self.folder.join("draft");
        fs::write(&draft, script.to_string()).unwrap();
        fs::rename(&draft, self.path()).unwrap();
    }
}

/// A document with its text in the envelope, both telling the version.
pub fn doc(id: &str, version: &str) -> Step {
    json!({"document": {
        "id": id, "title": format!("{id} {version}"), "content": format!("text of {id} {version}"), "version": version,
    }})
}

/// A document is there at this version; nothing else is said of it.
pub fn present(id: &str, version: &str) -> Step {
    json!({"present": {"id": id, "version": version}})
}

/// A raw item of which Normalize makes the same as [`doc`].
pub fn raw(id: &str, version: &str) -> Step {
    let mut document = doc(id, version)["document"].clone();
    let fields = document.as_object_mut().unwrap();
    fields.retain(|name, _| name != "id" && name != "version");
    json!({"raw": {"id": id, "version": version, "schema": "document/1", "data": document}})
}

/// A document whose text is behind the `content_ref` of its own id.
pub fn content_doc(id: &str, version: &str) -> Step {
    json!({"document": {"id": id, "title": id, "content_ref": id, "version": version}})
}

/// A step in a scope other than "".
pub fn in_scope(scope: &str, mut step: Step) -> Step {
    step["scope"] = json!(scope);
    step
}

/// A document is gone.
pub fn deletion(id: &str) -> Step {
    json!({"deletion": {"id": id}})
}

/// A document could not be read.
pub fn item_error(id: &str) -> Step {
    json!({"item_error": {"id": id, "reason": "ACCESS_DENIED", "message": format!("{id} is locked")}})
}

/// Something could not be read, and nobody knows what.
pub fn unnamed_error() -> Step {
    json!({"item_error": {"reason": "INTERNAL", "message": "something is broken"}})
}

/// The scope is caught up.
pub fn checkpoint(cursor: &str) -> Step {
    json!({"checkpoint": {"cursor": cursor}})
}

/// Everything so far is covered, and there is more.
pub fn more(cursor: &str) -> Step {
    json!({"checkpoint": {"cursor": cursor, "has_more": true}})
}

/// The listing is complete.
pub fn complete(cursor: &str) -> Step {
    json!({"checkpoint": {"cursor": cursor, "listing_complete": true}})
}

/// The pull fails.
pub fn fail(reason: &str) -> Step {
    json!({"fail": {"reason": reason, "message": format!("the source says {reason}")}})
}
