//! An emulated CUDA device: the engine's kernels, compiled for this processor, behind the functions
//! of NVIDIA's driver.

#![expect(unsafe_code, reason = "functions of the emulated driver")]

use std::{
    ffi::OsStr,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use libloading::{Library, Symbol};

use expertgrid::engine::cuda::{Cards, Cuda, Precision};

/// The driver's file; `None` where there is no compiler for it.
static DRIVER: LazyLock<Option<PathBuf>> = LazyLock::new(build);
/// Its threads are fibers of one thread, so one test at a time uses it.
static IN_USE: Mutex<()> = Mutex::new(());

fn build() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/device/emulator", "src/engine/cuda/kernels"].map(|at| root.join(at));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("emulated-card-{:016x}", digest(&folders)));
    let driver = folder.join("libcuda.so.1");
    if driver.exists() {
        return Some(driver);
    }
    std::fs::create_dir_all(&folder).unwrap();
    // Another test program may be making the same.
    let made = folder.join(format!("{}.so", std::process::id()));
    let compilers = ["c++", "g++", "clang++"];
    for compiler in compilers {
        let output = Command::new(compiler)
            .args(["-std=c++17", "-O3", "-march=native", "-shared", "-fPIC"])
            .args([
                "-Wall",
                "-Werror",
                "-Wno-unknown-pragmas",
                "-Wno-unused-function",
            ])
            .args(
                folders
                    .iter()
                    .flat_map(|folder| [OsStr::new("-I"), folder.as_os_str()]),
            )
            .args(["fibers.cpp", "driver.cpp"].map(|file| folders[0].join(file)))
            .arg("-o")
            .arg(&made)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                std::fs::rename(&made, &driver).unwrap();
                return Some(driver);
            }
            Ok(output) => panic!("{compiler}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => {}
        }
    }
    eprintln!("skipped: the emulated card needs a C++ compiler, one of {compilers:?}");
    None
}

/// Of the sources in some folders.
fn digest(folders: &[PathBuf]) -> u64 {
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files.iter().filter(|file| file.is_file()) {
        file.file_name().hash(&mut hasher);
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}

/// What an emulated driver counts.
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    Launches,
    Allocations,
    CopiesIn,
    CopiesOut,
    BytesIn,
    Graphs,
    InGraphs,
    /// The most memory in use since it was limited.
    PeakBytes,
}

/// Set, it lets the tests that can use the first card of this machine instead.
const REAL: &str = "EXPERTGRID_TEST_CARD";

/// A card for one test: a real one where that was asked for, else an emulated one.
///
/// `None`, with a message, where there is no compiler for the emulated driver.
pub fn any_card() -> Option<(Cards, MutexGuard<'static, ()>)> {
    match std::env::var_os(REAL) {
        Some(_) => {
            let alone = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
            Some((Cards::find().expect("a driver"), alone))
        }
        None => {
            let EmulatedCard { driver, alone } = EmulatedCard::new()?;
            Some((Cards::of_driver(driver).unwrap(), alone))
        }
    }
}

/// An emulated card for one test.
pub struct EmulatedCard {
    driver: &'static OsStr,
    alone: MutexGuard<'static, ()>,
}

impl EmulatedCard {
    /// `None`, with a message, where there is no compiler.
    pub fn new() -> Option<Self> {
        let alone = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        DRIVER.as_deref().map(|driver| Self {
            driver: driver.as_os_str(),
            alone,
        })
    }

    /// The folder for LD_LIBRARY_PATH of another process.
    pub fn folder(&self) -> &Path {
        Path::new(self.driver).parent().unwrap()
    }

    /// How often something was done on it.
    pub fn count(&self, what: Counted) -> u64 {
        let library = self.library();
        // SAFETY: the type is that of the emulated driver's source.
        unsafe {
            let count: Symbol<unsafe extern "C" fn(i32) -> u64> =
                library.get("emulated_count").unwrap();
            count(what as i32)
        }
    }

    /// Limits its memory to so many bytes.
    pub fn limit_memory(&self, bytes: usize) {
        let library = self.library();
        // SAFETY: as above.
        unsafe {
            let limit: Symbol<unsafe extern "C" fn(usize)> =
                library.get("emulated_memory").unwrap();
            limit(bytes);
        }
    }

    /// Lets every call fail after so many launches; a negative number lets none fail.
    pub fn fail_after(&self, launches: i64) {
        let library = self.library();
        // SAFETY: as above.
        unsafe {
            let fail: Symbol<unsafe extern "C" fn(i64)> =
                library.get("emulated_fail_after").unwrap();
            fail(launches);
        }
    }

    /// The driver as a library, once more.
    fn library(&self) -> Library {
        // SAFETY: it is loaded already.
        unsafe { Library::new(self.driver) }.unwrap()
    }

    /// Its driver.
    pub fn cards(&self) -> Cards {
        Cards::of_driver(self.driver).unwrap()
    }

    /// The engine on it.
    pub fn engine(&self) -> Cuda {
        engine(&self.cards())
    }
}

/// The engine on the first of some cards.
pub fn engine(cards: &Cards) -> Cuda {
    Cuda::new(cards.open(0).unwrap(), Precision::F32)
}
