//! The time to publish an artefact as a fine-tuning leaves it (flushed to disk) and to read it back
//! verified; items are artefacts.

use std::cell::Cell;

use divan::{Bencher, counter::ItemsCount};
use expertgrid::{
    key::Digest,
    plan::Kind,
    store::{Files, MadeBy, Store, Unpublished},
};
use serde_json::value::to_raw_value;

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

fn about(number: u64) -> Unpublished {
    Unpublished {
        kind: Kind::Finetune,
        digest: Digest::of_bytes(&number.to_le_bytes()),
        inputs: Vec::new(),
        spec: to_raw_value(&()).expect("nothing is plain data"),
        dataset: "none".into(),
        geometry: None,
        made_by: MadeBy {
            version: "0".into(),
            device: "cpu".into(),
            engine: "none".into(),
        },
    }
}

#[divan::bench]
fn publish(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::within(folder.path());
    let scratch = store.scratch().expect("it can be written");
    let (files, next) = (files(), Cell::new(0));
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        next.set(next.get() + 1);
        store
            .publish(&scratch, about(next.get()), &files)
            .expect("it can be written");
    });
}

#[divan::bench]
fn verify(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::within(folder.path());
    let scratch = store.scratch().expect("it can be written");
    let Unpublished { kind, digest, .. } = about(0);
    store
        .publish(&scratch, about(0), &files())
        .expect("it can be written");
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| store.verify(kind, &digest));
}
