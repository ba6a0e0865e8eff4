//! The wording of errors of tensor operations.

/// The text of a tensor operation's error, without the backtrace that candle adds to it where
/// RUST_BACKTRACE is set.
pub fn plain(error: &candle_core::Error) -> String {
    use candle_core::Error;
    match error {
        Error::WithBacktrace { inner, .. } => plain(inner),
        Error::Context { inner, context } => format!("{context}: {}", plain(inner)),
        Error::WithPath { inner, path } => format!("{}: {}", path.display(), plain(inner)),
        other => other.to_string(),
    }
}
