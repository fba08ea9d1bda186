//! The benchmark's second program. Started by connectord it is the connector; with arguments it is the server of a
//! bare stream.

use std::process::ExitCode;

use superfasttt_bench::bare_stream;
use superfasttt_bench::source::Source;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let served = match arguments.as_slice() {
        [] => return superfasttt_connector::serve(Source::new()),
        ["bare", socket] => bare_stream::serve_made(socket.as_ref()),
        ["bare-pull", socket, documents] => bare_stream::serve_pull(socket.as_ref(), documents),
        ["bare-feed", address] => bare_stream::serve_feed(address),
        _ => Err(anyhow::anyhow!(
            "usage: bench-source [bare SOCKET | bare-pull SOCKET DOCUMENTS | bare-feed ADDRESS]"
        )),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last word, to whoever started it")]
            {
                eprintln!("bench-source: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
