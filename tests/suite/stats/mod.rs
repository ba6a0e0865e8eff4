//! Tests, intervals and summaries: against references, and for any results.

mod overlap;
mod properties;
mod reference;
mod trend;
