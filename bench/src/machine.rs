//! What the figures were measured on.

use std::fs;

use serde::Serialize;

/// A machine, as far as it matters.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub processors: usize,
    /// What they call themselves.
    pub processor_model: String,
    /// Memory in all.
    pub memory_bytes: u64,
    /// The system's name and version.
    pub kernel: String,
    /// How many processes were ready to run when the benchmark began, over the last minute: other work makes figures
    /// vary.
    pub load_average: f64,
}

impl Machine {
    /// This one. What it does not tell is left empty.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let load = read("/proc/loadavg");
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processor_model: value(&read("/proc/cpuinfo"), "model name"),
            memory_bytes: memory_kib * 1024,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            load_average: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// Where a program of PATH is.
pub fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}
