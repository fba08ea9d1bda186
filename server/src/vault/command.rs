//! Keys that a command prints: it asks a key management service, or an agent that does.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::source::SourceError;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that it may print: more keys than a ring may hold.
const MAX_BYTES: u64 = 64 * 1024;
/// How much of what it says on stderr is told.
const MAX_TOLD: usize = 500;
/// Letters of base64 in a row that may be a key, or most of one.
const LETTERS_OF_A_KEY: usize = 32;

/// What the command prints.
pub(super) async fn output(command: &[String]) -> Result<Zeroizing<String>, SourceError> {
    output_within(command, PATIENCE).await
}

async fn output_within(command: &[String], patience: Duration) -> Result<Zeroizing<String>, SourceError> {
    let name = command.first().cloned().unwrap_or_default();
    let told = |what: String| SourceError::Command { command: name.clone(), what };
    let (program, arguments) = command.split_first().ok_or_else(|| told("is empty".to_owned()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| told(format!("could not be started: {error}")))?;
    // With what it has started itself, which else would hold the pipes open.
    let _group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(patience, async {
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        Ok::<_, std::io::Error>((stdout, stderr, child.wait().await?))
    });
    let (stdout, stderr, status) = ended
        .await
        .map_err(|_| told(format!("did not end within {} seconds", patience.as_secs_f32())))?
        .map_err(|error| told(format!("cannot be read: {error}")))?;
    if stdout.len() as u64 > MAX_BYTES {
        return Err(told(format!("printed more than {MAX_BYTES} bytes")));
    }
    if !status.success() {
        return Err(told(format!(
            "ended with {status}: {}",
            without_keys(&String::from_utf8_lossy(&stderr))
        )));
    }
    let text = std::str::from_utf8(&stdout).map_err(|_| told("printed what is no text".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it, so that no part is left behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    if let Some(pipe) = pipe {
        pipe.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The end of what was said, without what may be a key: a shell that traces its commands prints them.
fn without_keys(said: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "+/=-_".contains(letter);
    let mut told = String::new();
    let mut rest = said.trim();
    while !rest.is_empty() {
        let word = rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len());
        told.push_str(if word >= LETTERS_OF_A_KEY { "…" } else { &rest[..word] });
        rest = &rest[word..];
        let between = rest.find(is_letter).unwrap_or(rest.len());
        told.push_str(&rest[..between]);
        rest = &rest[between..];
    }
    let skip = told.chars().count().saturating_sub(MAX_TOLD);
    told.chars().skip(skip).collect()
}

/// The command's processes. They end with it, also when nobody waits any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // Nobody is left in it where the command has ended in order.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).into()
    }

    async fn refusal(command: &[String]) -> String {
        output_within(command, Duration::from_secs(5)).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_a_command_prints_is_taken() {
        assert_eq!(output(&sh("echo one; echo two")).await.unwrap().as_str(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_without_what_may_be_a_key() {
        let key = super::super::Key::generate();
        let said =
            refusal(&sh(&format!("echo no access for key {}, >&2; exit 3", key.to_base64().as_str()))).await;
        assert!(said.contains("\"sh\" ended with exit status: 3: no access for key …,"), "{said}");
        assert!(refusal(&["/no/such/program".to_owned()]).await.contains("could not be started"));
        assert!(refusal(&sh("printf '\\377'")).await.contains("no text"));
        assert!(refusal(&sh("exec yes")).await.contains("more than 65536 bytes"));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let hung = output_within(&sh(&script), Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(hung.contains("did not end within 1 seconds"), "{hung}");
        let pid: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        // What nobody waits for any more is gone, or a zombie of somebody else's.
        let alive =
            || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
        while alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
