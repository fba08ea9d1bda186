//! The file that a connector's traffic is recorded in or replayed from.

use std::io;
use std::path::Path;

use crate::http::record::Recorder;
use crate::http::replay::Player;
use crate::traffic::Traffic;

/// The opened file.
#[derive(Debug)]
pub(super) enum Tape {
    None,
    Recorder(Recorder),
    Player(Player),
}

impl Tape {
    pub(super) fn open(traffic: &Traffic) -> io::Result<Self> {
        let about = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("the recording {}: {error}", path.display()))
        };
        match traffic {
            Traffic::Network => Ok(Self::None),
            Traffic::Record(path) => {
                Recorder::create(path).map(Self::Recorder).map_err(|error| about(path, error))
            }
            Traffic::Replay(path) => Player::open(path).map(Self::Player).map_err(|error| about(path, error)),
        }
    }
}
