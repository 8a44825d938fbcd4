//! The stored form of a stream: zstd, then age where there are recipients.

use std::io::{self, BufRead, BufReader, Read, Write};

use age::{Decryptor, Encryptor, IdentityFile, x25519};
use app_config::BackupConfig;
use secrecy::ExposeSecret as _;

use super::BackupError;
use super::restore_rows::ReadAnywhere;

/// Of zstd. Higher ones gain little on dumps and take the core that pg_dump needs: 3 is 2% smaller than 2 at best, for half as
/// much again of the processor.
const LEVEL: i32 = 2;

/// What a frame may make an unpacker keep in memory: 16 MiB. Ours need 1.
const WINDOW_LOG: u32 = 24;

/// Whom backups are encrypted for.
#[derive(Clone, Debug, Default)]
pub(super) struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Those of the settings.
    ///
    /// # Errors
    /// One of them is none.
    pub fn read(config: &BackupConfig) -> Result<Self, BackupError> {
        let recipients = config.recipients.iter().map(|text| {
            // A secret key in the wrong place must not be repeated.
            text.parse().map_err(|reason| {
                let shown = if text.starts_with("age1") {
                    text
                } else {
                    "what it holds"
                };
                BackupError::Config(format!(
                    "backup.recipients: {shown} is no age recipient (age1…): {reason}"
                ))
            })
        });
        Ok(Self(recipients.collect::<Result<_, _>>()?))
    }

    /// As they are written.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    fn encryptor(&self) -> io::Result<Encryptor> {
        let recipients = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        Encryptor::with_recipients(recipients).map_err(io::Error::other)
    }
}

/// Who can open encrypted backups.
#[derive(Clone, Default)]
pub(super) struct Identities(Option<secrecy::SecretString>);

impl Identities {
    pub fn read(config: &BackupConfig) -> Self {
        Self(config.identity.clone())
    }

    fn parse(&self) -> io::Result<Vec<Box<dyn age::Identity>>> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let Some(text) = &self.0 else {
            return Err(invalid(
                "it is encrypted: set PLINTH_BACKUP_IDENTITY_FILE to the age identity that opens it"
                    .to_owned(),
            ));
        };
        let file = IdentityFile::from_buffer(text.expose_secret().as_bytes())
            .map_err(|_error| invalid("backup.identity is no age identity (AGE-SECRET-KEY-1…)".to_owned()))?;
        file.into_identities()
            .map_err(|error| invalid(format!("backup.identity: {error}")))
    }
}

/// Compresses and encrypts all of a stream into the sink.
pub(super) fn pack<W: Write>(input: &mut impl Read, sink: W, recipients: &Recipients) -> io::Result<W> {
    if recipients.0.is_empty() {
        return compress(input, sink);
    }
    compress(input, recipients.encryptor()?.wrap_output(sink)?)?.finish()
}

/// Encrypts all of a stream that is compressed already.
pub(super) fn seal<W: Write>(input: &mut impl Read, mut sink: W, recipients: &Recipients) -> io::Result<W> {
    if recipients.0.is_empty() {
        copy(input, &mut sink)?;
        return Ok(sink);
    }
    let mut output = recipients.encryptor()?.wrap_output(sink)?;
    copy(input, &mut output)?;
    output.finish()
}

fn compress<W: Write>(input: &mut impl Read, output: W) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(output, LEVEL)?;
    // Each frame says of itself whether it was read right.
    encoder.include_checksum(true)?;
    copy(input, &mut encoder)?;
    encoder.finish()
}

fn copy(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    // Larger than a pipe: fewer, longer runs of the compressor.
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => output.write_all(buffer.get(..count).unwrap_or_default())?,
        }
    }
}

/// The stream that was packed.
pub(super) fn unpack<'a>(
    input: impl Read + Send + 'a,
    encrypted: bool,
    identities: &Identities,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut decoder = zstd::Decoder::new(unseal(input, encrypted, identities)?)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(Box::new(Decoded(decoder)))
}

/// The stream that was encrypted, as it was compressed.
pub(super) fn unseal<'a>(
    input: impl Read + Send + 'a,
    encrypted: bool,
    identities: &Identities,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    if !encrypted {
        return Ok(Box::new(input));
    }
    Ok(Box::new(decrypt(BufReader::new(input), identities)?))
}

/// The same, to be read from anywhere.
pub(super) fn decrypt_from_anywhere(
    input: impl ReadAnywhere + 'static,
    encrypted: bool,
    identities: &Identities,
) -> io::Result<Box<dyn ReadAnywhere>> {
    if !encrypted {
        return Ok(Box::new(input));
    }
    Ok(Box::new(decrypt(BufReader::new(input), identities)?))
}

fn decrypt<R: BufRead>(input: R, identities: &Identities) -> io::Result<age::stream::StreamReader<R>> {
    let identities = identities.parse()?;
    let damaged = |error: age::DecryptError| match error {
        age::DecryptError::NoMatchingKeys => io::Error::new(
            io::ErrorKind::InvalidInput,
            "backup.identity is none of those that it is encrypted for",
        ),
        age::DecryptError::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    };
    let decryptor = Decryptor::new_buffered(input).map_err(damaged)?;
    decryptor
        .decrypt(identities.iter().map(|identity| identity.as_ref()))
        .map_err(damaged)
}

/// What zstd cannot make sense of is damage; it has no kind of error for that.
struct Decoded<R>(R);

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Other => io::Error::new(io::ErrorKind::InvalidData, error),
            _ => error,
        })
    }
}
