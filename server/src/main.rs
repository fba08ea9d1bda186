//! connectord: reads arguments and configuration, then serves.

use std::process::ExitCode;

use clap::Parser;
use connectord::config::{Args, Command, Config, ConfigCommand, DEFAULT_FILE, Environment, KeysCommand};
use connectord::keys;
use connectord::redact;
use connectord::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: a worker reads hostile input, and needs nothing of what follows.
    if std::env::args().nth(1).as_deref() == Some("extract-worker") {
        return superfasttt_extract::worker::main();
    }
    // Before threads: secrets leave the environment, where child processes and other readers would see them.
    let environment = Environment::take();
    let args = Args::parse();
    if args.command == Some(Command::Config(ConfigCommand::Default)) {
        return print(DEFAULT_FILE);
    }
    if args.command == Some(Command::Keys(KeysCommand::Generate)) {
        return print(&keys::generate());
    }
    let config = match Config::load(&args, &environment) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if args.command == Some(Command::Config(ConfigCommand::Check)) {
        return print("the configuration can be used\n");
    }
    // Before the log begins, and as long as there is one.
    redact::keep(&config.secrets()).for_good();
    redact::install_panic_hook();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let entered = runtime.enter();
    let traces = match telemetry::log::start(&config.log, &config.telemetry) {
        Ok(traces) => traces,
        Err(error) => return fail(&error),
    };
    drop(entered);
    if let Err(error) = connectord::process::set_non_dumpable() {
        tracing::warn!(%error, "other processes of this user may read this one's memory");
    }
    let result = runtime.block_on(async {
        match args.command {
            Some(Command::Keys(command)) => keys::run(&config, command).await,
            _ => run(config).await,
        }
    });
    if let Some(traces) = traces {
        traces.end();
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

/// Serves until a signal; a second one ends the process at once.
async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let told = shutdown.clone();
    tokio::spawn(async move {
        for begun in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if begun {
                std::process::exit(130);
            }
            told.cancel();
        }
    });
    connectord::serve::serve(config, shutdown).await
}

#[expect(clippy::print_stdout, reason = "what a person asked for goes to stdout")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "the log may not have begun")]
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("connectord: {}", redact::text(&error.to_string()));
    ExitCode::FAILURE
}
