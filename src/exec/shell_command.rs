//! Runs a command of the user's in a shell.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// Runs a command with these variables beside this process's, to its end.
///
/// # Errors
/// It cannot be started, or ends with an error: in words.
pub fn run_in_shell(command: &str, variables: &[(&str, &OsStr)]) -> Result<(), String> {
    let (shell, option) = match cfg!(windows) {
        true => ("cmd", "/C"),
        false => ("sh", "-c"),
    };
    let status = Command::new(shell)
        .args([option, command])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("`{shell}` cannot be started: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("it ended with {status}")),
    }
}
