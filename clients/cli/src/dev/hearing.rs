//! What the connector writes, passed on to stderr as it comes, in whole lines.

use std::io::{self, Write as _};

use superfasttt_conformance::Stream;
use tokio::sync::mpsc;

use crate::output::note;
use crate::output::text::printable_lines;

/// A line without end is shown in parts of this size.
const LONGEST_LINE: usize = 64 * 1024;

/// Shows what comes until the connector has ended. On stdout it may say nothing; that is told once.
pub async fn hear(mut written: mpsc::Receiver<(Stream, Vec<u8>)>) {
    let mut told = false;
    let mut lines = [Lines::default(), Lines::default()];
    while let Some((stream, bytes)) = written.recv().await {
        if stream == Stream::Stdout && !told {
            told = true;
            note(
                "warning: the connector writes on stdout, where the contract wants nothing; logs belong on stderr",
            );
        }
        show(&lines[usize::from(stream == Stream::Stdout)].take(&bytes));
    }
    for rest in lines {
        if !rest.0.is_empty() {
            show(&[rest.0, b"\n".to_vec()].concat());
        }
    }
}

fn show(whole_lines: &[u8]) {
    // Where stderr is gone, nobody is left to be told.
    let _ = io::stderr().write_all(printable_lines(&String::from_utf8_lossy(whole_lines)).as_bytes());
}

/// The beginning of a line whose end has not come.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that are whole now.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(bytes);
        let end = self.0.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = if self.0.len() - end > LONGEST_LINE { self.0.len() } else { end };
        self.0.drain(..end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"INFO a"), b"");
        assert_eq!(lines.take(b"b\nINFO c\nIN"), b"INFO ab\nINFO c\n");
        assert_eq!(lines.0, b"IN");
        assert_eq!(lines.take(&[b'x'; LONGEST_LINE]).len(), LONGEST_LINE + 2);
    }
}
