//! Sweeps on a real Slurm of four nodes on this machine: the short form of `check.py`.
//!
//! It needs root on Debian. What is missing is installed where `EXPERTGRID_INSTALL=1` or `CI=true`
//! is set; otherwise, and elsewhere, the test says why it is skipped. `make test-slurm` is the long
//! form.

use std::{path::Path, process::Command};

#[test]
fn sweeps_on_a_cluster_keep_what_is_promised() {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/check.py");
    let mut command = Command::new("python3");
    command
        .arg(check)
        .arg(env!("CARGO_BIN_EXE_expertgrid"))
        .arg("--short");
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: python3: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    match output.status.code() {
        Some(0) => {}
        Some(77) => println!("skipped: {}", said.lines().last().unwrap_or(errors.trim())),
        code => panic!("check.py ended with {code:?}:\n{said}\n{errors}"),
    }
}
