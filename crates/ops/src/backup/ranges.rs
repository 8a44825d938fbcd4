//! Parts of stored files, read alone: the files of one part of a backup as one, that can be read from anywhere.

use std::io::{self, Read, Seek, SeekFrom};

use tokio::runtime::Handle;

use super::Store;
use super::manifest::{File, Name};

/// Reads what is asked for and nothing more, a request each. For threads that may block.
pub(super) struct Ranges {
    store: Store,
    name: Name,
    files: Vec<File>,
    at: u64,
    runtime: Handle,
}

impl Ranges {
    /// On the current runtime.
    pub fn new(store: &Store, name: &Name, files: Vec<File>) -> Self {
        Self {
            store: store.clone(),
            name: name.clone(),
            files,
            at: 0,
            runtime: Handle::current(),
        }
    }

    /// The file that has the byte that is next, and which one of it that is.
    fn place(&self) -> Option<(&File, u64)> {
        let mut begins = 0;
        self.files.iter().find_map(|file| {
            let at = self.at.checked_sub(begins)?;
            begins += file.size;
            (at < file.size).then_some((file, at))
        })
    }
}

impl Read for Ranges {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((file, at)) = self.place() else {
            return Ok(0);
        };
        let end = file.size.min(at + buffer.len() as u64);
        let bytes = self
            .runtime
            .block_on(self.store.range(&self.name, &file.name, at..end))
            .map_err(|error| match error {
                super::BackupError::Damaged { problem, .. } => {
                    io::Error::new(io::ErrorKind::InvalidData, problem)
                }
                error => io::Error::other(error.to_string()),
            })?;
        let room = buffer
            .get_mut(..bytes.len())
            .ok_or_else(|| io::Error::other("the store has sent more than was asked for"))?;
        room.copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for Ranges {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size: u64 = self.files.iter().map(|file| file.size).sum();
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
