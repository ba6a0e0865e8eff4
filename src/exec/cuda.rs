//! Queries of NVIDIA's driver through candle's bindings: the devices, their names, their memory in
//! use.
//!
//! Without the feature `cuda` the driver is not queried.

/// The number of devices, or why none can be used.
#[cfg(feature = "cuda")]
pub(super) fn count() -> Result<usize, String> {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    match CudaContext::device_count() {
        Ok(count) if count > 0 => Ok(usize::try_from(count).unwrap_or(0)),
        Ok(_) => Err("the driver finds no device".to_owned()),
        Err(error) => Err(format!("the driver reports {}", text_of(error))),
    }
}

/// As above: none; an error only where a driver is installed, so that a device may be expected.
#[cfg(not(feature = "cuda"))]
pub(super) fn count() -> Result<usize, String> {
    match std::path::Path::new("/proc/driver/nvidia/version").exists() {
        true => Err(
            "this machine has NVIDIA's driver, but the program was built without `--features cuda`"
                .to_owned(),
        ),
        false => Ok(0),
    }
}

/// The name and compute capability of a device, for example
/// `NVIDIA H100 80GB HBM3, compute capability 9.0`: other cards give other last bits.
#[cfg(feature = "cuda")]
pub(super) fn identity(number: usize) -> Result<String, String> {
    let context = context(number)?;
    let name = context.name().map_err(text_of)?;
    let (major, minor) = context.compute_capability().map_err(text_of)?;
    Ok(format!("{name}, compute capability {major}.{minor}"))
}

/// As above: there is no device.
#[cfg(not(feature = "cuda"))]
pub(super) fn identity(_number: usize) -> Result<String, String> {
    Err("the program was built without `--features cuda`".to_owned())
}

/// Bytes of a device's memory that are in use, by this process and all others.
#[cfg(feature = "cuda")]
pub(super) fn memory_in_use(number: usize) -> Option<usize> {
    let (free, total) = context(number).ok()?.mem_get_info().ok()?;
    Some(total.saturating_sub(free))
}

/// As above: unknown.
#[cfg(not(feature = "cuda"))]
pub(super) fn memory_in_use(_number: usize) -> Option<usize> {
    None
}

#[cfg(feature = "cuda")]
fn context(
    number: usize,
) -> Result<std::sync::Arc<candle_core::cuda_backend::cudarc::driver::CudaContext>, String> {
    candle_core::cuda_backend::cudarc::driver::CudaContext::new(number).map_err(text_of)
}

/// An error's name and description, from the driver.
#[cfg(feature = "cuda")]
fn text_of(error: candle_core::cuda_backend::cudarc::driver::DriverError) -> String {
    let text = |found: Result<&std::ffi::CStr, _>| {
        found.map_or_else(
            |_: candle_core::cuda_backend::cudarc::driver::DriverError| String::new(),
            |text| text.to_string_lossy().into_owned(),
        )
    };
    format!(
        "{} ({})",
        text(error.error_name()),
        text(error.error_string())
    )
}
