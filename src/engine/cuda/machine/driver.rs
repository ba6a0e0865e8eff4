//! NVIDIA's driver: the functions that the engine calls, loaded when they are asked for.
//!
//! Nothing is linked: the program starts on every machine, and says what is missing where a card is
//! asked for. Names and types are those of CUDA's driver API.

#![expect(unsafe_code, reason = "functions of a C library")]
#![allow(
    non_snake_case,
    reason = "the fields have the names of the driver's functions"
)]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void},
    ptr,
    sync::{Arc, OnceLock},
};

use libloading::Library;

/// A result of the driver; 0 is success.
pub(super) type Code = c_int;
/// A context, stream, module, function, graph or event.
pub(super) type Handle = *mut c_void;
/// An address in a card's memory.
pub(super) type CardAddress = u64;

/// Attributes of a device.
pub(super) const MULTIPROCESSORS: c_int = 16;
pub(super) const CAPABILITY_MAJOR: c_int = 75;
pub(super) const CAPABILITY_MINOR: c_int = 76;
pub(super) const SHARED_MEMORY_OF_BLOCK: c_int = 97;
/// The attribute of a function that lets it use so many bytes of shared memory.
pub(super) const FUNCTION_SHARED_MEMORY: c_int = 8;
/// Captures what this thread launches.
pub(super) const CAPTURE_THREAD: c_int = 1;
/// A stream that does not wait for the default one.
pub(super) const NON_BLOCKING: c_uint = 1;

/// The files that may be the driver, the first that loads is taken.
#[cfg(windows)]
const FILES: [&str; 1] = ["nvcuda.dll"];
#[cfg(not(windows))]
const FILES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        /// The driver's functions.
        #[derive(Debug)]
        pub(super) struct Driver {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> Code,)*
            _library: Library,
        }

        impl Driver {
            fn of(library: Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of the driver's documentation, and the library stays
                // loaded as long as the functions.
                unsafe {
                    Ok(Self {
                        $($name: *library.get(concat!(stringify!($name), "\0"))?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    cuInit(c_uint);
    cuDriverGetVersion(*mut c_int);
    cuDeviceGetCount(*mut c_int);
    cuDeviceGet(*mut c_int, c_int);
    cuDeviceGetName(*mut c_char, c_int, c_int);
    cuDeviceGetAttribute(*mut c_int, c_int, c_int);
    cuDeviceTotalMem_v2(*mut usize, c_int);
    cuDevicePrimaryCtxRetain(*mut Handle, c_int);
    cuDevicePrimaryCtxRelease_v2(c_int);
    cuCtxSetCurrent(Handle);
    cuCtxPushCurrent_v2(Handle);
    cuCtxPopCurrent_v2(*mut Handle);
    cuMemGetInfo_v2(*mut usize, *mut usize);
    cuMemAlloc_v2(*mut CardAddress, usize);
    cuMemFree_v2(CardAddress);
    cuMemAllocHost_v2(*mut *mut c_void, usize);
    cuMemFreeHost(*mut c_void);
    cuMemcpyHtoDAsync_v2(CardAddress, *const c_void, usize, Handle);
    cuMemcpyDtoHAsync_v2(*mut c_void, CardAddress, usize, Handle);
    cuMemcpyDtoDAsync_v2(CardAddress, CardAddress, usize, Handle);
    cuStreamCreate(*mut Handle, c_uint);
    cuStreamDestroy_v2(Handle);
    cuStreamSynchronize(Handle);
    cuModuleLoadData(*mut Handle, *const c_void);
    cuModuleUnload(Handle);
    cuModuleGetFunction(*mut Handle, Handle, *const c_char);
    cuFuncSetAttribute(Handle, c_int, c_int);
    cuFuncGetParamInfo(Handle, usize, *mut usize, *mut usize);
    cuLaunchKernel(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void,
        *mut *mut c_void
    );
    cuStreamBeginCapture_v2(Handle, c_int);
    cuStreamEndCapture(Handle, *mut Handle);
    cuGraphInstantiateWithFlags(*mut Handle, Handle, u64);
    cuGraphLaunch(Handle, Handle);
    cuGraphExecDestroy(Handle);
    cuGraphDestroy(Handle);
    cuEventCreate(*mut Handle, c_uint);
    cuEventDestroy_v2(Handle);
    cuEventRecord(Handle, Handle);
    cuEventSynchronize(Handle);
    cuEventElapsedTime(*mut f32, Handle, Handle);
    cuGetErrorName(Code, *mut *const c_char);
    cuGetErrorString(Code, *mut *const c_char);
}

/// Why the driver cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDriver {
    /// There is none.
    #[error("there is no NVIDIA driver here ({} is not found)", FILES[0])]
    Missing,
    /// It is too old, or not the driver.
    #[error("NVIDIA's driver is too old, or not whole: {0}")]
    Incomplete(String),
    /// It reports an error when it starts, as where there is no card.
    #[error("NVIDIA's driver does not start: {0}")]
    Silent(String),
}

impl Driver {
    /// Loads and starts the driver, once: it has threads, and is never unloaded.
    pub(super) fn load() -> Result<Arc<Self>, NoDriver> {
        static LOADED: OnceLock<Result<Arc<Driver>, NoDriver>> = OnceLock::new();
        let load = || {
            let loaded = FILES.iter().map(Self::library).find_map(Result::ok);
            Self::started(loaded.ok_or(NoDriver::Missing)?).map(Arc::new)
        };
        LOADED.get_or_init(load).clone()
    }

    /// The same from a certain file.
    pub(super) fn load_from(file: &OsStr) -> Result<Self, NoDriver> {
        let library = Self::library(file);
        Self::started(library.map_err(|error| NoDriver::Incomplete(error.to_string()))?)
    }

    fn library(file: impl AsRef<OsStr>) -> Result<Library, libloading::Error> {
        // SAFETY: the driver's initialisers are meant to be run by any program.
        unsafe { Library::new(file.as_ref()) }
    }

    fn started(library: Library) -> Result<Self, NoDriver> {
        let driver = Self::of(library).map_err(|error| NoDriver::Incomplete(error.to_string()))?;
        // SAFETY: the first call, as the driver asks for.
        match unsafe { (driver.cuInit)(0) } {
            0 => Ok(driver),
            code => Err(NoDriver::Silent(driver.text(code))),
        }
    }

    /// An error's name and description.
    pub(super) fn text(&self, code: Code) -> String {
        let text = |function: unsafe extern "C" fn(Code, *mut *const c_char) -> Code| {
            let mut text = ptr::null();
            // SAFETY: the driver sets the pointer to a static text, or leaves it.
            unsafe {
                if function(code, &raw mut text) != 0 || text.is_null() {
                    return "unknown".to_owned();
                }
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        };
        format!(
            "{} ({})",
            text(self.cuGetErrorName),
            text(self.cuGetErrorString)
        )
    }
}
