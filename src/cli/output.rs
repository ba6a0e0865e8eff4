//! Printing to standard output.

use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    process,
};

pub(super) use crate::estimate::size;

/// Prints a line. A closed pipe (`| head`) ends the program quietly, as it ends other tools.
pub(super) fn print(line: impl Display) {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            // Standard error may be on the same full disk.
            let _ = writeln!(std::io::stderr(), "error: standard output: {error}");
            process::exit(1);
        }
    }
}
