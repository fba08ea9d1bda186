//! What a connector's folder says is to be started.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program (an absolute path) and its arguments, by the manifest's `runtime.command`. Where that is empty it is `connector`, or
/// `connector.py`, in the folder.
///
/// # Errors
/// Why there is nothing to start, and what to do.
pub fn command(folder: &Path, runtime_command: &[String]) -> Result<Vec<String>, String> {
    let Some((program, arguments)) = runtime_command.split_first() else { return conventional(folder) };
    let mut command = vec![text(&resolve(program, folder)?)];
    command.extend_from_slice(arguments);
    Ok(command)
}

fn conventional(folder: &Path) -> Result<Vec<String>, String> {
    let program = folder.join("connector");
    if is_executable(&program) {
        return Ok(vec![text(&program)]);
    }
    let script = folder.join("connector.py");
    if !script.is_file() {
        let missing = "the folder has no executable `connector` and no `connector.py`; build the one, or say in \
             `runtime.command` how to start it";
        return Err(missing.to_owned());
    }
    let python = on_path("python3").ok_or("connector.py needs python3, which is not on PATH; install it")?;
    Ok(vec![text(&python), text(&script)])
}

/// A program with a slash is relative to the folder; a bare name is looked for in the folder, then on PATH.
fn resolve(program: &str, folder: &Path) -> Result<PathBuf, String> {
    let in_folder = folder.join(program);
    if is_executable(&in_folder) {
        return Ok(in_folder);
    }
    if !program.contains('/') {
        return on_path(program).ok_or_else(|| {
            format!(
                "`runtime.command` names {program:?}, which is neither in the connector's folder nor on PATH; install \
                 or build it"
            )
        });
    }
    let problem = if in_folder.is_file() {
        "is not executable; run chmod +x on it"
    } else {
        "does not exist; build or install it"
    };
    Err(format!("{} {problem}", in_folder.display()))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
        }
        folder
    }

    fn told(files: &[(&str, u32)], runtime_command: &[&str]) -> Result<Vec<String>, String> {
        let folder = folder(files);
        let runtime_command: Vec<String> = runtime_command.iter().map(|&word| word.to_owned()).collect();
        let within = |told: String| told.replace(&text(folder.path()), "FOLDER");
        match command(folder.path(), &runtime_command) {
            Ok(command) => Ok(command.into_iter().map(within).collect()),
            Err(reason) => Err(within(reason)),
        }
    }

    #[test]
    fn a_program_is_found_in_the_folder_first_and_then_on_path() {
        assert_eq!(told(&[("sh", 0o755)], &["sh", "-x"]).unwrap(), ["FOLDER/sh", "-x"]);
        assert!(told(&[], &["sh"]).unwrap()[0].ends_with("/sh"));
        assert_eq!(told(&[("run", 0o755)], &["./run"]).unwrap(), ["FOLDER/./run"]);
    }

    #[test]
    fn without_a_command_it_is_the_program_and_then_the_script() {
        assert_eq!(
            told(&[("connector", 0o755), ("connector.py", 0o644)], &[]).unwrap(),
            ["FOLDER/connector"]
        );
        let script = told(&[("connector", 0o644), ("connector.py", 0o644)], &[]).unwrap();
        assert!(script[0].ends_with("/python3"), "{script:?}");
        assert_eq!(script[1], "FOLDER/connector.py");
    }

    #[test]
    fn what_cannot_be_started_says_why_and_what_to_do() {
        assert!(told(&[], &[]).unwrap_err().contains("`runtime.command`"));
        assert!(told(&[], &["no-such-program"]).unwrap_err().contains("nor on PATH"));
        assert_eq!(told(&[], &["./run"]).unwrap_err(), "FOLDER/./run does not exist; build or install it");
        let not_executable = told(&[("run", 0o644)], &["./run"]).unwrap_err();
        assert_eq!(not_executable, "FOLDER/./run is not executable; run chmod +x on it");
    }
}
