//! Training curves as TensorBoard event files.
//!
//! ```text
//! record = length (u64) | masked CRC-32C of these bytes | event | masked CRC-32C of the event
//! event  = protobuf: wall time, step, and a summary of named values
//! ```
//!
//! The rule: a file is named by its training's key, so it is written once, whole. The format is
//! written by hand: crates for it need a protobuf compiler, for two messages.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

use crate::{
    artefact::{CURVE, parse_curve},
    event::{Event, Listener, Record, Step},
    key::Digest,
    plan::{Kind, Names, Plan, Spec},
    store::{Found, Store, StoreError, replace_file},
};

/// Writes curves from the store into a folder, on a thread of its own.
pub struct Curves {
    trainings: HashMap<Digest, (Kind, String)>,
    wanted: Option<Sender<CurveRequest>>,
    writer: Option<JoinHandle<Result<(), StoreError>>>,
}

/// A training whose curve is to be written.
struct CurveRequest {
    kind: Kind,
    digest: Digest,
    name: String,
    at: f64,
}

impl Curves {
    /// Those of a plan's trainings, into this folder.
    pub fn new(plan: &Plan, store: Store, folder: PathBuf) -> Self {
        let names = Names::of(plan);
        let trainings = plan.ids().filter_map(|(id, stage)| match &stage.spec {
            Spec::Train(train) => Some((stage.digest, (train.kind(), names.name(id)))),
            Spec::Serve(_) | Spec::Agree(_) | Spec::Evaluate(_) => None,
        });
        let (wanted, inbox) = mpsc::channel::<CurveRequest>();
        let writer = thread::spawn(move || {
            inbox
                .iter()
                .try_for_each(|wanted| write(&store, &folder, &wanted))
        });
        Self {
            trainings: trainings.collect(),
            wanted: Some(wanted),
            writer: Some(writer),
        }
    }

    /// Queues the curve of a training that ended at this time (seconds since 1970). Other stages
    /// have no curve.
    pub fn write(&self, stage: &Digest, at: f64) {
        if let (Some(wanted), Some((kind, name))) = (&self.wanted, self.trainings.get(stage)) {
            // `finish` returns why a writer has ended.
            let _ = wanted.send(CurveRequest {
                kind: *kind,
                digest: *stage,
                name: name.clone(),
                at,
            });
        }
    }

    /// Waits until the last curve is written.
    ///
    /// # Errors
    /// Where the folder cannot be written. Later curves are then missing.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.wanted = None;
        let writer = self.writer.take().map(JoinHandle::join);
        writer.and_then(Result::ok).unwrap_or(Ok(()))
    }
}

impl Listener for Curves {
    /// Writes the curve of a training that has ended.
    fn on(&mut self, record: &Record) {
        if let Event::Finished { stage, .. } = &record.event {
            self.write(stage, record.at);
        }
    }
}

/// Writes a curve that the store holds, unless it is there.
fn write(store: &Store, folder: &Path, wanted: &CurveRequest) -> Result<(), StoreError> {
    let path = path(folder, &wanted.name, &wanted.digest);
    if path.exists() {
        return Ok(());
    }
    if let Found::Intact(artefact) = store.read(wanted.kind, &wanted.digest, &[CURVE])
        && let Ok(steps) = parse_curve(&artefact.files[CURVE])
    {
        replace_file(&path, &events(&steps, wanted.at))?;
    }
    Ok(())
}

/// The file of a training's events. TensorBoard names a curve after its folder.
fn path(folder: &Path, name: &str, digest: &Digest) -> PathBuf {
    let word = name
        .replace(", ", "_")
        .replace(" = ", "=")
        .replace(' ', "_");
    let folder = folder.join(format!("{word}_{}", digest.short()));
    folder.join(format!("events.out.tfevents.0000000000.{}", digest.short()))
}

/// The events of a training curve: `loss` and `learning_rate` over the steps.
pub fn events(steps: &[Step], wall_time: f64) -> Vec<u8> {
    let mut version = ProtobufMessage::default();
    version.double(1, wall_time);
    version.bytes(3, b"brain.Event:2");
    let mut file = Vec::new();
    record(&mut file, &version.0);
    for Step { step, lr, loss, .. } in steps {
        let mut summary = ProtobufMessage::default();
        for (tag, value) in [("loss", *loss), ("learning_rate", *lr as f32)] {
            let mut entry = ProtobufMessage::default();
            entry.bytes(1, tag.as_bytes());
            entry.float(2, value);
            summary.bytes(1, &entry.0);
        }
        let mut event = ProtobufMessage::default();
        event.double(1, wall_time);
        event.number(2, *step as u64);
        event.bytes(5, &summary.0);
        record(&mut file, &event.0);
    }
    file
}

fn record(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(crc32c(&length)).to_le_bytes());
    file.extend(data);
    file.extend(masked(crc32c(data)).to_le_bytes());
}

/// The mask of the record format, for data that hold checksums themselves.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The Castagnoli polynomial, reflected, one bit at a time: curves are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
    !bytes.iter().fold(!0, byte)
}

/// A protobuf message on the wire.
#[derive(Default)]
struct ProtobufMessage(Vec<u8>);

impl ProtobufMessage {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn the_bytes_are_those_that_tensorboard_writes() {
        let step = |step, lr, loss| Step {
            step,
            lr,
            loss,
            latent: None,
        };
        let steps = [
            step(1, 0.05, 0.75),
            step(2, 0.025, 0.5),
            step(300, 1e-3, 0.125),
        ];
        let reference = include_bytes!("../tests/fixtures/tensorboard/curve.tfevents");
        assert_eq!(events(&steps, 1_700_000_000.5), reference);
    }
}
