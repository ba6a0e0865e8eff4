//! The documents beside a table: the claims on its results, and published values beside them.
//!
//! The rule: a table is never newer than what lies beside it. Where its files are written, the
//! documents that are there are written again from the same results; one that cannot be made any
//! more says so in its first line.

use std::fs;

use super::{Claims, DataOrigin, PublishedMeans, Tabled, claim, versus::versus, write_beside};
use crate::{
    results::Results,
    results_dir::VariantDir,
    store::{StoreError, replace_file},
};

/// The document of the claims.
pub const CLAIMS: &str = "claims";
/// The document of published values.
pub const PUBLISHED: &str = "vs-paper";
/// The beginning of a document that is of other results than the table beside it.
const STALE: &str = "> **Of earlier results than the table beside it:** ";

/// What the documents of a table are made from.
pub(super) struct Beside<'a> {
    pub results: &'a Results<'a>,
    pub experiment: usize,
    pub provenance: &'a DataOrigin,
    pub claims: Claims,
    pub tabled: &'a Tabled,
    pub folder: &'a VariantDir,
}

impl Beside<'_> {
    /// Writes the documents that are there again.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write_again(&self) -> Result<(), StoreError> {
        let spec = &self.results.plan.experiments[self.experiment];
        if self.folder.beside(CLAIMS).exists() {
            let claims = (self.claims)(&self.tabled.table, self.results, self.experiment);
            let document = claim::document(&claims, &spec.name, spec, self.provenance);
            write_beside(&document, CLAIMS, self.folder)?;
        }
        if !self.folder.beside(PUBLISHED).exists() {
            return Ok(());
        }
        let reference = match spec.reference.as_ref().map(PublishedMeans::read) {
            Some(Ok(reference)) => reference,
            Some(Err(error)) => return self.mark_stale(&error.to_string()),
            None => return self.mark_stale("the manifest names no published values any more"),
        };
        let table = &self.tabled.table;
        let versus = versus(table, spec, &reference, self.provenance);
        let document = versus.document(table, self.results, self.experiment, self.provenance);
        write_beside(&document, PUBLISHED, self.folder).map(drop)
    }

    /// Puts the reason why it is not written again before the document of published values.
    fn mark_stale(&self, why: &str) -> Result<(), StoreError> {
        let path = self.folder.beside(PUBLISHED);
        let old = fs::read_to_string(&path).unwrap_or_default();
        let old = match old.strip_prefix(STALE) {
            Some(marked) => marked.split_once("\n\n").map_or("", |(_, rest)| rest),
            None => &old,
        };
        let why = why.replace('\n', " ");
        replace_file(&path, format!("{STALE}{why}.\n\n{old}").as_bytes())
    }
}
