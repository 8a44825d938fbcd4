//! Rows as `COPY` writes them: where one ends, whose it is, and its hash.

use twox_hash::XxHash3_64;
use uuid::Uuid;

use super::shape::Format;

/// What stands before the first row of the binary format: signature, flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands behind the last one.
pub(super) const TRAILER: &[u8] = b"\xff\xff";

/// Bytes of the first row; `None` where there is no whole one.
pub(super) fn length(format: Format, bytes: &[u8]) -> Option<usize> {
    match format {
        // Line breaks inside of values are escaped.
        Format::Text => Some(bytes.iter().position(|byte| *byte == b'\n')? + 1),
        Format::Binary => {
            let fields = i16::from_be_bytes(*bytes.first_chunk()?);
            let mut at = 2;
            for _ in 0..u16::try_from(fields).ok()? {
                let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
                // -1 is NULL.
                at += 4 + usize::try_from(length).unwrap_or(0);
            }
            (at <= bytes.len()).then_some(at)
        }
    }
}

/// The row of a message of `COPY TO`; `None` where it has none. Each message is one row: what is anything else is refused.
pub(super) fn of_message(format: Format, first: bool, message: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut row = message;
    if format == Format::Binary {
        if first {
            row = row
                .strip_prefix(HEADER)
                .ok_or("it does not begin as COPY's binary format does")?;
        }
        if row == TRAILER {
            return Ok(None);
        }
    }
    if row.is_empty() {
        return Ok(None);
    }
    if length(format, row) == Some(row.len()) {
        Ok(Some(row))
    } else {
        Err("the server did not send its rows one by one".to_owned())
    }
}

/// The first column as a domain; `None` where it is NULL.
pub(super) fn domain(format: Format, row: &[u8]) -> Result<Option<Uuid>, String> {
    let parsed = match format {
        Format::Binary => match row.get(2..6) {
            Some([0, 0, 0, 16]) => row
                .get(6..22)
                .and_then(|bytes| Uuid::from_slice(bytes).ok())
                .map(Some),
            Some([0xff, 0xff, 0xff, 0xff]) => Some(None),
            _ => None,
        },
        Format::Text => {
            let end = row.iter().position(|byte| matches!(byte, b'\t' | b'\n'));
            match row.get(..end.unwrap_or_default()) {
                Some(b"\\N") => Some(None),
                Some(text) => Uuid::try_parse_ascii(text).ok().map(Some),
                None => None,
            }
        }
    };
    parsed.ok_or_else(|| "a row has no domain_id where it should have one".to_owned())
}

/// The 64-bit XXH3 of a row.
pub(super) fn hash(row: &[u8]) -> u64 {
    XxHash3_64::oneshot(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_00a7);

    fn binary() -> Vec<u8> {
        let mut row = vec![0, 3, 0, 0, 0, 16];
        row.extend(ID.as_bytes());
        row.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2]);
        row.extend(b"ab");
        row
    }

    #[test]
    fn rows_end_where_they_end_and_name_their_domain() {
        let text = format!("{ID}\t\\N\tab\n").into_bytes();
        for (format, row) in [(Format::Binary, binary()), (Format::Text, text)] {
            assert_eq!(length(format, &row), Some(row.len()), "{format:?}");
            assert_eq!(domain(format, &row).unwrap(), Some(ID));
            for cut in 0..row.len() {
                assert_eq!(length(format, &row[..cut]), None, "{format:?}, cut at {cut}");
                assert!(cut == 0 || of_message(format, false, &row[..cut]).is_err());
            }
            let twice = [row.clone(), row.clone()].concat();
            assert_eq!(length(format, &twice), Some(row.len()));
            assert!(of_message(format, false, &twice).is_err(), "one by one");
        }
        assert_eq!(domain(Format::Text, b"\\N\tx\n").unwrap(), None);
        assert_eq!(domain(Format::Binary, b"\0\x01\xff\xff\xff\xff").unwrap(), None);
        assert!(domain(Format::Text, b"x\n").is_err());
        assert!(domain(Format::Binary, b"\0\x01\0\0\0\x01a").is_err());
    }

    #[test]
    fn header_and_trailer_are_no_rows() {
        let row = binary();
        let first = [HEADER, &row].concat();
        assert_eq!(
            of_message(Format::Binary, true, &first).unwrap(),
            Some(row.as_slice())
        );
        assert_eq!(of_message(Format::Binary, true, HEADER).unwrap(), None);
        assert_eq!(
            of_message(Format::Binary, true, &[HEADER, TRAILER].concat()).unwrap(),
            None
        );
        assert_eq!(of_message(Format::Binary, false, TRAILER).unwrap(), None);
        assert!(of_message(Format::Binary, true, &row).is_err());
    }
}
