//! Why the disk does not take something: what was being done, what the operating system said, and
//! what to do about it.

use std::{fmt, io};

/// Why the store cannot take something.
#[derive(Debug)]
pub struct StoreError {
    /// What was being done.
    pub doing: String,
    /// What the operating system said.
    pub error: io::Error,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.error)?;
        match remedy(&self.error) {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StoreError {}

/// What helps against an error of the operating system's, where that is known.
fn remedy(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind;
    /// A device's own error has no kind in the standard library; it is 5 on every Unix.
    const EIO: i32 = 5;
    let remedy = match (error.kind(), error.raw_os_error()) {
        (ErrorKind::StorageFull, _) => {
            "the disk is full: free some space and run again, what is done is kept"
        }
        (ErrorKind::QuotaExceeded, _) => {
            "the quota is used up: free some space and run again, what is done is kept"
        }
        (ErrorKind::ReadOnlyFilesystem, _) => {
            "the disk can only be read: make it writable or choose another folder, and run again"
        }
        (ErrorKind::PermissionDenied, _) => {
            "this user may not write there: change the folder's rights or choose another, \
             and run again"
        }
        (ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle, _) => {
            "a folder has vanished: has it been removed, or its disk unmounted? Bring it back or \
             choose another, and run again"
        }
        (_, Some(EIO)) if cfg!(unix) => {
            "the disk itself fails: look into the system's log, save what is on the disk, and run \
             again on another"
        }
        _ => return None,
    };
    Some(remedy)
}

/// Says what was being done when an operation failed.
pub(super) trait Doing<T> {
    /// Names the operation.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StoreError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|error| StoreError {
            doing: what(),
            error,
        })
    }
}
