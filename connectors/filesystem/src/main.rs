//! The program that connectord starts.

use connector_filesystem::Filesystem;

fn main() -> std::process::ExitCode {
    superfasttt_connector::serve(Filesystem)
}
