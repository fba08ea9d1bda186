//! What an administrator asks of connectors before they are started: that the conformance kit has proved them, as they
//! are now. It keeps what was not tried from being used, and is no defence against who may write into the folders.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use superfasttt_conformance_proof::{Fingerprint, Level, PROOF_FILE, Proof, program_files};
use superfasttt_proto::CONTRACT_REVISION;

use super::entry::Runnable;
use super::manifest::Manifest;

/// Compares connectors with their proofs.
#[derive(Debug)]
pub(super) struct Proofs {
    required: Option<Level>,
    /// Programs are large, and a scan comes often: what was read is kept until a file changes.
    read: Mutex<HashMap<PathBuf, (Stamps, Fingerprint)>>,
}

/// The manifest's text; device, inode, size and time of change of each file of the program.
type Stamps = (String, Vec<(u64, u64, u64, i64, i64)>);

impl Proofs {
    pub(super) fn new(required: Option<Level>) -> Self {
        Self { required, read: Mutex::default() }
    }

    /// What is started, unless it is not proved.
    pub(super) fn admit(&self, manifest: &Manifest, folder: &Path, runnable: Runnable) -> Runnable {
        let Some(required) = self.required else { return runnable };
        let refused = match &runnable {
            Runnable::Command(command) => self.lacks(required, manifest, folder, command),
            Runnable::Endpoint(_) => {
                Some("it runs elsewhere, where it may be replaced at any time".to_owned())
            }
            Runnable::NotRunnable(_) => None,
        };
        match refused {
            None => runnable,
            Some(reason) => Runnable::NotRunnable(format!(
                "connectors.required_conformance asks for the level {required}, and {reason}"
            )),
        }
    }

    /// What is missing, and what to do.
    fn lacks(
        &self,
        required: Level,
        manifest: &Manifest,
        folder: &Path,
        command: &[String],
    ) -> Option<String> {
        let prove = format!("run `connectorctl conformance {} --write`", folder.display());
        let proof = match Proof::read(folder) {
            Ok(Some(proof)) => proof,
            Ok(None) => return Some(format!("its folder has no {PROOF_FILE}; {prove}")),
            Err(error) => return Some(format!("its {PROOF_FILE} cannot be read ({error}); {prove}")),
        };
        if proof.level < required {
            return Some(format!("it is proved to reach only {}; mend it, and {prove}", proof.level));
        }
        if proof.contract_revision < CONTRACT_REVISION {
            let revision = proof.contract_revision;
            return Some(format!("it was proved in revision {revision} of the contract; {prove}"));
        }
        match self.fingerprint(manifest, folder, command) {
            Ok(now) if now == proof.sha256 => None,
            Ok(_) => Some(format!("its manifest or program was changed since it was proved; {prove}")),
            Err(error) => Some(format!("its program cannot be read: {error}")),
        }
    }

    fn fingerprint(&self, manifest: &Manifest, folder: &Path, command: &[String]) -> io::Result<Fingerprint> {
        let mut files = Vec::new();
        for file in program_files(folder, command) {
            let file = file.metadata()?;
            files.push((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        }
        let stamps = (manifest.raw.clone(), files);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, fingerprint)) = read.get(folder)
            && *known == stamps
        {
            return Ok(fingerprint.clone());
        }
        let fingerprint = Fingerprint::of(&manifest.raw, folder, command)?;
        read.insert(folder.to_owned(), (stamps, fingerprint.clone()));
        Ok(fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::catalog::Catalog;

    const MANIFEST: &str = r#"{"id": "notes", "auth": {"type": "none"}, "sync": {"mode": "full"}}"#;

    struct Installed {
        root: tempfile::TempDir,
        catalog: std::sync::Arc<Catalog>,
    }

    impl Installed {
        fn requiring(required: Level) -> Self {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("notes");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("manifest.json"), MANIFEST).unwrap();
            std::fs::write(folder.join("connector"), "#!/bin/sh\n").unwrap();
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(folder.join("connector"), executable).unwrap();
            let catalog = Catalog::load_with(root.path(), Vec::new(), Some(required)).unwrap();
            Self { root, catalog }
        }

        fn folder(&self) -> PathBuf {
            self.root.path().join("notes")
        }

        fn prove(&self, level: Level, contract_revision: u32) {
            let command = [self.folder().join("connector").to_string_lossy().into_owned()];
            let sha256 = Fingerprint::of(MANIFEST, &self.folder(), &command).unwrap();
            let proof = Proof { connector: "notes".into(), level, contract_revision, sha256 };
            proof.write(&self.folder()).unwrap();
        }

        /// Why it is not runnable after a scan; empty: it is.
        fn refusal(&self) -> String {
            self.catalog.rescan().unwrap();
            match &self.catalog.get("notes").unwrap().runnable {
                Runnable::NotRunnable(reason) => reason.clone(),
                _ => String::new(),
            }
        }
    }

    #[test]
    fn a_connector_is_started_only_with_a_proof_of_what_it_is_now() {
        let installed = Installed::requiring(Level::Syncs);
        let refusal = installed.refusal();
        assert!(
            refusal.contains("has no conformance-report.json; run `connectorctl conformance"),
            "{refusal}"
        );
        installed.prove(Level::Serves, CONTRACT_REVISION);
        assert!(installed.refusal().contains("proved to reach only serves"), "{}", installed.refusal());
        installed.prove(Level::Syncs, CONTRACT_REVISION - 1);
        assert!(installed.refusal().contains("in revision 0"), "{}", installed.refusal());
        installed.prove(Level::Survives, CONTRACT_REVISION);
        assert_eq!(installed.refusal(), "");

        std::fs::write(installed.folder().join("connector"), "#!/bin/sh\nexit 1\n").unwrap();
        assert!(installed.refusal().contains("changed since it was proved"), "{}", installed.refusal());
        installed.prove(Level::Survives, CONTRACT_REVISION);
        assert_eq!(installed.refusal(), "");
        let other = MANIFEST.replace("full", "incremental");
        std::fs::write(installed.folder().join("manifest.json"), other).unwrap();
        assert!(installed.refusal().contains("changed since it was proved"), "{}", installed.refusal());
        std::fs::write(installed.folder().join(PROOF_FILE), "{").unwrap();
        assert!(installed.refusal().contains("cannot be read"), "{}", installed.refusal());
    }
}
