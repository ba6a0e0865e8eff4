//! The paper that the manifests follow.

mod claims;
mod fusion;
mod methods;
mod scenarios;
mod selection;
