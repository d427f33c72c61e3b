//! What the compiler says to common mistakes. Each file in `tests/ui/` is a program; `//~ TEXT` at the end of a line says that
//! an error or a warning about this line contains `TEXT`, and there must be no error about any other line.
//!
//! Only our own words are compared, since the compiler's change from release to release. And the programs are built with
//! nothing but the library: trybuild would compare all of the output, and build all dev-dependencies once more.

// They need it, and once is enough.
#![cfg(feature = "std")]

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The texts expected about each line of each program, by name and line.
type Expected = HashMap<(String, u64), Vec<String>>;

/// Writes a package that has all programs, and reads what they expect.
fn prepare(package: &Path) -> Expected {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut expected = Expected::new();
    let mut manifest = format!(
        "[package]\nname = \"ui\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         futures-pool = {{ path = '{}' }}\n\
         futures-util = {{ version = \"0.3\", default-features = false, features = [\"alloc\"] }}\n",
        library.display()
    );
    for entry in fs::read_dir(library.join("tests/ui")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        writeln!(manifest, "[[bin]]\nname = '{name}'\npath = '{}'", path.display()).unwrap();
        for (line, number) in fs::read_to_string(&path).unwrap().lines().zip(1..) {
            if let Some((_, text)) = line.split_once("//~ ") {
                expected.entry((name.to_owned(), number)).or_default().push(text.to_owned());
            }
        }
    }
    fs::create_dir_all(package).unwrap();
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // What is downloaded already is what this says.
    fs::copy(library.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    expected
}

/// Has the compiler look at all programs; returns its messages.
fn check(package: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--keep-going", "--bins", "--message-format", "json"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        // Those of sanitizers and the like are not for the macros of dependencies.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(101), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let messages: Vec<_> = messages.filter(|message| message["reason"] == "compiler-message").collect();
    assert!(!messages.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    messages
}

/// All that a diagnostic says: its message, its labels, and its notes.
fn words(diagnostic: &Value) -> String {
    let mut words = diagnostic["message"].as_str().unwrap_or_default().to_owned();
    for span in diagnostic["spans"].as_array().into_iter().flatten() {
        write!(words, "\n{}", span["label"].as_str().unwrap_or_default()).unwrap();
    }
    for child in diagnostic["children"].as_array().into_iter().flatten() {
        write!(words, "\n{}", child["message"].as_str().unwrap_or_default()).unwrap();
    }
    words
}

#[test]
fn the_compiler_says_what_to_do() {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    let expected = prepare(&package);
    let mut said = HashMap::<_, String>::new();
    let mut faults = String::new();
    for message in check(&package) {
        let diagnostic = &message["message"];
        let program = message["target"]["name"].as_str().unwrap();
        for span in diagnostic["spans"].as_array().unwrap() {
            if span["is_primary"] != true {
                continue;
            }
            let place = (program.to_owned(), span["line_start"].as_u64().unwrap());
            if diagnostic["level"] == "error" && !expected.contains_key(&place) {
                write!(faults, "\nnot expected at {place:?}:\n{}", diagnostic["rendered"].as_str().unwrap()).unwrap();
            }
            said.entry(place).or_default().push_str(&words(diagnostic));
        }
    }
    for (place, texts) in &expected {
        let said = said.get(place).map_or("nothing", String::as_str);
        for text in texts.iter().filter(|text| !said.contains(*text)) {
            write!(faults, "\nat {place:?} it does not say {text:?}, but:\n{said}\n").unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(!expected.is_empty());
}
