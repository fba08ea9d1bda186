//! The worker process: answers extraction requests on its standard input and output, inside limits that it puts on itself
//! before it has seen a byte of any document.
//!
//! It lives as long as its standard input is open. A thread of its own waits there, so the process also ends at once,
//! in the middle of a document, when the server is killed; a parent-death signal would not do, because Linux sends it when
//! the *thread* that started the process ends, and the server's threads come and go.

pub(crate) mod frame;
mod limits;

use std::ffi::OsStr;
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

use frame::{Reply, Request, Setup};

use crate::extract;

/// Runs the worker until its standard input ends. The server calls this, and nothing else, when it is started as
/// `connectord extract-worker`.
#[must_use]
pub fn main() -> ExitCode {
    // A panic's own message may quote the document; where it happened is enough.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            report(&format!("a reader panicked at {place}"));
        }
    }));
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("the worker ends: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<()> {
    let mut input = BufReader::new(std::io::stdin());
    let Some((setup, _)) = frame::read::<Setup>(&mut input, |_| 0)? else { return Ok(()) };
    limits::apply(&setup)?;
    answer(&Reply::Ready, "")?;

    let (requests, waiting) = sync_channel(1);
    std::thread::Builder::new().name("answer".to_owned()).spawn(move || answer_all(&waiting))?;
    while let Some(request) = frame::read::<Request>(&mut input, |request| request.path_bytes)? {
        if requests.send(request).is_err() {
            break;
        }
    }
    // Also while a document is being read: nobody waits for its text any more.
    std::process::exit(0);
}

fn answer_all(waiting: &Receiver<(Request, Vec<u8>)>) {
    for (request, path) in waiting {
        let path = Path::new(OsStr::from_bytes(&path));
        let answered = match extract(path, &request.hints, &request.limits) {
            Ok(extracted) => answer(
                &Reply::Text {
                    text_bytes: extracted.text.len(),
                    truncated: extracted.truncated,
                    media_type: extracted.media_type,
                    extractor: extracted.extractor.to_owned(),
                },
                &extracted.text,
            ),
            Err(error) => answer(&Reply::Failed { error }, ""),
        };
        if answered.is_err() {
            // The server closed our output: there is nobody to answer.
            std::process::exit(0);
        }
    }
}

fn answer(reply: &Reply, text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(&frame::header(reply)?)?;
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Says a line on standard error, which the server keeps in its debug log. Never text of a document.
fn report(line: &str) {
    // With nobody listening there is nothing left to do about it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reads exactly `length` bytes.
fn read_exactly(input: &mut impl Read, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
