//! What NVIDIA's driver says of this machine's cards.

use crate::engine::cuda::{Cards, CudaError, NoDriver};

/// The numbers of the devices that can be used, or why none can; none where there is no driver.
pub(super) fn usable() -> Result<Vec<usize>, String> {
    match Cards::find() {
        Ok(cards) => match (cards.usable(), cards.count()) {
            (usable, _) if !usable.is_empty() => Ok(usable),
            (_, 0) => Err("the driver finds no device".to_owned()),
            (_, count) => Err(format!(
                "of {count} NVIDIA cards none has compute capability 8.0 or newer"
            )),
        },
        Err(CudaError::NoDriver(NoDriver::Missing)) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// The name and compute capability of a device, for example
/// `NVIDIA H100 80GB HBM3, compute capability 9.0`: other cards give other last bits.
pub(super) fn identity(number: usize) -> Result<String, String> {
    let card = Cards::find().and_then(|cards| cards.card(number));
    let card = card.map_err(|error| error.to_string())?;
    let (major, minor) = card.capability;
    Ok(format!("{}, compute capability {major}.{minor}", card.name))
}

/// Bytes of a device's memory that are in use, by this process and all others.
pub(super) fn memory_in_use(number: usize) -> Option<usize> {
    let (free, total) = Cards::find().ok()?.memory(number).ok()?;
    Some(total.saturating_sub(free))
}
