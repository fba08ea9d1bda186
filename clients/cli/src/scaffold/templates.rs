//! The files of each language, as they stand under `templates/`: there they are connectors that run.

/// A file of a template.
pub struct File {
    /// Where in the folder it goes.
    pub path: &'static str,
    /// What it holds, with what is to be replaced.
    pub text: &'static str,
}

macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(File { path: $path, text: include_str!(concat!("../../templates/", $folder, "/", $path)) }),+]
    };
}

/// What is the same in every language.
pub const SHARED: &[File] = files!("shared":
    "conformance.json",
    "schemas/item/1.json",
    "testdata/items.jsonl",
    "testdata/items-changed.jsonl",
    "testdata/others.jsonl",
);

/// Rust.
pub const RUST: &[File] = files!("rust":
    ".gitignore", "Cargo.toml", "README.md", "manifest.json", "src/main.rs", "src/tests.rs",
);

/// Python.
pub const PYTHON: &[File] = files!("python":
    ".gitignore", "README.md", "connector.py", "manifest.json", "pyproject.toml", "test_connector.py",
);

/// TypeScript.
pub const TYPESCRIPT: &[File] = files!("typescript":
    ".gitignore", "README.md", "manifest.json", "package.json", "src/connector.ts", "src/main.ts",
    "test/connector.test.ts", "tsconfig.json",
);

/// Go.
pub const GO: &[File] = files!("go":
    ".gitignore", "README.md", "go.mod", "go.sum", "main.go", "main_test.go", "manifest.json",
);
