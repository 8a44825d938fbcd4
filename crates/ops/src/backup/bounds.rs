//! How much is unpacked: a few bytes can be packed that are gigabytes when they are read.

use std::io::{self, BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};

use super::manifest::{File, Part};

/// Longer lines has no file that is read line by line: names of tables, numbers, a statement.
const LINE: u64 = 1024 * 1024;

/// Bytes of the packed parts before they were packed; rows have theirs in their directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unpacked {
    pub dump: u64,
    pub index: u64,
    pub cells: u64,
}

impl Unpacked {
    /// Of the part that the files are.
    pub fn of(&self, files: &[File]) -> u64 {
        match files.first().map(|file| file.part) {
            Some(Part::Dump) => self.dump,
            Some(Part::Index) => self.index,
            Some(Part::Cells) => self.cells,
            Some(Part::Rows) | None => u64::MAX,
        }
    }
}

/// Reads no more than so many bytes: the next one is an error.
pub(super) struct Bounded<R> {
    inner: R,
    bound: u64,
    left: u64,
}

impl<R: Read> Bounded<R> {
    pub fn new(inner: R, bound: u64) -> Self {
        Self {
            inner,
            bound,
            left: bound,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let problem = format!(
                "there is more in it than the {} bytes that were packed",
                self.bound
            );
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        Ok(read)
    }
}

/// The lines of a text, none of them without measure.
pub(super) fn lines<'a>(input: &'a mut dyn Read) -> impl Iterator<Item = io::Result<String>> + 'a {
    let mut input = BufReader::new(input);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match (&mut input).take(LINE).read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
        let invalid = |problem: &str| {
            Some(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                problem.to_owned(),
            )))
        };
        if line.pop_if(|last| *last == b'\n').is_none() && line.len() as u64 == LINE {
            return invalid("a line in it has no end");
        }
        match String::from_utf8(line) {
            Ok(line) => Some(Ok(line)),
            Err(_) => invalid("it is no text"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_was_packed_and_no_byte_more() {
        let read = |bound| io::read_to_string(Bounded::new(&b"four"[..], bound));
        assert_eq!(read(4).unwrap(), "four");
        assert_eq!(read(3).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn lines_come_as_they_are_and_one_without_an_end_is_none() {
        let read = |text: &[u8]| lines(&mut { text }).collect::<io::Result<Vec<_>>>();
        assert_eq!(read(b"a\n\nb").unwrap(), ["a", "", "b"]);
        assert!(read(b"").unwrap().is_empty());
        assert!(
            read(&vec![0; 2 << 20])
                .unwrap_err()
                .to_string()
                .contains("no end")
        );
        assert!(read(&[0xff]).is_err());
    }
}
