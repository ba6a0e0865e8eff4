//! A card: its memory, the kernels on it, and what is launched there.

#![expect(unsafe_code, reason = "calls of the driver")]

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::{CString, OsStr, c_int, c_uint, c_void},
    ptr,
    rc::Rc,
    sync::Arc,
};

use super::{
    driver::{
        CAPABILITY_MAJOR, CAPABILITY_MINOR, CAPTURE_THREAD, CardAddress, Code, Driver,
        FUNCTION_SHARED_MEMORY, Handle, MULTIPROCESSORS, NON_BLOCKING, NoDriver,
        SHARED_MEMORY_OF_BLOCK,
    },
    images,
    launch::{Launch, Networks},
};

/// The least compute capability: that of the A100.
pub(in crate::engine::cuda) const LEAST: (c_int, c_int) = (8, 0);

/// Result codes that mean something to the program.
const OUT_OF_MEMORY: Code = 2;

/// Why a card cannot do what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// There is no driver, or it does not start.
    #[error(transparent)]
    NoDriver(#[from] NoDriver),
    /// There are fewer cards.
    #[error("there is no cuda:{number}; the driver finds {count}, counted from cuda:0")]
    NoDevice {
        /// The number asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// Its compute capability is less than the kernels need.
    #[error("{name} has compute capability {major}.{minor}; 8.0 or newer is needed")]
    TooOld {
        /// Its name.
        name: String,
        /// Its compute capability.
        major: c_int,
        /// As above.
        minor: c_int,
    },
    /// Its memory is full.
    #[error(
        "the card's memory is full: {} MiB were asked for, {} of {} MiB are free; fewer networks \
         at once (`--jobs`) or another card's memory may do",
        .asked >> 20, .free >> 20, .total >> 20
    )]
    OutOfMemory {
        /// Bytes.
        asked: usize,
        /// Bytes.
        free: usize,
        /// Bytes.
        total: usize,
    },
    /// Anything else. Most errors stay: the process cannot use the card any more.
    #[error("{doing}: {text}")]
    Driver {
        /// What was being done.
        doing: &'static str,
        /// The driver's name and description of the error.
        text: String,
    },
}

impl From<CudaError> for candle_core::Error {
    fn from(error: CudaError) -> Self {
        Self::wrap(error)
    }
}

/// What is known of a card without using it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its number.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Its compute capability.
    pub capability: (c_int, c_int),
    /// Its multiprocessors.
    pub multiprocessors: usize,
    /// Bytes of shared memory that a block may use.
    pub shared_memory: usize,
    /// Bytes of its memory.
    pub memory: usize,
}

impl Card {
    /// Checks that the kernels can run on it.
    ///
    /// # Errors
    /// It is too old.
    pub fn check(&self) -> Result<(), CudaError> {
        match self.capability >= LEAST {
            true => Ok(()),
            false => Err(self.too_old()),
        }
    }

    fn too_old(&self) -> CudaError {
        CudaError::TooOld {
            name: self.name.clone(),
            major: self.capability.0,
            minor: self.capability.1,
        }
    }
}

/// The driver and the cards that it finds.
#[derive(Clone, Debug)]
pub struct Cards {
    driver: Arc<Driver>,
    count: usize,
}

impl Cards {
    /// Those of this machine.
    ///
    /// # Errors
    /// There is no driver, or it does not start.
    pub fn find() -> Result<Self, CudaError> {
        Self::of(Driver::load()?)
    }

    /// Those of a driver in a file.
    ///
    /// # Errors
    /// The file is no driver, or it does not start.
    pub fn of_driver(file: &OsStr) -> Result<Self, CudaError> {
        Self::of(Arc::new(Driver::load_from(file)?))
    }

