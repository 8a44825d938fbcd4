//! Lists the migrations beside the workspace, so that the binaries carry them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../migrations");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut directories: Vec<PathBuf> = fs::read_dir(&root)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    directories.retain(|path| path.is_dir());
    directories.sort();

    let mut table = String::from("&[\n");
    for directory in directories {
        let name = directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (version, title) = name.split_once('_').ok_or_else(|| {
            io::Error::other(format!(
                "migrations/{name}: a directory is named <version>_<name>"
            ))
        })?;
        // The diesel command line drops the hyphens too.
        let version = version.replace('-', "");
        let _ = writeln!(
            table,
            "    Migration {{ version: {version:?}, name: {title:?}, up: include_str!({:?}), down: include_str!({:?}) }},",
            sql(&directory, "up.sql")?,
            sql(&directory, "down.sql")?,
        );
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("migrations.rs");
    fs::write(out, table)
}

fn sql(directory: &Path, file: &str) -> io::Result<String> {
    Ok(directory
        .join(file)
        .canonicalize()?
        .to_string_lossy()
        .into_owned())
}
