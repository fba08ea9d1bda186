//! What a panic says, without secrets: a message may quote what it tripped over.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use super::known;

/// Has panics of all threads told on stderr without the secrets that are known then.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(tell));
}

#[expect(clippy::print_stderr, reason = "the log itself may be what panicked")]
fn tell(info: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let trace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\nstack backtrace:\n{backtrace}"),
        _ => String::new(),
    };
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let text = format!("thread '{name}' {info}{trace}");
    match known::try_redact(text.as_bytes()) {
        Some(text) => eprintln!("{}", String::from_utf8_lossy(&text)),
        // It is this thread that holds what is known, or another one at this moment: where it was is no secret.
        None => eprintln!(
            "thread '{name}' panicked at {}; what it said is withheld",
            info.location().map_or_else(String::new, ToString::to_string)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Set for the process that panics: the hook is of a whole process, and tests share one.
    const PANICS: &str = "CONNECTORD_TEST_PANICS";

    #[test]
    fn a_panic_tells_where_and_no_secret() {
        if std::env::var_os(PANICS).is_some() {
            let _kept = crate::redact::keep("a-canary-that-panics");
            super::install_panic_hook();
            panic!("found {:?} where none should be", Some("a-canary-that-panics"));
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "redact::panics::tests::a_panic_tells_where_and_no_secret", "--nocapture"])
            .env(PANICS, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(told.contains(r#"found Some("[redacted]") where none should be"#), "{told}");
        assert!(told.contains("panics.rs"), "{told}");
        assert!(!told.contains("a-canary-that-panics"), "{told}");
    }
}
