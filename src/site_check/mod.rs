//! Whether a site can run sweeps: what two of its nodes find out together, and what it means.
//!
//! Two nodes see one folder, are refused each other's locks, and measure how late a name is seen
//! and how far their clocks are apart; each says what it can compute on. The rule: nodes find,
//! [`of_nodes`] judges; a finding carries no verdict.

mod findings;
mod folder;
mod meeting;
mod verdict;

pub use findings::{Lock, Met, NodeFindings};
pub use folder::{Queuing, SiteCheck, SiteFolder};
pub use meeting::{Meeting, NodePatience};
pub use verdict::{Judged, of_nodes, of_queuing};
