//! A connector against tonic alone, right in everything, or wrong in the one thing that it is told: what the kit is tried
//! on. `wrong-connector source` is the source that it reads, `wrong-connector serve FAULT` the connector.

mod connector;
mod fault;
mod http;
mod limiter;
mod listing;
mod pull;
mod serve;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["source"] => runtime.block_on(source::serve()),
        ["serve", fault] => match fault.parse() {
            Ok(fault) => runtime.block_on(serve::serve(fault)),
            Err(error) => Err(std::io::Error::other(format!("{fault}: {error}"))),
        },
        _ => Err(std::io::Error::other("say `source`, or `serve` and a fault")),
    };
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the program's last word")]
            {
                eprintln!("ERROR {error}");
            }
            ExitCode::FAILURE
        }
    }
}
