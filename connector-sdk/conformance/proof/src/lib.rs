//! What the conformance kit leaves in a connector's folder: which level was reached, by which manifest and program.
//! `connectorctl conformance --write` writes it, connectord reads it where its configuration asks for a level. It stands apart
//! from the kit, so that the server need not bring the kit along.

mod level;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::level::Level;

/// The name of the file in a connector's folder.
pub const PROOF_FILE: &str = "conformance-report.json";

/// A level that was reached, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Proof {
    /// The connector's id.
    pub connector: String,
    /// The level that was reached.
    pub level: Level,
    /// The revision of the contract that it was reached in.
    pub contract_revision: u32,
    /// What it was reached by.
    pub sha256: Fingerprint,
}

/// What a connector consists of, as SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fingerprint {
    /// Of the manifest's text.
    pub manifest: String,
    /// Of the files in the folder that its command names, one after another.
    pub program: String,
}

impl Proof {
    /// Reads that of a folder; `None`: it has none.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match std::fs::read_to_string(folder.join(PROOF_FILE)) {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it into a folder, in one step.
    ///
    /// # Errors
    ///
    /// The folder takes no files.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(format!("{PROOF_FILE}.new"));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&new, text)?;
        std::fs::rename(new, folder.join(PROOF_FILE))
    }
}

impl Fingerprint {
    /// That of a connector.
    ///
    /// # Errors
    ///
    /// A file of the program cannot be read.
    pub fn of(manifest: &str, folder: &Path, command: &[String]) -> io::Result<Self> {
        let mut program = Sha256::new();
        for file in program_files(folder, command) {
            // The length keeps two files apart from one that holds both.
            program.update(file.metadata()?.len().to_be_bytes());
            io::copy(&mut File::open(file)?, &mut Writer(&mut program))?;
        }
        Ok(Self {
            manifest: hexadecimal(&Sha256::digest(manifest)),
            program: hexadecimal(&program.finalize()),
        })
    }
}

/// The files in the folder that a command names: the program itself, a script, an archive. What lies outside, such as an
/// interpreter, belongs to the machine.
pub fn program_files(folder: &Path, command: &[String]) -> Vec<PathBuf> {
    let files = command.iter().map(|word| folder.join(word));
    files.filter(|file| file.starts_with(folder) && file.is_file()).collect()
}

/// Lets a file be copied into a hash, a part at a time.
struct Writer<'a>(&'a mut Sha256);

impl io::Write for Writer<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.update(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Proof::read(folder.path()).unwrap(), None);
        let sha256 = Fingerprint::of("{}", folder.path(), &[]).unwrap();
        let proof = Proof { connector: "notes".into(), level: Level::Syncs, contract_revision: 1, sha256 };
        proof.write(folder.path()).unwrap();
        assert_eq!(Proof::read(folder.path()).unwrap(), Some(proof));
        std::fs::write(folder.path().join(PROOF_FILE), "{").unwrap();
        assert!(Proof::read(folder.path()).is_err());
    }

    #[test]
    fn the_fingerprint_is_of_the_manifest_and_of_the_commands_files_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("connector.py"), "one").unwrap();
        let script = path.join("connector.py").to_string_lossy().into_owned();
        let of = |manifest: &str, command: &[&str]| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            Fingerprint::of(manifest, path, &command).unwrap()
        };
        let first = of("{}", &["/bin/sh", &script]);
        assert_eq!(first, of("{}", &["/bin/true", "connector.py"]), "what is outside does not count");
        assert_ne!(first.manifest, of("{ }", &["connector.py"]).manifest);
        std::fs::write(path.join("connector.py"), "two").unwrap();
        assert_ne!(first.program, of("{}", &["connector.py"]).program);
    }
}
