//! An emulated CUDA device: the engine's kernels, compiled for this processor, behind the functions
//! of NVIDIA's driver.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use expertgrid::engine::cuda::{Cards, Cuda, Precision};

/// The driver's file; `None` where there is no compiler for it.
static DRIVER: LazyLock<Option<PathBuf>> = LazyLock::new(build);
/// Its threads are fibers of one thread, so one test at a time uses it.
static IN_USE: Mutex<()> = Mutex::new(());

fn build() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = root.join("tests/device/emulator");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-card");
    std::fs::create_dir_all(&folder).unwrap();
    // Another test program may be loading the one before.
    let made = folder.join(format!("libcuda-{}.so", std::process::id()));
    let compilers = ["c++", "g++", "clang++"];
    for compiler in compilers {
        let output = Command::new(compiler)
            .args([
                "-std=c++17",
                "-O3",
                "-march=native",
                "-shared",
                "-fPIC",
                "-Wall",
                "-Werror",
            ])
            .args(["-Wno-unknown-pragmas", "-Wno-unused-function"])
            .arg("-I")
            .arg(&sources)
            .arg("-I")
            .arg(root.join("src/engine/cuda/kernels"))
            .args(["fibers.cpp", "driver.cpp"].map(|file| sources.join(file)))
            .arg("-o")
            .arg(&made)
            .output();
        match output {
            Ok(output) if output.status.success() => return Some(made),
            Ok(output) => panic!("{compiler}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => {}
        }
    }
    eprintln!("skipped: the emulated card needs a C++ compiler, one of {compilers:?}");
    None
}

/// An emulated card for one test.
pub struct EmulatedCard {
    driver: &'static OsStr,
    _alone: MutexGuard<'static, ()>,
}

impl EmulatedCard {
    /// `None`, with a message, where there is no compiler.
    pub fn new() -> Option<Self> {
        let alone = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        DRIVER.as_deref().map(|driver| Self {
            driver: driver.as_os_str(),
            _alone: alone,
        })
    }

    /// Its driver.
    pub fn cards(&self) -> Cards {
        Cards::of_driver(self.driver).unwrap()
    }

    /// The engine on it.
    pub fn engine(&self, precision: Precision) -> Cuda {
        Cuda::new(self.cards().open(0).unwrap(), precision)
    }
}
