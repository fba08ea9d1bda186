//! The sources: a ledger for each connection, and what is in it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

/// The documents of a source: id and text.
pub type Documents = BTreeMap<String, String>;

/// A source.
pub struct Ledger {
    path: PathBuf,
    file: File,
    documents: Documents,
    lines: usize,
}

impl Ledger {
    /// One with a few documents.
    pub fn new(folder: &Path, number: usize) -> Self {
        let path = folder.join(format!("ledger-{number}"));
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut ledger = Self { path, file, documents: Documents::new(), lines: 0 };
        for document in 0..8 {
            ledger.put(format!("d{document}"));
        }
        ledger
    }

    /// Puts this many documents of about this size in.
    pub fn grow(&mut self, documents: usize, size_bytes: usize) {
        for number in 0..documents {
            let id = format!("large-{number:05}");
            let text = format!("text {} of {id} {}", self.lines, "x".repeat(size_bytes));
            self.write(&format!("put {id} {text}"));
            self.documents.insert(id, text);
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it now.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Something comes, changes or goes.
    pub fn change(&mut self, random: &mut StdRng) {
        let known = random.random_range(0..self.documents.len() + 1);
        let known = self.documents.keys().nth(known).cloned();
        match known {
            Some(id) if random.random_bool(0.3) => {
                self.documents.remove(&id);
                self.write(&format!("delete {id}"));
            }
            Some(id) => self.put(id),
            None => self.put(format!("d{}", random.random_range(0..30))),
        }
    }

    fn put(&mut self, id: String) {
        let text = format!("text {} of {id}", self.lines);
        self.write(&format!("put {id} {text}"));
        self.documents.insert(id, text);
    }

    fn write(&mut self, line: &str) {
        self.lines += 1;
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
