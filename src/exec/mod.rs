//! Where stages run: worker processes on this machine, one for each slot or card; and Slurm's
//! commands, by which more machines take part.
//!
//! The rule: only this module starts processes. A worker that panics, is killed or runs out of
//! memory takes its own stages down and nothing else.

mod claims;
mod cuda;
mod devices;
mod local;
mod logs;
mod pause;
mod pilot_leases;
mod shell_command;
mod slurm;
mod timed_command;
mod worker;

pub use claims::StoreLeases;
pub use devices::{DeviceError, DeviceName, DeviceRequest, Slot, Slots, Takes, cards, cores};
pub use local::{Local, RunControl, WorkerCommand};
pub use pause::{can_be_continued, continue_when_the_parent_dies, pause_this_process};
pub use pilot_leases::PilotLeases;
pub use shell_command::run_in_shell;
pub use slurm::{JobSignal, JobsMeant, Slurm, SlurmError};
pub use worker::{Reply, Request, StageReply, Workshop, refuse, serve};
