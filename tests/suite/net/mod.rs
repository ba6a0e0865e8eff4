//! The network.

mod network;
