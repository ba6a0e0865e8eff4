//! The store: what is in it, how it gets there whatever fails, and how it is looked after.

mod artefacts;
mod scratch_folders;
mod publication;
mod disks;
mod torture;
mod garbage;
mod leases;
mod upkeep;
