//! Passwords of the logins: where they come from, and whether a login has the right one already.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use app_config::Environment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::ProvisionError;

/// Shorter ones are guessed.
const SHORTEST: usize = 12;

/// `KRATOS` for `kratos`, `MY_APP` for `my-app`: in names of variables.
pub fn variable(role: &str) -> String {
    role.replace('-', "_").to_uppercase()
}

/// The password that somebody gave for the role: from a file (of the flag, of the TOML file), else from
/// `PROVISION_<ROLE>_PASSWORD_FILE` or `PROVISION_<ROLE>_PASSWORD`. Never from the command line.
///
/// # Errors
/// A file that cannot be read, or a password that is too short.
pub fn given(
    role: &str,
    file: Option<&Path>,
    environment: &Environment,
) -> Result<Option<SecretString>, ProvisionError> {
    let name = format!("PROVISION_{}_PASSWORD", variable(role));
    let path = file
        .map(ToOwned::to_owned)
        .or_else(|| environment.get(&format!("{name}_FILE")).map(PathBuf::from));
    let password = match path {
        Some(path) => Some(first_line(&path)?),
        None => environment.get(&name).map(SecretString::from),
    };
    if let Some(password) = &password {
        let length = password.expose_secret().chars().count();
        if length < SHORTEST {
            return Err(ProvisionError::Invalid(format!(
                "the password of {role} has {length} characters: give {SHORTEST} or more, or none, and one is made"
            )));
        }
    }
    Ok(password)
}

fn first_line(path: &Path) -> Result<SecretString, ProvisionError> {
    let failed =
        |error: std::io::Error| ProvisionError::Invalid(format!("no password: {}: {error}", path.display()));
    let mut line = String::new();
    BufReader::new(std::fs::File::open(path).map_err(failed)?)
        .read_line(&mut line)
        .map_err(failed)?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A new one: 192 random bits in hexadecimal digits, which need no quoting anywhere.
pub fn generate() -> SecretString {
    SecretString::from(hex::encode(db_core::random_bytes::<24>()))
}

/// What the server keeps, and what it is sent: a statement that is logged holds no password.
pub fn verifier(password: &SecretString) -> String {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes())
}

/// Whether the server's verifier (`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`) is of this password. Plays the
/// server's part in the exchange of RFC 5802: the client then says whether it met who knows the password.
pub fn fits(verifier: &str, password: &SecretString) -> bool {
    exchange(verifier, password).is_some()
}

fn exchange(verifier: &str, password: &SecretString) -> Option<()> {
    let mut parts = verifier.strip_prefix("SCRAM-SHA-256$")?.split('$');
    let (iterations, salt) = parts.next()?.split_once(':')?;
    let (_, server_key) = parts.next()?.split_once(':')?;
    let mut client = ScramSha256::new(password.expose_secret().as_bytes(), ChannelBinding::unsupported());
    let first = String::from_utf8(client.message().to_vec()).ok()?;
    let bare = first.strip_prefix("n,,")?;
    let nonce = bare.split_once(",r=")?.1;
    let challenge = format!("r={nonce}plinth,s={salt},i={iterations}");
    client.update(challenge.as_bytes()).ok()?;
    let last = String::from_utf8(client.message().to_vec()).ok()?;
    let without_proof = last.rsplit_once(",p=")?.0;
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(server_key).ok()?).ok()?;
    mac.update(format!("{bare},{challenge},{without_proof}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    client.finish(format!("v={signature}").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_fits_its_password_alone() {
        let password = SecretString::from("correct horse battery");
        let kept = verifier(&password);
        assert!(fits(&kept, &password));
        assert!(fits(&verifier(&password), &password), "another salt");
        assert!(!fits(&kept, &SecretString::from("correct horse batterz")));
        // What SASLprep changes, the server changes too.
        let accented = SecretString::from("I\u{ad}X pass word");
        assert!(fits(&verifier(&accented), &accented));
        for other in ["", "md5abc", "SCRAM-SHA-256$4096", "SCRAM-SHA-256$4096:AA$x:y"] {
            assert!(!fits(other, &password), "{other}");
        }
    }
}
