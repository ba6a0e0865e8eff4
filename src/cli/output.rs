//! Printing to standard output.

use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    process,
};

/// Prints a line. Whoever reads it may stop reading (`| head`): that ends the program quietly, as it
/// ends every other tool in a pipe.
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
