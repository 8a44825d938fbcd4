//! From a channel to a thread that reads.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Chunks of a channel as a stream of bytes.
pub(super) struct Received {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Received {
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
        }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.current.len());
        let chunk = self.current.split_to(taken);
        if let Some(room) = buffer.get_mut(..taken) {
            room.copy_from_slice(&chunk);
        }
        Ok(taken)
    }
}
