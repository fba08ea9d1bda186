//! The worker process alone, for the tests of the pool. The product runs it as `connectord extract-worker`.

fn main() -> std::process::ExitCode {
    superfasttt_extract::worker::main()
}
