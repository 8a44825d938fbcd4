//! Chunks of the rows files: rows of one table, packed by domain, so that those of one domain can be read alone.
//!
//! A chunk is a run of zstd frames. The first one is skipped by every unpacker, and is the directory: what each of the others
//! has. Unpacked, a chunk is what `COPY FROM` takes, header and trailer included.

use std::io;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::row;
use super::scan::connections;
use super::shape::Format;

/// Of zstd. 3 takes half as much again of the processor and is no smaller here; 1 is 1% larger, for a tenth less.
const LEVEL: i32 = 2;

/// Bytes of rows that all connections together have in memory before they are packed.
const HELD: usize = 20 * 1024 * 1024;

/// Bytes of rows in a frame, which only a row of its own can be more than.
const FRAME: usize = 512 * 1024;

/// Frames are by the last byte of the domain's id, which is random in ids of every kind: 256 groups, and two more.
const GROUPS: usize = 257;

/// Rows of no domain, and of the platform's: whoever wants one domain needs these too.
const SHARED: u16 = 256;

/// Header and trailer, which are no rows.
const NO_ROWS: u16 = u16::MAX;

/// "Skippable", as zstd has it, and the four bytes for the length behind it.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const SKIPPABLE_HEAD: usize = 8;

/// Bytes of an entry in the directory: group, rows, length, length unpacked, the first half of a SHA-256.
const ENTRY: usize = 2 + 4 + 4 + 4 + 16;

/// Bytes of rows in a chunk.
fn chunk() -> usize {
    HELD / connections()
}

/// Which frames a row goes to.
fn group_of(domain: Option<Uuid>) -> u16 {
    match domain {
        Some(domain) if domain != db_core::PLATFORM_DOMAIN.uuid() => {
            u16::from(domain.as_bytes().last().copied().unwrap_or_default())
        }
        _ => SHARED,
    }
}

/// A frame, as the directory has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    group: u16,
    rows: u32,
    /// Bytes.
    length: u32,
    unpacked: u32,
    sha256: [u8; 16],
    /// Where it begins in the chunk.
    pub at: u64,
}

impl Frame {
    /// Whether it may have rows of the domain, or such as every domain needs.
    pub fn is_of(&self, domain: Option<Uuid>) -> bool {
        self.group == SHARED || domain.is_some_and(|domain| self.group == group_of(Some(domain)))
    }

    pub fn has_rows(&self) -> bool {
        self.group != NO_ROWS
    }

    pub fn length(&self) -> usize {
        self.length as usize
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.group.to_le_bytes());
        into.extend(self.rows.to_le_bytes());
        into.extend(self.length.to_le_bytes());
        into.extend(self.unpacked.to_le_bytes());
        into.extend(self.sha256);
    }

    /// Its rows.
    pub fn unpack(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        if bytes.len() != self.length() || digest(bytes) != self.sha256 {
            return Err(damaged("rows are not what was stored: their SHA-256 is another"));
        }
        zstd::bulk::decompress(bytes, self.unpacked as usize)
            .map_err(|_error| damaged("rows cannot be unpacked"))
    }
}

fn damaged(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_owned())
}

fn digest(bytes: &[u8]) -> [u8; 16] {
    Sha256::digest(bytes).first_chunk().copied().unwrap_or_default()
}

/// A chunk that is written.
#[derive(Debug)]
pub(super) struct Packed {
    /// Its bytes, in pieces.
    pub bytes: Vec<Bytes>,
    /// Bytes of the directory, with what stands before it.
    pub directory: u64,
    /// Of the directory, in hex.
    pub sha256: String,
    pub rows: u64,
}

