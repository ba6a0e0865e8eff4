//! Printing to standard output, and numbers as they are printed.

use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    process,
};

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

/// `97.1 MB`.
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}
