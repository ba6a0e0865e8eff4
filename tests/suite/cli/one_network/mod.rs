//! One network at a time, with the real program: weights out of the store, in from elsewhere,
//! adapted to one more expert; masks predicted and scored; stages computed again.

mod audit;
mod broken;
mod disagreement;
mod fuse;
mod geometry;
mod imports;
mod latent;
mod methods;
mod metric;
mod outputs;
mod predict;
mod weights;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::support::common::*;

/// A folder in which the tiny grid has been run, and the digest of its pretraining.
pub fn trained() -> (tempfile::TempDir, String) {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let runs = csv(&folder.path().join("results/tiny/paper/runs.csv"));
    let digest = runs[0]["pretraining"].clone();
    (folder, digest)
}

pub fn export(folder: &Path, digest: &str) -> PathBuf {
    run(
        folder,
        &["store", "export", digest, "-o", "pretrained.safetensors"],
        0,
    );
    folder.join("pretrained.safetensors")
}

/// Shape and bytes of every tensor.
pub fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32);
        (name, (view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// A folder with some of the phantom's training cases.
pub fn some_cases(folder: &Path, names: &[&str]) -> PathBuf {
    let to = folder.join("cases");
    for name in names {
        fs::create_dir_all(to.join(name)).unwrap();
        for file in fs::read_dir(phantom().join("Training").join(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(name).join(file.file_name())).unwrap();
        }
    }
    to
}

/// Every file of the store by its path below it.
pub fn files_of_store(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut stored = files(&folder.join("results/store"));
    stored.retain(|name, _| !name.starts_with("tmp/") && !name.starts_with("claims/"));
    stored
}

pub fn about(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["expertgrid"]).unwrap()
}
