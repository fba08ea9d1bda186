//! Secrets as people give them: from a file, from standard input, or typed without being shown. Never on the command line,
//! where other users of the machine and the shell's history would see them.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::error::{Error, Result};
use crate::output::text::printable;

/// Whether somebody sits there who can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What a file holds, `-` being standard input; without the line break at its end.
///
/// # Errors
///
/// It cannot be read, or is no text.
pub fn read(path: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("cannot read {path:?}: {error}"));
    let reading = match path {
        "-" => io::stdin().lock().read_to_end(&mut bytes),
        path => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    reading.map_err(|error| failed(&error))?;
    let mut text = String::from_utf8(bytes).map_err(|_| failed(&"it is no text"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// Asks for a line, shown as it is typed.
///
/// # Errors
///
/// The terminal is gone.
pub fn ask(question: &str) -> Result<String> {
    prompt(question)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(line)
}

/// Asks for a line that is not shown as it is typed.
///
/// # Errors
///
/// The terminal is gone, or the person pressed Ctrl-C.
pub fn ask_secret(question: &str) -> Result<String> {
    prompt(question)?;
    let quiet = Quiet::begin()?;
    let typed = read_typed(&mut io::stdin().lock());
    drop(quiet);
    // The line break was not shown either.
    let _ = writeln!(io::stderr());
    typed
}

fn prompt(question: &str) -> Result<()> {
    let mut stderr = io::stderr();
    write!(stderr, "{}: ", printable(question))?;
    Ok(stderr.flush()?)
}

/// The terminal shows nothing and edits nothing until this is dropped. Keys that stop a program come as letters, so that the
/// terminal is never left as it is now.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Result<Self> {
        let before = tcgetattr(io::stdin().as_fd()).map_err(io::Error::from)?;
        let mut quiet = before.clone();
        quiet.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &quiet).map_err(io::Error::from)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Where the terminal is gone, nothing is left to be mended.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.0);
    }
}

fn read_typed(from: &mut impl io::Read) -> Result<String> {
    let mut typed = Vec::new();
    let mut key = [0];
    loop {
        match from.read(&mut key)? {
            0 => break,
            _ => match key[0] {
                b'\n' | b'\r' => break,
                // Ctrl-C, and Ctrl-D on nothing.
                3 => return Err(Error::Failed("nothing was done".to_owned())),
                4 if typed.is_empty() => break,
                // Backspace takes a whole letter, and Ctrl-U everything.
                8 | 127 => while typed.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {},
                21 => typed.clear(),
                byte => typed.push(byte),
            },
        }
    }
    String::from_utf8(typed).map_err(|_| Error::Failed("what was typed is no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_can_be_corrected() {
        let typed = |bytes: &[u8]| read_typed(&mut &*bytes).ok();
        assert_eq!(typed(b"secret\nrest").as_deref(), Some("secret"));
        assert_eq!(typed("caf\u{e9}\u{7f}e\r".as_bytes()).as_deref(), Some("cafe"));
        assert_eq!(typed(b"wrong\x15right\n").as_deref(), Some("right"));
        assert_eq!(typed(b"\x7f\x04").as_deref(), Some(""));
        assert_eq!(typed(b"sec\x03"), None);
    }
}
