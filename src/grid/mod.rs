//! The position of a run in its grid: addresses, axes, and expressions that pick by them.
//!
//! The rule: an axis is a row of the table of axes, or a key that a manifest sweeps. Tables, names,
//! files and expressions use the axes; none of them lists them.

mod address;
mod axis;
mod chosen;
mod expert_names;
mod only;
mod setting;
mod value;

pub use address::Address;
pub use axis::Axis;
pub use chosen::Chosen;
pub use expert_names::ExpertNames;
pub use only::{Field, Only, Pick};
pub use setting::Setting;
pub use value::{Coordinates, Value};
