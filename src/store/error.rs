//! Failed operations on the disk: what was being done, the operating system's error, the remedy.

use std::{fmt, io};

/// An operation of the store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {error}{}", Remedy::of(.error))]
pub struct StoreError {
    /// What was being done.
    pub doing: String,
    /// The operating system's error.
    pub error: io::Error,
}

impl StoreError {
    /// Whether the disk is full, or a quota used up.
    pub fn is_no_space(&self) -> bool {
        let kind = self.error.kind();
        matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the disk has no file locks.
    pub fn is_no_lock(&self) -> bool {
        is_no_lock(&self.error)
    }

    /// Whether it may say no more than that another machine removes a file while this one opens it,
    /// as on network file systems: then it passes.
    pub fn may_pass(&self) -> bool {
        matches!(
            self.error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle
        )
    }
}

/// Whether an error says that a file system has no locks.
fn is_no_lock(error: &io::Error) -> bool {
    /// No locks are available; it has no kind in the standard library.
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported
        || cfg!(target_os = "linux") && error.raw_os_error() == Some(ENOLCK)
}

/// What helps against an error of the operating system, where that is known.
struct Remedy(Option<&'static str>);

impl Remedy {
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind;
        /// A failing device has no kind in the standard library; it is error 5 on every Unix.
        const EIO: i32 = 5;
        Self(match (error.kind(), error.raw_os_error()) {
            _ if is_no_lock(error) => Some(
                "this disk has no file locks, by which processes share the work: choose a folder \
                 on another, or ask for a mount with locks (`flock` for Lustre, version 4 for NFS)",
            ),
            (ErrorKind::StorageFull, _) => {
                Some("the disk is full: free some space and run again, what is done is kept")
            }
            (ErrorKind::QuotaExceeded, _) => {
                Some("the quota is used up: free some space and run again, what is done is kept")
            }
            (ErrorKind::ReadOnlyFilesystem, _) => Some(
                "the disk is read-only: make it writable or choose another folder, and run again",
            ),
            (ErrorKind::PermissionDenied, _) => Some(
                "this user may not write there: change the folder's permissions or choose \
                 another, and run again",
            ),
            (ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle, _) => Some(
                "a folder is missing: check whether it was removed or its disk unmounted, bring \
                 it back or choose another, and run again",
            ),
            (_, Some(EIO)) if cfg!(unix) => Some(
                "the disk is failing: see the system's log, save what is on the disk, and run \
                 again on another",
            ),
            _ => None,
        })
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Adds to a failed operation what was being done.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Numbers of errors as Linux gives them.
    #[test]
    fn a_full_disk_and_a_used_up_quota_end_a_sweep_and_say_which_it_is() {
        const EIO: i32 = 5;
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        let of = |number: i32| {
            let failed: io::Result<()> = Err(io::Error::from_raw_os_error(number));
            failed.doing(|| "writing x".to_owned()).unwrap_err()
        };
        for (number, said) in [
            (ENOSPC, "the disk is full"),
            (EDQUOT, "the quota is used up"),
        ] {
            assert!(of(number).is_no_space(), "{number}");
            let text = of(number).to_string();
            assert!(text.contains(said), "{text}");
        }
        assert!(!of(EIO).is_no_space());
        const ENOLCK: i32 = 37;
        const ENOSYS: i32 = 38;
        const EOPNOTSUPP: i32 = 95;
        for number in [ENOLCK, ENOSYS, EOPNOTSUPP] {
            assert!(of(number).is_no_lock(), "{number}");
            let text = of(number).to_string();
            assert!(text.contains("no file locks"), "{text}");
        }
        assert!(!of(EIO).is_no_lock());
    }
}
