//! Tells the linker where `memory.x` is, and the programs how they are optimised.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rustc-env=OPT_LEVEL={}", env::var("OPT_LEVEL").expect("cargo sets it"));
}
