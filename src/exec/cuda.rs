//! What NVIDIA's driver says of this machine's cards.

use crate::engine::cuda::{Cards, CudaError, NoDriver};

/// The number of devices, or why none can be used; none where there is no driver.
pub(super) fn count() -> Result<usize, String> {
    match Cards::find() {
        Ok(cards) if cards.count() > 0 => Ok(cards.count()),
        Ok(_) => Err("the driver finds no device".to_owned()),
        Err(CudaError::NoDriver(NoDriver::Missing)) => Ok(0),
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