/// Reads a directory: the first bytes of a chunk, as many as the index says.
pub(super) fn directory(bytes: &[u8], sha256: &str) -> io::Result<Vec<Frame>> {
    if hex::encode(Sha256::digest(bytes)) != sha256 {
        return Err(damaged(
            "a directory of rows is not what was stored: its SHA-256 is another",
        ));
    }
    let mut at = bytes.len() as u64;
    let entries = bytes
        .get(SKIPPABLE_HEAD..)
        .unwrap_or_default()
        .chunks_exact(ENTRY);
    let frames = entries.map(|entry| {
        let number = |from: usize| {
            let bytes = entry.get(from..).and_then(|rest| rest.first_chunk());
            u32::from_le_bytes(bytes.copied().unwrap_or_default())
        };
        let frame = Frame {
            group: u16::from_le_bytes(entry.first_chunk().copied().unwrap_or_default()),
            rows: number(2),
            length: number(6),
            unpacked: number(10),
            sha256: entry.last_chunk().copied().unwrap_or_default(),
            at,
        };
        at += u64::from(frame.length);
        frame
    });
    Ok(frames.collect())
}

/// Gathers the rows of a table until there are enough for a chunk.
pub(super) struct Packer {
    format: Format,
    zstd: zstd::bulk::Compressor<'static>,
    /// For each group its rows, and how many.
    groups: Vec<(Vec<u8>, u32)>,
    /// Those that are packed, and where the bytes are.
    frames: Vec<Frame>,
    packed: Vec<u8>,
    rows: u64,
    /// Bytes of all rows of the chunk.
    held: usize,
}

impl Packer {
    pub fn new(format: Format) -> io::Result<Self> {
        let mut zstd = zstd::bulk::Compressor::new(LEVEL)?;
        // Each frame says of itself whether it was read right.
        zstd.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        Ok(Self {
            format,
            zstd,
            groups: std::iter::repeat_with(Default::default).take(GROUPS).collect(),
            frames: Vec::new(),
            packed: Vec::new(),
            rows: 0,
            held: 0,
        })
    }

    /// Takes a row; says whether there are enough for a chunk.
    pub fn add(&mut self, domain: Option<Uuid>, row: &[u8]) -> io::Result<bool> {
        let group = group_of(domain);
        if let Some((bytes, rows)) = self.groups.get_mut(usize::from(group)) {
            bytes.extend_from_slice(row);
            *rows += 1;
            if bytes.len() >= FRAME {
                let (bytes, rows) = (std::mem::take(bytes), std::mem::take(rows));
                self.frame(group, rows, &bytes)?;
            }
        }
        self.rows += 1;
        self.held += row.len();
        Ok(self.held >= chunk())
    }

