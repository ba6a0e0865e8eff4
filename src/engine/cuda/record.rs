//! The engine's record: launches that are still to be done, with what they read from the processor,
//! and the card's memory in which they are done.

use std::rc::Rc;

use super::{
    machine::launch::{Launch, Networks, feed_head},
    machine::{CudaError, Device, Memory},
};

/// Launches in their order, and what they read.
#[derive(Debug, Default)]
pub(super) struct LaunchRecord {
    pub launches: Vec<Launch>,
    /// Words from the processor, that a network reads at offsets.
    pub feed: Vec<u32>,
    /// Tables that are the same for every network.
    pub constants: Vec<u64>,
}

impl LaunchRecord {
    /// Appends words to the feed; where they begin.
    pub fn feed(&mut self, words: impl IntoIterator<Item = u32>) -> u64 {
        let at = self.feed.len();
        self.feed.extend(words);
        at as u64
    }
}

/// Memory of the card for one network.
#[derive(Debug, Default)]
pub(super) struct CardMemory {
    arena: Option<Memory>,
    feed: Option<Memory>,
    constants: Option<Memory>,
}

/// Memory of at least so many bytes, with room to grow.
fn at_least(
    device: &Rc<Device>,
    memory: &mut Option<Memory>,
    bytes: usize,
    keep: bool,
) -> Result<u64, CudaError> {
    if let Some(memory) = memory.as_ref().filter(|memory| memory.bytes() >= bytes) {
        return Ok(memory.address());
    }
    let larger = match memory {
        // The old and the new need not fit together where nothing is kept.
        Some(_) if !keep => {
            *memory = None;
            device.allocate(bytes.next_power_of_two())?
        }
        _ => device.allocate(bytes + bytes / 4)?,
    };
    if let Some(before) = memory {
        larger.copy_from(0, before, 0, before.bytes())?;
        device.wait()?;
    }
    let address = larger.address();
    *memory = Some(larger);
    Ok(address)
}

impl CardMemory {
    /// The address of a network's memory of at least `len` floats.
    pub fn arena(&mut self, device: &Rc<Device>, len: usize) -> Result<u64, CudaError> {
        at_least(device, &mut self.arena, len * size_of::<f32>(), true)
    }

    /// Does what is recorded, for one network of `len` floats.
    pub fn run(
        &mut self,
        device: &Rc<Device>,
        record: &LaunchRecord,
        len: usize,
    ) -> Result<(), CudaError> {
        let arena = self.arena(device, len)?;
        let mut feed = feed_head(std::iter::once(arena)).to_vec();
        feed.extend(&record.feed);
        let networks = Networks {
            feed: at_least(device, &mut self.feed, feed.len() * size_of::<u32>(), false)?,
            constants: at_least(
                device,
                &mut self.constants,
                record.constants.len() * size_of::<u64>(),
                false,
            )?,
            feed_stride: 0,
            groups: 1,
            unused: 0,
        };
        if let Some(memory) = &self.feed {
            memory.write(0, &feed)?;
        }
        if let Some(memory) = &self.constants {
            memory.write(0, &record.constants)?;
        }
        for launch in &record.launches {
            device.launch(launch, networks, 1)?;
        }
        Ok(())
    }

    /// Reads floats of the network.
    pub fn read(&self, at: u64, values: &mut [f32]) -> Result<(), CudaError> {
        let memory = self.arena.as_ref().expect("something was computed");
        memory.read(at as usize * size_of::<f32>(), values)
    }
}
