//! Images, masks, imported and pretrained weights by their digests, read and prepared once for all
//! stages of a worker.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::{StageError, upstream};
use crate::{
    artefact::WEIGHTS,
    data::{
        Dataset, Mask,
        nifti::Header,
        prepare::{Plane, Prepared, prepare, prepare_mask},
    },
    key::{Digest, Keyed},
    manifest::ImageSpec,
    net::{Checkpoint, CheckpointError},
    plan::{Fusion, Kind},
    store::Store,
};

/// Images and masks by the digests of their content, and weights.
pub struct Library {
    dataset: Arc<Dataset>,
    images: HashMap<Digest, usize>,
    masks: HashMap<Digest, (usize, u8)>,
    /// Masks that were made of several experts'.
    fused: HashMap<Digest, Mask>,
    prepared: HashMap<(Digest, ImageSpec), Arc<Prepared>>,
    planes: HashMap<(Digest, ImageSpec), Arc<Plane>>,
    /// Files of weights that have not been read yet.
    unread: Vec<PathBuf>,
    imports: HashMap<Digest, Arc<Checkpoint>>,
    /// The pretraining that was used last. One is enough, because plans list the stages that start
    /// from it one after the other.
    pretrained: Option<(Digest, Arc<Checkpoint>)>,
}

impl Library {
    /// A library of a data set, and of files of weights that pretrainings start from.
    pub fn new(dataset: Arc<Dataset>, imports: Vec<PathBuf>) -> Self {
        let mut images = HashMap::new();
        let mut masks = HashMap::new();
        for (i, case) in dataset.cases().enumerate() {
            images.insert(case.image_digest, i);
            for (expert, annotation) in &case.annotations {
                masks.insert(annotation.digest, (i, *expert));
            }
        }
        Self {
            dataset,
            images,
            masks,
            fused: HashMap::new(),
            prepared: HashMap::new(),
            planes: HashMap::new(),
            unread: imports,
            imports: HashMap::new(),
            pretrained: None,
        }
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The header of an image, if the data set has it.
    pub fn header(&self, image: &Digest) -> Option<&Header> {
        let case = self.images.get(image)?;
        Some(&self.dataset.cases().nth(*case)?.header)
    }

    /// Weights by the digest of their tensors.
    ///
    /// # Errors
    /// Where no file holds them.
    pub fn import(&mut self, digest: &Digest) -> Result<Arc<Checkpoint>, StageError> {
        let mut unreadable: Vec<(PathBuf, CheckpointError)> = Vec::new();
        while !self.imports.contains_key(digest) {
            let Some(path) = self.unread.pop() else {
                let why = unreadable
                    .iter()
                    .map(|(path, why)| format!("\n  {}: {why}", path.display()));
                let why: String = why.collect();
                self.unread = unreadable.into_iter().map(|(path, _)| path).collect();
                return Err(StageError::Data(format!(
                    "no file named by `pretrain.from` holds the weights {}; \
                     has one changed since the plan was made?{why}",
                    digest.short()
                )));
            };
            match Checkpoint::open_import(&path) {
                Ok(found) => {
                    self.imports.insert(found.digest(), Arc::new(found));
                }
                Err(why) => unreadable.push((path, why)),
            }
        }
        self.unread
            .extend(unreadable.into_iter().map(|(path, _)| path));
        Ok(self.imports[digest].clone())
    }

    /// The weights that a pretraining has published, by the stage's digest.
    ///
    /// # Errors
    /// Where they are not in the store, or damaged.
    pub fn pretrained(
        &mut self,
        store: &Store,
        stage: &Digest,
    ) -> Result<Arc<Checkpoint>, StageError> {
        if let Some((held, weights)) = &self.pretrained
            && held == stage
        {
            return Ok(weights.clone());
        }
        // Dropped before the next one is read, so that only one is in memory.
        self.pretrained = None;
        let bytes = upstream(store, Kind::Pretrain, stage, WEIGHTS)?;
        let weights = Arc::new(Checkpoint::read(&bytes)?);
        self.pretrained = Some((*stage, weights.clone()));
        Ok(weights)
    }

    /// Fuses the experts' masks of some images, which can be asked for by their digests then.
    ///
    /// # Errors
    /// Where the data set has no such image or mask, or the masks cannot be fused.
    pub fn fuse(&mut self, fusion: &Fusion, images: &[Digest]) -> Result<(), StageError> {
        for image in images {
            let case = self.images.get(image);
            let case = case.and_then(|case| self.dataset.cases().nth(*case));
            let case = case.ok_or_else(|| absent("image", image))?;
            let fused = fusion.of(case).map_err(StageError::Data)?;
            self.fused.insert(fused.digest(), fused);
        }
        Ok(())
    }

    /// An image, prepared.
    ///
    /// # Errors
    /// Where the data set has no such image.
    pub fn image(
        &mut self,
        digest: &Digest,
        spec: &ImageSpec,
    ) -> Result<Arc<Prepared>, StageError> {
        if let Some(found) = self.prepared.get(&(*digest, *spec)) {
            return Ok(found.clone());
        }
        let case = self
            .images
            .get(digest)
            .ok_or_else(|| absent("image", digest))?;
        let case = self
            .dataset
            .cases()
            .nth(*case)
            .expect("counted along the same cases");
        let prepared = Arc::new(prepare(&case.image, spec));
        self.prepared.insert((*digest, *spec), prepared.clone());
        Ok(prepared)
    }

    /// A mask, prepared.
    ///
    /// # Errors
    /// Where the data set has no such mask.
    pub fn mask(&mut self, digest: &Digest, spec: &ImageSpec) -> Result<Arc<Plane>, StageError> {
        if let Some(found) = self.planes.get(&(*digest, *spec)) {
            return Ok(found.clone());
        }
        let plane = Arc::new(prepare_mask(self.original_mask(digest)?, spec));
        self.planes.insert((*digest, *spec), plane.clone());
        Ok(plane)
    }

    /// A mask as it was drawn.
    ///
    /// # Errors
    /// Where the data set has no such mask.
    pub fn original_mask(&self, digest: &Digest) -> Result<&Mask, StageError> {
        if let Some(fused) = self.fused.get(digest) {
            return Ok(fused);
        }
        let (case, expert) = self
            .masks
            .get(digest)
            .ok_or_else(|| absent("mask", digest))?;
        let case = self
            .dataset
            .cases()
            .nth(*case)
            .expect("counted along the same cases");
        Ok(case.mask(*expert).expect("counted along the same masks"))
    }
}

fn absent(what: &str, digest: &Digest) -> StageError {
    StageError::Data(format!(
        "the {what} {} is not in the data set any more; \
         has a file changed since the plan was made?",
        digest.short()
    ))
}
