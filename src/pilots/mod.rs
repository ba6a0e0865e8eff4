//! What the pilots of a sweep on a cluster share: the frozen sweep, failures, and who lives.
//!
//! A pilot is one element of an array of identical jobs. It takes stages from the shared store by
//! leases and runs them on the devices that it was given; no stage is a job, and no pilot knows of
//! another but by what is in the store and in the sweep's folder.

mod errors;
mod failures;
mod folder;
mod frozen;
mod living;

pub use errors::{PilotError, note_error, pilot_errors};
pub use failures::{SharedFailures, Trying, given_up};
pub use folder::{ReportLock, SweepFolder, own_name};
pub use frozen::{FrozenSweep, digest_of, name_of};
pub use living::{
    Alive, LOCKS_REMEDY, LivingPilot, LocksSeen, NotShared, living, watch_for_unshared_locks,
};
