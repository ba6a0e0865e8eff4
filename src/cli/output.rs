//! Printing to standard output.

use std::{fmt::Display, io::Write, process};

/// Prints a line. Whoever reads it may stop reading (`| head`): that ends the program quietly, as it
/// ends every other tool in a pipe.
pub(super) fn print(line: impl Display) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        process::exit(0);
    }
}
