//! What a node finds of itself, of another node, and of the folder that both see.

use serde::{Deserialize, Serialize};

/// What one of two nodes finds. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFindings {
    /// The node.
    pub host: String,
    /// The cores that a pilot may use there.
    pub cores: usize,
    /// The fastest instruction set, by its word.
    pub isa: String,
    /// The number of CUDA devices that this program can use, or why it can use none.
    pub cards: Result<usize, String>,
    /// Whether it sees the folder in which the command was given.
    pub sees_directory: bool,
    /// What it found with the other node, or what went wrong.
    pub met: Result<Met, String>,
}

/// What a node finds with another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Met {
    /// The other node.
    pub other: String,
    /// How long after it was listed a new file was found by its name, which had been asked for
    /// before; `None` where it was not found in time.
    pub named_after: Option<f64>,
    /// How long a new file of one node takes to be listed on the other.
    pub listed_after: f64,
    /// How far this node's clock is behind the other's.
    pub behind: f64,
    /// A lock that the other node holds.
    pub lock: Lock,
}

/// What happens to a lock that another node holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lock {
    /// It is refused here. It was given so long after it was released; `None` where it was not
    /// given in time.
    Refused(Option<f64>),
    /// It is given here too: locks are each node's own.
    Granted,
    /// There are no locks, or they cannot be asked for: the error.
    Impossible(String),
}