    /// The chunk; `None` where there are no rows.
    pub fn take(&mut self) -> io::Result<Option<Packed>> {
        if self.rows == 0 {
            return Ok(None);
        }
        for group in 0..=SHARED {
            let (bytes, rows) = match self.groups.get_mut(usize::from(group)) {
                Some(held) => std::mem::take(held),
                None => continue,
            };
            if rows > 0 {
                self.frame(group, rows, &bytes)?;
            }
        }
        let rows = std::mem::take(&mut self.rows);
        self.held = 0;
        let (frames, packed) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.packed));
        let mut before = Vec::new();
        let mut after = Vec::new();
        if self.format == Format::Binary {
            self.frame(NO_ROWS, 0, row::HEADER)?;
            before = std::mem::take(&mut self.packed);
            self.frame(NO_ROWS, 0, row::TRAILER)?;
            after = std::mem::take(&mut self.packed);
        }
        let edges = std::mem::take(&mut self.frames);
        let mut entries = Vec::new();
        for frame in edges.first().into_iter().chain(&frames).chain(edges.get(1)) {
            frame.write(&mut entries);
        }
        let length = u32::try_from(entries.len()).map_err(io::Error::other)?;
        let directory = [&SKIPPABLE[..], &length.to_le_bytes(), &entries].concat();
        Ok(Some(Packed {
            directory: directory.len() as u64,
            sha256: hex::encode(Sha256::digest(&directory)),
            rows,
            bytes: [directory, before, packed, after].map(Bytes::from).into(),
        }))
    }

    fn frame(&mut self, group: u16, rows: u32, bytes: &[u8]) -> io::Result<()> {
        let begins = self.packed.len();
        let mut room = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
        self.zstd.compress_to_buffer(bytes, &mut room)?;
        self.packed.extend_from_slice(&room);
        self.frames.push(Frame {
            group,
            rows,
            length: u32::try_from(room.len()).map_err(io::Error::other)?,
            unpacked: u32::try_from(bytes.len()).map_err(io::Error::other)?,
            sha256: digest(&room),
            at: begins as u64,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn row_of(domain: Option<Uuid>, text: &str) -> Vec<u8> {
        let domain = domain.map_or_else(|| "\\N".to_owned(), |domain| domain.to_string());
        format!("{domain}\t{text}\n").into_bytes()
    }

    #[test]
    fn the_rows_of_one_domain_are_found_alone_and_all_of_it_is_what_copy_takes() {
        let domains: Vec<Uuid> = (1..=600_u128).map(Uuid::from_u128).collect();
        let mut packer = Packer::new(Format::Binary).unwrap();
        let mut all = 0;
        for n in 0..3 {
            for domain in domains
                .iter()
                .copied()
                .map(Some)
                .chain([None, Some(db_core::PLATFORM_DOMAIN.uuid())])
            {
                let row = row_of(domain, &format!("row {n}"));
                all += row.len();
                assert!(!packer.add(domain, &row).unwrap());
            }
        }
        let packed = packer.take().unwrap().unwrap();
        assert!(packer.take().unwrap().is_none());
        assert_eq!(packed.rows, 3 * 602);
        let bytes = packed.bytes.concat();
        let mut plain = Vec::new();
        zstd::Decoder::new(bytes.as_slice())
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain.len(), row::HEADER.len() + all + row::TRAILER.len());
        assert!(plain.starts_with(row::HEADER) && plain.ends_with(row::TRAILER));

        let length = usize::try_from(packed.directory).unwrap();
        let frames = directory(&bytes[..length], &packed.sha256).unwrap();
        let rows: u64 = frames.iter().map(|frame| u64::from(frame.rows)).sum();
        assert_eq!(rows, packed.rows);
        let of = |domain| {
            let mut text = Vec::new();
            for frame in frames
                .iter()
                .filter(|frame| frame.has_rows() && frame.is_of(domain))
            {
                let at = usize::try_from(frame.at).unwrap();
                text.extend(frame.unpack(&bytes[at..at + frame.length()]).unwrap());
            }
            String::from_utf8(text).unwrap()
        };
        let own = of(Some(domains[4]));
        assert_eq!(own.matches(&domains[4].to_string()).count(), 3);
        assert_eq!(own.matches("\\N\t").count(), 3, "and what is nobody's: {own}");
        assert!(own.lines().count() <= 4 * 3 + 3, "little else: {own}");
        assert_eq!(of(None).lines().count(), 6);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let mut packer = Packer::new(Format::Text).unwrap();
        for n in 0..50_u128 {
            let domain = Some(Uuid::from_u128(n));
            packer.add(domain, &row_of(domain, "some text")).unwrap();
        }
        let packed = packer.take().unwrap().unwrap();
        let read = |bytes: &[u8]| -> io::Result<()> {
            let length = usize::try_from(packed.directory).unwrap();
            for frame in directory(&bytes[..length], &packed.sha256)? {
                let at = usize::try_from(frame.at).unwrap();
                frame.unpack(&bytes[at..at + frame.length()])?;
            }
            Ok(())
        };
        let good = packed.bytes.concat();
        read(&good).unwrap();
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            assert!(read(&bad).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_chunk_is_full_when_it_should_be() {
        let mut packer = Packer::new(Format::Text).unwrap();
        let domain = Some(Uuid::from_u128(7));
        let row = row_of(domain, &"x".repeat(1000));
        let mut rows = 1;
        while !packer.add(domain, &row).unwrap() {
            rows += 1;
        }
        assert_eq!(rows, chunk().div_ceil(row.len()));
        let packed = packer.take().unwrap().unwrap();
        let length = usize::try_from(packed.directory).unwrap();
        let frames = directory(&packed.bytes.concat()[..length], &packed.sha256).unwrap();
        assert!(frames.len() > 10, "frames stay small");
    }
}
