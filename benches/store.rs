//! The time to publish an artefact as a fine-tuning leaves it (flushed to disk) and to read it back verified; items are artefacts.

use std::cell::Cell;

use divan::{Bencher, counter::ItemsCount};
use expertgrid::{
    key::Digest,
    plan::Kind,
    store::{Files, MadeBy, Store},
};

fn main() {
    divan::main();
}

/// Five predictions of 64x64 and a curve.
fn files() -> Files {
    let bytes = |count: usize| (0..count).map(|i| (i * i % 251) as u8).collect();
    Files::from([
        ("predictions.bin".to_owned(), bytes(5 * 64 * 64 * 2)),
        ("curve.csv".to_owned(), bytes(2500)),
    ])
}

fn made_by() -> MadeBy {
    MadeBy {
        version: "0".into(),
        device: "cpu".into(),
        engine: "none".into(),
    }
}

fn digest(number: u64) -> Digest {
    Digest::of_bytes(&number.to_le_bytes())
}

#[divan::bench]
fn publish(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::within(folder.path());
    let scratch = store.scratch().expect("it can be written");
    let (files, next) = (files(), Cell::new(0));
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        next.set(next.get() + 1);
        let key = (Kind::Finetune, digest(next.get()));
        store
            .publish(&scratch, key, Vec::new(), made_by(), &files)
            .expect("it can be written");
    });
}

#[divan::bench]
fn verify(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::within(folder.path());
    let scratch = store.scratch().expect("it can be written");
    let key = (Kind::Finetune, digest(0));
    store
        .publish(&scratch, key, Vec::new(), made_by(), &files())
        .expect("it can be written");
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| store.verify(key.0, &key.1));
}
