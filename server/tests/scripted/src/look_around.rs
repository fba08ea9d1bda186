//! What a hostile connector tries: to read what is not its own, to write there, to end other processes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::script::LookAround;

/// More of a file is not needed to see that it is open.
const ENOUGH_BYTES: u64 = 256 * 1024;

/// Tries all of it, and writes down what came of each.
pub fn look_around(wanted: &LookAround) -> anyhow::Result<()> {
    let shown = |path: &Path| path.display().to_string();
    let at: BTreeMap<_, _> = wanted.at.iter().map(|path| (shown(path), told(read(path)))).collect();
    let written = |path: &Path| File::options().append(true).open(path).map(|_| json!("open"));
    let write: BTreeMap<_, _> = wanted.write.iter().map(|path| (shown(path), told(written(path)))).collect();
    // No signal is sent: the kernel says only whether it could be.
    let ended = |pid: i32| kill(Pid::from_raw(pid), None).map(|()| json!("open")).map_err(io::Error::from);
    let end: BTreeMap<_, _> = wanted.end.iter().map(|pid| (pid.to_string(), told(ended(*pid)))).collect();
    let environment: BTreeMap<_, _> = std::env::vars().collect();
    let found = json!({
        "at": at,
        "write": write,
        "end": end,
        "environment": environment,
        "status": fs::read_to_string("/proc/self/status")?,
    });
    let draft = wanted.into.with_extension("draft");
    fs::write(&draft, found.to_string()).with_context(|| format!("writing {}", draft.display()))?;
    Ok(fs::rename(draft, &wanted.into)?)
}

fn read(path: &Path) -> io::Result<Value> {
    if path.is_dir() {
        let names = fs::read_dir(path)?.map(|item| Ok(item?.file_name().to_string_lossy().into_owned()));
        return Ok(json!(names.collect::<io::Result<Vec<String>>>()?));
    }
    // The memory of a process begins at an address where nothing is: it counts that it can be opened.
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let read = file.by_ref().take(ENOUGH_BYTES).read_to_end(&mut bytes);
    match read {
        Ok(_) => Ok(json!(String::from_utf8_lossy(&bytes))),
        Err(_) => Ok(json!("open")),
    }
}

fn told(tried: io::Result<Value>) -> Value {
    match tried {
        Ok(found) => json!({"found": found}),
        Err(error) => json!({"refused": error.kind().to_string()}),
    }
}
