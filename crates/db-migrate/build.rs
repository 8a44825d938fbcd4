//! Lists the migrations beside the workspace, so that the binaries carry them, and refuses those that could not be run safely.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/folder.rs"]
mod folder;
#[path = "src/kind.rs"]
mod kind;
#[path = "src/split.rs"]
mod split;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default())
        .join("../../migrations")
        .canonicalize()?;
    println!("cargo:rerun-if-changed={}", root.display());
    let mut table = String::from("&[\n");
    let migrations = match folder::read(&root) {
        Ok(migrations) => migrations,
        Err(error) => {
            println!("cargo::error={error}");
            return Ok(());
        }
    };
    for migration in migrations {
        let _ = writeln!(
            table,
            "    Migration::embedded({:?}, {:?}, include_str!({:?}), include_str!({:?}), {}),",
            migration.version,
            migration.name,
            path(&migration.directory, "up.sql"),
            path(&migration.directory, "down.sql"),
            migration.transactional,
        );
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("migrations.rs");
    fs::write(out, table)
}

fn path(directory: &Path, file: &str) -> String {
    directory.join(file).to_string_lossy().into_owned()
}
