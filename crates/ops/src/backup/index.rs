//! Where the chunks are, as a file: a line for each, `statement<TAB>offset<TAB>length<TAB>directory<TAB>rows<TAB>sha256<TAB>table`.
//!
//! Offsets are in the rows files one behind the other, decrypted. The statement is for people, who can put a chunk back with it.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::BackupError;
use super::bounds::lines;
use super::cells::{escape, unescape};
use super::chunk::Packed;
use super::manifest::Manifest;
use super::shape::{Table, copy_in};

/// A chunk, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// As in the manifest.
    pub table: String,
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Bytes of its directory.
    pub directory: u64,
    pub rows: u64,
    /// Of the directory, in hex.
    pub sha256: String,
}

/// Where those who read tables write their chunks to, one behind the other.
pub(super) struct Chunks {
    bytes: mpsc::Sender<Bytes>,
    written: Mutex<(u64, Vec<(usize, Chunk)>)>,
}

impl Chunks {
    /// What is written comes out of the receiver.
    pub fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (bytes, receiver) = mpsc::channel(1);
        let written = Mutex::default();
        (Self { bytes, written }, receiver)
    }

    /// Writes a chunk; `number` is that of the table in the list that the index is made with.
    pub async fn write(&self, number: usize, table: &str, packed: Packed) -> Result<(), BackupError> {
        let mut written = self.written.lock().await;
        let offset = written.0;
        for bytes in packed.bytes {
            written.0 += bytes.len() as u64;
            self.bytes
                .send(bytes)
                .await
                .map_err(|_closed| BackupError::Failed("the rows could not be stored".to_owned()))?;
        }
        let length = written.0 - offset;
        let chunk = Chunk {
            table: table.to_owned(),
            offset,
            length,
            directory: packed.directory,
            rows: packed.rows,
            sha256: packed.sha256,
        };
        written.1.push((number, chunk));
        Ok(())
    }

    /// The index. The receiver ends.
    pub fn into_index(self, tables: &[Table]) -> Cursor<Vec<u8>> {
        let mut text = String::new();
        for (number, chunk) in self.written.into_inner().1 {
            let statement = tables
                .get(number)
                .map(|table| copy_in(&table.name, &table.shape))
                .unwrap_or_default();
            text.push_str(&format!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
                escape(&statement),
                chunk.offset,
                chunk.length,
                chunk.directory,
                chunk.rows,
                chunk.sha256,
                escape(&chunk.table),
            ));
        }
        Cursor::new(text.into_bytes())
    }
}

/// Reads it back.
pub(super) fn read(input: &mut dyn Read) -> io::Result<Vec<Chunk>> {
    lines(input)
        .map(|line| {
            let line = line?;
            parse(&line).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the index has a line {line:?}"),
                )
            })
        })
        .collect()
}

fn parse(line: &str) -> Option<Chunk> {
    let mut parts = line.split('\t').skip(1);
    let mut number = || parts.next()?.parse().ok();
    let (offset, length, directory, rows) = (number()?, number()?, number()?, number()?);
    let chunk = Chunk {
        offset,
        length,
        directory,
        rows,
        sha256: parts.next()?.to_owned(),
        table: unescape(parts.next()?),
    };
    (parts.next().is_none() && directory <= length).then_some(chunk)
}

/// Every row of every table has to be in one chunk, and the chunks have to follow each other.
pub(super) fn agrees(manifest: &Manifest, chunks: &[Chunk]) -> Result<(), BackupError> {
    let mut rows: BTreeMap<&str, u64> = manifest
        .tables
        .iter()
        .map(|table| (table.name.as_str(), 0))
        .collect();
    let mut at = 0;
    let all_listed = chunks.iter().all(|chunk| {
        let follows = chunk.offset == at;
        at += chunk.length;
        let listed = rows.get_mut(chunk.table.as_str());
        follows && listed.map(|rows| *rows += chunk.rows).is_some()
    });
    let counted = manifest
        .tables
        .iter()
        .all(|table| rows.get(table.name.as_str()) == Some(&table.rows));
    if all_listed && counted {
        return Ok(());
    }
    Err(BackupError::damaged(
        &manifest.backup,
        "the index of rows is not that of the tables in the manifest",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was_and_half_of_one_is_none() {
        let line = "COPY public.\"a\\tb\" (id) FROM STDIN\t17\t400\t90\t3\tabcd\tpublic.\"a\\tb\"";
        let chunk = parse(line).unwrap();
        assert_eq!(
            (
                chunk.table.as_str(),
                chunk.offset,
                chunk.length,
                chunk.directory,
                chunk.rows
            ),
            ("public.\"a\tb\"", 17, 400, 90, 3)
        );
        for end in 0..line.rfind('\t').unwrap() {
            assert_eq!(parse(&line[..end]), None, "{}", &line[..end]);
        }
        assert_eq!(parse(&line.replace("\t90\t", "\t900\t")), None);
    }
}
