//! Results as tables in every format, beside published values, and on pages.

mod compared;
mod tables;
mod ablation;
mod blocks;
mod declared_tables;
mod effects;
mod recomputed;
mod renderings;
mod selection;
mod two_tests;
mod published;
mod captions;
mod as_it_is;
mod beside;
mod pages;