    fn of(driver: Arc<Driver>) -> Result<Self, CudaError> {
        let mut count = 0;
        // SAFETY: the driver is started, and the pointer is to a number.
        let code = unsafe { (driver.cuDeviceGetCount)(&raw mut count) };
        checked(&driver, code, "counting the cards")?;
        Ok(Self {
            driver,
            count: usize::try_from(count).unwrap_or(0),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The version of CUDA that the driver supports, such as 12.4.
    ///
    /// # Errors
    /// The driver reports one.
    pub fn driver_version(&self) -> Result<(c_int, c_int), CudaError> {
        let mut version = 0;
        // SAFETY: the driver is started, and the pointer is to a number.
        let code = unsafe { (self.driver.cuDriverGetVersion)(&raw mut version) };
        checked(&self.driver, code, "asking for the driver's version")?;
        Ok((version / 1000, version % 1000 / 10))
    }

    fn handle(&self, number: usize) -> Result<c_int, CudaError> {
        let count = self.count;
        let ordinal = c_int::try_from(number).ok().filter(|_| number < count);
        let ordinal = ordinal.ok_or(CudaError::NoDevice { number, count })?;
        let mut handle = 0;
        // SAFETY: the driver is started, and the pointer is to a number.
        let code = unsafe { (self.driver.cuDeviceGet)(&raw mut handle, ordinal) };
        checked(&self.driver, code, "looking for the card")?;
        Ok(handle)
    }

    /// What is known of a card.
    ///
    /// # Errors
    /// There is no such card, or the driver reports an error.
    pub fn card(&self, number: usize) -> Result<Card, CudaError> {
        let handle = self.handle(number)?;
        let driver = &self.driver;
        let attribute = |which| {
            let mut value = 0;
            // SAFETY: the handle is a device's, and the pointer is to a number.
            let code = unsafe { (driver.cuDeviceGetAttribute)(&raw mut value, which, handle) };
            checked(driver, code, "asking for a card's properties").map(|()| value)
        };
        let size = |value| usize::try_from(value).unwrap_or(0);
        let mut name = [0u8; 256];
        let length = c_int::try_from(name.len()).expect("256");
        // SAFETY: the driver writes a text of at most so many bytes, with its end.
        let code = unsafe { (driver.cuDeviceGetName)(name.as_mut_ptr().cast(), length, handle) };
        checked(driver, code, "asking for a card's name")?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
        let mut memory = 0;
        // SAFETY: the handle is a device's, and the pointer is to a number.
        let code = unsafe { (driver.cuDeviceTotalMem_v2)(&raw mut memory, handle) };
        checked(driver, code, "asking for a card's memory")?;
        Ok(Card {
            number,
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            capability: (attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?),
            multiprocessors: size(attribute(MULTIPROCESSORS)?),
            shared_memory: size(attribute(SHARED_MEMORY_OF_BLOCK)?),
            memory,
        })
    }

    /// Free and all bytes of a card's memory, of which other processes have their part.
    ///
    /// # Errors
    /// There is no such card, or the driver reports an error.
    pub fn memory(&self, number: usize) -> Result<(usize, usize), CudaError> {
        let handle = self.handle(number)?;
        let driver = &self.driver;
        let mut context = ptr::null_mut();
        let (mut free, mut total) = (0, 0);
        // SAFETY: the handle is a device's; the context is released after its last use.
        unsafe {
            let code = (driver.cuDevicePrimaryCtxRetain)(&raw mut context, handle);
            checked(driver, code, "opening the card")?;
            // What this thread uses stays current.
            let mut code = (driver.cuCtxPushCurrent_v2)(context);
            if code == 0 {
                code = (driver.cuMemGetInfo_v2)(&raw mut free, &raw mut total);
                (driver.cuCtxPopCurrent_v2)(&raw mut context);
            }
            (driver.cuDevicePrimaryCtxRelease_v2)(handle);
            checked(driver, code, "asking for free memory")?;
        }
        Ok((free, total))
    }

    /// The numbers of the cards that the kernels can run on.
    pub fn usable(&self) -> Vec<usize> {
        let usable = |number: &usize| {
            let card = self.card(*number);
            card.is_ok_and(|card| card.capability >= LEAST)
        };
        (0..self.count).filter(usable).collect()
    }

    /// Opens a card, with the kernels loaded.
    ///
    /// # Errors
    /// There is no such card, it is older than compute capability 8.0, or the driver reports an
    /// error.
    pub fn open(&self, number: usize) -> Result<Device, CudaError> {
        Device::open(self, number)
    }
}

fn checked(driver: &Driver, code: Code, doing: &'static str) -> Result<(), CudaError> {
    match code {
        0 => Ok(()),
        code => Err(CudaError::Driver {
            doing,
            text: driver.text(code),
        }),
    }
}

/// A card in use by this thread.
#[derive(Debug)]
pub struct Device {
    driver: Arc<Driver>,
    /// What is known of it.
    pub card: Card,
    handle: c_int,
    stream: Handle,
    module: Handle,
    functions: RefCell<HashMap<&'static str, Function>>,
}

/// A kernel on the card.
#[derive(Clone, Copy, Debug)]
struct Function {
    handle: Handle,
    /// Bytes of shared memory that it may use.
    shared: usize,
}

impl Device {
    fn open(cards: &Cards, number: usize) -> Result<Self, CudaError> {
        let card = cards.card(number)?;
        let handle = cards.handle(number)?;
        let driver = cards.driver.clone();
        card.check()?;
        let image = images::of(card.capability).ok_or_else(|| card.too_old())?;
        let (mut context, mut stream, mut module) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the handle is a device's, the pointers are to handles, and the image is whole.
        unsafe {
            let code = (driver.cuDevicePrimaryCtxRetain)(&raw mut context, handle);
            checked(&driver, code, "opening the card")?;
            let code = (driver.cuCtxSetCurrent)(context);
            checked(&driver, code, "opening the card")?;
            let code = (driver.cuStreamCreate)(&raw mut stream, NON_BLOCKING);
            checked(&driver, code, "opening the card")?;
            let code = (driver.cuModuleLoadData)(&raw mut module, image.as_ptr().cast());
            checked(&driver, code, "loading the kernels")?;
        }
        Ok(Self {
            driver,
            card,
            handle,
            stream,
            module,
            functions: RefCell::default(),
        })
    }

    fn check(&self, code: Code, doing: &'static str) -> Result<(), CudaError> {
        checked(&self.driver, code, doing)
    }

    /// The driver and its cards.
    pub(in crate::engine::cuda) fn cards(&self) -> Cards {
        Cards {
            driver: self.driver.clone(),
            count: self.card.number + 1,
        }
    }

    /// Free and all bytes of its memory.
    pub(in crate::engine::cuda) fn memory(&self) -> Result<(usize, usize), CudaError> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the card is open, and the pointers are to numbers.
        let code = unsafe { (self.driver.cuMemGetInfo_v2)(&raw mut free, &raw mut total) };
        self.check(code, "asking for free memory")?;
        Ok((free, total))
    }

    /// Waits until all is done.
    pub(in crate::engine::cuda) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the stream is open.
        let code = unsafe { (self.driver.cuStreamSynchronize)(self.stream) };
        self.check(code, "computing on the card")
    }

    /// Checks that a kernel's parameters are as large as what it is given.
    fn check_operands(&self, function: Handle, launch: &Launch) -> Result<(), CudaError> {
        for (number, expected) in [size_of::<Networks>(), launch.bytes]
            .into_iter()
            .enumerate()
        {
            let (mut offset, mut size) = (0, 0);
            // SAFETY: the function is of the loaded module, and the pointers are to numbers.
            let code = unsafe {
                let ask = self.driver.cuFuncGetParamInfo;
                ask(function, number, &raw mut offset, &raw mut size)
            };
            self.check(code, "asking for a kernel's operands")?;
            if size != expected {
                return Err(CudaError::Driver {
                    doing: "launching a kernel",
                    text: format!(
                        "{} takes {size} bytes as operand {number}, not {expected}",
                        launch.kernel
                    ),
                });
            }
        }
        Ok(())
    }

    /// The function of a launch, with leave to use its shared memory.
    fn function(&self, launch: &Launch) -> Result<Handle, CudaError> {
        let kernel = launch.kernel;
        /// What every kernel may use.
        const USUAL: usize = 48 << 10;
        let mut functions = self.functions.borrow_mut();
        let found = functions.get(kernel).copied();
        let mut function = match found {
            Some(function) => function,
            None => {
                let name = CString::new(kernel).expect("a name without zeros");
                let mut handle = ptr::null_mut();
                // SAFETY: the module is loaded, the name ends with a zero.
                let code = unsafe {
                    (self.driver.cuModuleGetFunction)(&raw mut handle, self.module, name.as_ptr())
                };
                self.check(code, "looking for a kernel")?;
                self.check_operands(handle, launch)?;
                Function {
                    handle,
                    shared: USUAL,
                }
            }
        };
        if launch.shared > function.shared {
            let bytes = c_int::try_from(launch.shared).unwrap_or(c_int::MAX);
            // SAFETY: the function is of the loaded module.
            let code = unsafe {
                (self.driver.cuFuncSetAttribute)(function.handle, FUNCTION_SHARED_MEMORY, bytes)
            };
            self.check(code, "giving shared memory to a kernel")?;
            function.shared = launch.shared;
        }
        functions.insert(kernel, function);
        Ok(function.handle)
    }

    /// Looks for a launch's kernel, so that launching it is all that is left to do.
    pub(in crate::engine::cuda) fn prepare(&self, launch: &Launch) -> Result<(), CudaError> {
        self.function(launch).map(drop)
    }

    /// Launches a kernel for `count` networks.
    pub(in crate::engine::cuda) fn launch(
        &self,
        launch: &Launch,
        networks: Networks,
        count: usize,
    ) -> Result<(), CudaError> {
        let function = self.function(launch)?;
        let networks = Networks {
            groups: launch.groups,
            ..networks
        };
        let [x, y] = launch.grid.map(|n| c_uint::try_from(n).expect("a grid"));
        let z = count * usize::try_from(launch.groups).expect("groups");
        let mut arguments: [*mut c_void; 2] = [
            (&raw const networks).cast_mut().cast(),
            launch.operands.as_ptr().cast_mut().cast(),
        ];
        // SAFETY: the driver copies the arguments, whose sizes are those of the kernel's operands;
        // a test compares them.
        let code = unsafe {
            (self.driver.cuLaunchKernel)(
                function,
                x,
                y,
                c_uint::try_from(z).expect("a grid"),
                c_uint::try_from(launch.threads).expect("a block"),
                1,
                1,
                c_uint::try_from(launch.shared).expect("shared memory"),
                self.stream,
                arguments.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        self.check(code, "launching a kernel")
    }

    /// Records what `launch` launches, to be launched again at once.
    pub(in crate::engine::cuda) fn graph(
        self: &Rc<Self>,
        launch: impl FnOnce() -> Result<(), CudaError>,
    ) -> Result<Graph, CudaError> {
        // SAFETY: the stream is open; what is captured is ended in any case.
        let code = unsafe { (self.driver.cuStreamBeginCapture_v2)(self.stream, CAPTURE_THREAD) };
        self.check(code, "recording a step")?;
        let launched = launch();
        let mut graph = ptr::null_mut();
        // SAFETY: the capture was begun above.
        let code = unsafe { (self.driver.cuStreamEndCapture)(self.stream, &raw mut graph) };
        launched?;
        self.check(code, "recording a step")?;
        let mut ready = ptr::null_mut();
        // SAFETY: the graph was captured above, and is not used afterwards.
        let code = unsafe {
            let code = (self.driver.cuGraphInstantiateWithFlags)(&raw mut ready, graph, 0);
            (self.driver.cuGraphDestroy)(graph);
            code
        };
        self.check(code, "recording a step")?;
        Ok(Graph {
            device: self.clone(),
            handle: ready,
        })
    }

    /// Memory on the card.
    pub(in crate::engine::cuda) fn allocate(
        self: &Rc<Self>,
        bytes: usize,
    ) -> Result<Memory, CudaError> {
        let mut address = 0;
        let bytes = bytes.max(256);
        // SAFETY: the card is open, and the pointer is to a number.
        match unsafe { (self.driver.cuMemAlloc_v2)(&raw mut address, bytes) } {
            OUT_OF_MEMORY => {
                let (free, total) = self.memory()?;
                Err(CudaError::OutOfMemory {
                    asked: bytes,
                    free,
                    total,
                })
            }
            code => {
                self.check(code, "taking memory of the card")?;
                Ok(Memory {
                    device: self.clone(),
                    address,
                    bytes,
                })
            }
        }
    }

    /// A time on the card.
    pub(in crate::engine::cuda) fn event(self: &Rc<Self>) -> Result<CardTime, CudaError> {
        let mut handle = ptr::null_mut();
        // SAFETY: the card is open, and the pointer is to a handle.
        let code = unsafe { (self.driver.cuEventCreate)(&raw mut handle, 0) };
        self.check(code, "taking a time")?;
        let event = CardTime {
            device: self.clone(),
            handle,
        };
        // SAFETY: the event was made above.
        let code = unsafe { (self.driver.cuEventRecord)(event.handle, self.stream) };
        self.check(code, "taking a time")?;
        Ok(event)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: nothing of the card is used afterwards. Errors of an earlier fault come again.
        unsafe {
            (self.driver.cuModuleUnload)(self.module);
            (self.driver.cuStreamDestroy_v2)(self.stream);
            (self.driver.cuDevicePrimaryCtxRelease_v2)(self.handle);
        }
    }
}

/// What was recorded of a stream.
#[derive(Debug)]
pub(in crate::engine::cuda) struct Graph {
    device: Rc<Device>,
    handle: Handle,
}

impl Graph {
    /// Launches all of it.
    pub fn launch(&self) -> Result<(), CudaError> {
        // SAFETY: the graph is ready; the memory that its kernels use outlives it.
        let code = unsafe { (self.device.driver.cuGraphLaunch)(self.handle, self.device.stream) };
        self.device.check(code, "launching a step")
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: it is not used afterwards.
        unsafe { (self.device.driver.cuGraphExecDestroy)(self.handle) };
    }
}

/// A time on the card.
#[derive(Debug)]
pub(in crate::engine::cuda) struct CardTime {
    device: Rc<Device>,
    handle: Handle,
}

impl CardTime {
    /// Milliseconds since an earlier one, once both are past.
    pub fn since(&self, earlier: &Self) -> Result<f32, CudaError> {
        let driver = &self.device.driver;
        let mut milliseconds = 0.0;
        // SAFETY: both events were recorded.
        unsafe {
            let code = (driver.cuEventSynchronize)(self.handle);
            self.device.check(code, "waiting for a time")?;
            let code =
                (driver.cuEventElapsedTime)(&raw mut milliseconds, earlier.handle, self.handle);
            self.device.check(code, "taking a time")?;
        }
        Ok(milliseconds)
    }
}

impl Drop for CardTime {
    fn drop(&mut self) {
        // SAFETY: it is not used afterwards.
        unsafe { (self.device.driver.cuEventDestroy_v2)(self.handle) };
    }
}

/// Memory on a card, given back when dropped.
#[derive(Debug)]
pub(in crate::engine::cuda) struct Memory {
    device: Rc<Device>,
    address: CardAddress,
    bytes: usize,
}

impl Memory {
    pub fn address(&self) -> CardAddress {
        self.address
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes from a byte on, and waits for it.
    pub fn write<T: bytemuck::NoUninit>(&self, at: usize, values: &[T]) -> Result<(), CudaError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert!(at + bytes.len() <= self.bytes, "written within the memory");
        let Device { driver, stream, .. } = &*self.device;
        // SAFETY: within the memory; the source is read before this returns.
        let code = unsafe {
            (driver.cuMemcpyHtoDAsync_v2)(
                self.address + at as u64,
                bytes.as_ptr().cast(),
                bytes.len(),
                *stream,
            )
        };
        self.device.check(code, "copying to the card")?;
        self.device.wait()
    }

    /// Writes what is pinned, from the beginning on; it must not change before it is copied.
    pub fn write_pinned(&self, pinned: &Pinned, bytes: usize) -> Result<(), CudaError> {
        assert!(bytes <= self.bytes && bytes <= pinned.bytes, "within both");
        let Device { driver, stream, .. } = &*self.device;
        // SAFETY: within the memory of both.
        let code =
            unsafe { (driver.cuMemcpyHtoDAsync_v2)(self.address, pinned.memory, bytes, *stream) };
        self.device.check(code, "copying to the card")
    }

    /// Reads from a byte on, once all before it is done.
    pub fn read<T: bytemuck::Pod>(&self, at: usize, values: &mut [T]) -> Result<(), CudaError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        assert!(at + bytes.len() <= self.bytes, "read within the memory");
        let Device { driver, stream, .. } = &*self.device;
        // SAFETY: within the memory; the copy is waited for.
        let code = unsafe {
            (driver.cuMemcpyDtoHAsync_v2)(
                bytes.as_mut_ptr().cast(),
                self.address + at as u64,
                bytes.len(),
                *stream,
            )
        };
        self.device.check(code, "copying from the card")?;
        self.device.wait()
    }

    /// Copies so many bytes of other memory, from a place of that on to a place of its own.
    pub fn copy_from(
        &self,
        to: usize,
        other: &Self,
        from: usize,
        bytes: usize,
    ) -> Result<(), CudaError> {
        let within = to + bytes <= self.bytes && from + bytes <= other.bytes;
        assert!(within, "within both");
        let Device { driver, stream, .. } = &*self.device;
        let [to, from] = [self.address + to as u64, other.address + from as u64];
        // SAFETY: within both.
        let code = unsafe { (driver.cuMemcpyDtoDAsync_v2)(to, from, bytes, *stream) };
        self.device.check(code, "copying on the card")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: nothing uses it afterwards: the driver waits for what is under way.
        unsafe { (self.device.driver.cuMemFree_v2)(self.address) };
    }
}

/// Memory of the processor that the card reads at full speed.
#[derive(Debug)]
pub(in crate::engine::cuda) struct Pinned {
    device: Rc<Device>,
    memory: *mut c_void,
    bytes: usize,
}

impl Pinned {
    pub fn new(device: &Rc<Device>, bytes: usize) -> Result<Self, CudaError> {
        let mut memory = ptr::null_mut();
        // SAFETY: the card is open, and the pointer is to a pointer.
        let code = unsafe { (device.driver.cuMemAllocHost_v2)(&raw mut memory, bytes.max(256)) };
        device.check(code, "taking memory for copies to the card")?;
        // SAFETY: so many bytes were taken. They are defined from here on.
        unsafe { ptr::write_bytes(memory.cast::<u8>(), 0, bytes.max(256)) };
        Ok(Self {
            device: device.clone(),
            memory,
            bytes: bytes.max(256),
        })
    }

    pub fn floats(&mut self) -> &mut [f32] {
        // SAFETY: so many bytes are its own, aligned to more than four, and defined.
        unsafe { std::slice::from_raw_parts_mut(self.memory.cast(), self.bytes / 4) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: nothing uses it afterwards.
        unsafe { (self.device.driver.cuMemFreeHost)(self.memory) };
    }
}
