//! The files of a plan's tables and pages: whether they are up to date, and writing them.

use std::path::PathBuf;

use super::{
    Claims, DataOrigin, PageSources, RicherTable, Tabled, Unread, beside::Beside, is_whole_page,
    table, write_pages,
};
use crate::{
    data::Dataset,
    estimate,
    results::Results,
    store::{Store, StoreError},
    variant::Folders,
};

/// The tables of all experiments, and where their files go.
#[derive(Debug)]
pub struct Tables<'a> {
    results: &'a Results<'a>,
    dataset: &'a Dataset,
    store: &'a Store,
    folders: &'a Folders,
    /// The claims that pages test.
    claims: Claims,
    /// The origin of the data, as the tables state it.
    pub provenance: DataOrigin,
    /// In the plan's order.
    pub each: Vec<Tabled>,
}

/// The pages of some tables, up to date.
#[derive(Debug, Default)]
pub struct WrittenPages {
    /// Their files; without those that are kept, which are of other results.
    pub paths: Vec<PathBuf>,
    /// Why something is left out of them.
    pub left_out: Vec<String>,
}

impl<'a> Tables<'a> {
    /// Of these results; nothing is written yet.
    pub fn of(
        results: &'a Results<'a>,
        dataset: &'a Dataset,
        store: &'a Store,
        folders: &'a Folders,
        claims: Claims,
    ) -> Self {
        let provenance = DataOrigin::of(dataset);
        let each = folders.each().enumerate();
        let each = each.map(|(i, folder)| table(results, i, &provenance, folder));
        Self {
            each: each.collect(),
            results,
            dataset,
            store,
            folders,
            provenance,
            claims,
        }
    }

    /// Writes the tables and, where one of them changes or a page is not whole, the pages. Tables
    /// on disk that have more results are kept.
    ///
    /// The pages are written first. Wherever this is interrupted, tables that are up to date then
    /// have pages that are, or that are marked as unfinished.
    ///
    /// # Errors
    /// Where a folder cannot be written.
    pub fn write_what_changed(&self) -> Result<WrittenPages, StoreError> {
        let kept = self.richer();
        let pages = match self.are_written() {
            true => WrittenPages {
                paths: self.folders.pages(),
                left_out: Vec::new(),
            },
            false => self.write_pages_except(&kept)?,
        };
        self.write_except(&kept)?;
        Ok(pages)
    }

    /// The tables on disk that have more results than these; see [`RicherTable::find`].
    pub fn richer(&self) -> Vec<RicherTable> {
        RicherTable::find(self.results, self.folders)
    }

    /// Whether the files hold these tables, and every page exists and is finished.
    fn are_written(&self) -> bool {
        self.each.iter().all(Tabled::is_written)
            && self.folders.pages().iter().all(|page| is_whole_page(page))
    }

    /// Writes the tables, with what each folder is of and the documents beside them that are there;
    /// a file that would not change is not touched.
    ///
    /// # Errors
    /// Where a folder cannot be written.
    pub fn write(&self) -> Result<(), StoreError> {
        self.write_except(&[])
    }

    fn write_except(&self, kept: &[RicherTable]) -> Result<(), StoreError> {
        let tables = self.each.iter().enumerate();
        let mut written =
            tables.filter(|(_, table)| kept.iter().all(|kept| kept.folder != table.folder));
        written.try_for_each(|(i, table)| {
            self.folders.write_identity(i)?;
            table.write()?;
            let beside = Beside {
                results: self.results,
                experiment: i,
                provenance: &self.provenance,
                claims: self.claims,
                tabled: table,
                folder: self.folders.of(i),
            };
            beside.write_again()
        })
    }

    /// Writes the pages.
    ///
    /// # Errors
    /// Where a folder cannot be written.
    pub fn write_pages(&self) -> Result<WrittenPages, StoreError> {
        self.write_pages_except(&[])
    }

    fn write_pages_except(&self, kept: &[RicherTable]) -> Result<WrittenPages, StoreError> {
        let unread = Unread::default();
        let sources = PageSources {
            results: self.results,
            store: self.store,
            dataset: self.dataset,
            provenance: &self.provenance,
            folders: self.folders,
            spent: &estimate::spent(self.folders.dir()),
            claims: self.claims,
            unread: &unread,
            underway: None,
            kept,
        };
        let paths = write_pages(&sources)?;
        let left_out = unread.reasons();
        Ok(WrittenPages { paths, left_out })
    }
}
