//! Tests, intervals and summaries: against references, and for any results.

mod properties;
mod reference;
