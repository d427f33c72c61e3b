//! The package that all programs are in, and what builds it.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::contestant::{self, CONTESTANTS, EMPTY};

/// Where the library is.
const LIBRARY: &str = env!("CARGO_MANIFEST_DIR");

#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Release,
    Dev,
}

impl Profile {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }
}

/// A package with all programs, in a temporary directory.
pub(crate) struct Package {
    directory: TempDir,
    cargo: OsString,
}

/// What came out of a build.
pub(crate) struct Build {
    pub(crate) time: Duration,
    pub(crate) executable: PathBuf,
    /// Whether anything but the program was compiled.
    pub(crate) with_others: bool,
}

impl Package {
    pub(crate) fn new(sites: u16) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::Builder::new().prefix("futures-pool-sites-").tempdir()?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let package = Self { directory, cargo };
        fs::write(package.path("Cargo.toml"), manifest())?;
        fs::copy(Path::new(LIBRARY).join("Cargo.lock"), package.path("Cargo.lock"))?;
        fs::create_dir_all(package.path("src/bin"))?;
        fs::write(package.source(EMPTY), contestant::empty())?;
        for contestant in &CONTESTANTS {
            fs::write(package.source(contestant.program), contestant::source(contestant, sites))?;
        }
        Ok(package)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn source(&self, program: &str) -> PathBuf {
        self.path(&format!("src/bin/{program}.rs"))
    }

    /// Builds a program, whether or not it has been built before.
    pub(crate) fn build(&self, program: &str, profile: Profile) -> Result<Build, Box<dyn Error>> {
        File::options().append(true).open(self.source(program))?.set_modified(SystemTime::now())?;
        let mut command = Command::new(&self.cargo);
        command.args(["build", "--quiet", "--offline", "--message-format", "json-render-diagnostics"]);
        command.args(["--profile", profile.name(), "--bin", program, "--target-dir"]).arg(self.path("target"));
        command.current_dir(self.directory.path()).stderr(Stdio::inherit());
        for (name, _) in env::vars_os().filter(|(name, _)| is_setting(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("CARGO_INCREMENTAL", "0").env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");

        let start = Instant::now();
        let output = command.output()?;
        let time = start.elapsed();
        if !output.status.success() {
            return Err(format!("`{program}` does not build: {command:?}").into());
        }

        let messages = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let messages = messages.map(serde_json::from_slice::<Value>).collect::<Result<Vec<_>, _>>()?;
        let is_compiled = |message: &&Value| message["reason"] == "compiler-artifact" && message["fresh"] == false;
        let compiled: Vec<_> = messages.iter().filter(is_compiled).collect();
        let executable = compiled.iter().find_map(|artifact| artifact["executable"].as_str());
        let executable = executable.ok_or_else(|| format!("cargo did not compile `{program}` again"))?;
        Ok(Build { time, executable: executable.into(), with_others: compiled.len() > 1 })
    }
}

/// Whether a variable of the environment says how programs are to be compiled.
fn is_setting(name: &str) -> bool {
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"].contains(&name)
        || name.starts_with("CARGO_PROFILE_")
}

fn manifest() -> String {
    format!(
        r#"[package]
name = "sites"
edition = "2024"

[workspace]

[dependencies]
futures-buffered = "0.2.14"
futures-pool = {{ path = {LIBRARY:?} }}
futures-util = {{ version = "0.3.31", default-features = false, features = ["std"] }}
"#
    )
}

/// Fails unless all sites of a program do what they should.
pub(crate) fn run(executable: &Path) -> Result<(), Box<dyn Error>> {
    if Command::new(executable).status()?.success() {
        Ok(())
    } else {
        Err(format!("{} failed", executable.display()).into())
    }
}

/// How many bytes of machine code an executable has.
pub(crate) fn text(executable: &Path) -> Result<u32, Box<dyn Error>> {
    let output = match Command::new("size").arg("-A").arg(executable).stderr(Stdio::inherit()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err("`size` is missing, which tells the size of `.text`: it comes with binutils".into());
        }
        output => output?,
    };
    let output = String::from_utf8(output.stdout)?;
    let mut lines = output.lines().map(|line| line.split_whitespace());
    let bytes = lines.find_map(|mut words| words.next().filter(|&name| name == ".text").and_then(|_| words.next()));
    let bytes = bytes.ok_or_else(|| format!("`size -A` tells of no section `.text` in {}", executable.display()))?;
    Ok(bytes.parse()?)
}
