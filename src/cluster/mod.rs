//! A sweep on a cluster whose jobs are queued by Slurm: its settings, its submission, and what the
//! queue says of its jobs.
//!
//! The rule: nothing here starts a process or knows a stage. What Slurm's commands are asked, and
//! what their answers mean, is computed; `exec` runs them. None of it enters a key.

mod clusters_file;
mod durations;
mod further_words;
mod limits;
mod queue;
mod rare_queue;
mod refusal;
mod settings;
mod submission;
mod sweep_folder;
mod waiting;

pub use clusters_file::find;
pub use durations::{in_words, parse_time};
pub use limits::{
    PartitionLimit, SlurmLimits, UnknownPartition, longest, max_array_size, partitions,
};
pub use queue::{ArrayElement, ElementState, QUEUE_FORMAT, UnreadLine, parse_queue};
pub use rare_queue::RareQueue;
pub use refusal::remedy;
pub use settings::{
    CLUSTERS_FILE, Claiming, ClusterOptions, ClusterSettings, SettingsError, WrongSetting,
};
pub use submission::{
    ArrayPart, JobId, line, parse_job_id, parts, ranges, script, script_of_two_nodes, words,
    words_of_two_nodes,
};
pub use sweep_folder::{UnfitFolder, check_folder, fits};
