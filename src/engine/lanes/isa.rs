//! Which instruction set runs, decided once at run time: one binary serves every machine.
//! [`Kernels`] is the only door, and it opens for supported instruction sets alone.

use super::threads::Threads;
use std::fmt;

/// An instruction set the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// x86-64 with AVX-512 F, VL, DQ and BW: sixteen lanes to a register.
    Avx512,
    /// x86-64 with AVX2 and FMA: eight lanes.
    Avx2,
    /// AArch64: four lanes.
    Neon,
    /// Anything else. Its multiply-adds round twice, so its last bits differ from the others'.
    Portable,
}

impl Isa {
    /// The fastest instruction set of this machine.
    #[must_use]
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// What this machine can run, fastest first; never empty.
    #[must_use]
    pub fn available() -> Vec<Self> {
        [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable]
            .into_iter()
            .filter(|isa| isa.supported())
            .collect()
    }

    /// Whether this machine can run it.
    #[must_use]
    pub fn supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && Self::Avx2.supported()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
            _ => false,
        }
    }

    /// Output channels in the widest register tile: eight by three columns want 24 accumulators of 32 registers, six by
    /// two want twelve of sixteen.
    pub(super) fn widest_block(self) -> usize {
        match self {
            Self::Avx512 | Self::Neon => 8,
            Self::Avx2 => 6,
            Self::Portable => 4,
        }
    }

    /// Samples in one of its registers.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 => 8,
            Self::Neon | Self::Portable => 4,
        }
    }

    /// The name recorded beside results: on another instruction set the last bits may differ.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The instruction set asked for is not this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(
    /// What was asked for.
    pub Isa,
);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "this machine cannot run {} code; it can run {}",
            self.0,
            Isa::detect()
        )
    }
}

impl std::error::Error for Unsupported {}

/// How convolutions are computed. All give the same sums, rounded differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Whichever should be fastest for the shape.
    Cheapest,
    /// Straight sums, pixel by pixel.
    Direct,
    /// Straight sums, with input channels in lanes for the weight's gradient.
    Turned,
    /// Winograd's transform for 3x3 kernels of stride 1, else as `Direct`. Its rounding errors are larger.
    Winograd,
}

/// How kernels run: the instruction set, the threads and the convolutions' method. Every operation of this module takes one first.
///
/// Results depend on the instruction set in their last bits, and never on the number of threads.
#[derive(Clone, Debug)]
pub struct Kernels {
    // Private, because running an unsupported instruction set would be undefined behaviour.
    isa: Isa,
    threads: Threads,
    method: Method,
}

impl Kernels {
    /// The machine's fastest instruction set.
    #[must_use]
    pub fn new(threads: Threads) -> Self {
        Self {
            isa: Isa::detect(),
            threads,
            method: Method::Cheapest,
        }
    }

    /// A chosen instruction set.
    ///
    /// # Errors
    /// [`Unsupported`] when this machine lacks it.
    pub fn with_isa(isa: Isa, threads: Threads) -> Result<Self, Unsupported> {
        if isa.supported() {
            Ok(Self {
                isa,
                threads,
                method: Method::Cheapest,
            })
        } else {
            Err(Unsupported(isa))
        }
    }

    /// The same instruction set on other threads.
    pub(super) fn with_threads(&self, threads: &Threads) -> Self {
        Self {
            isa: self.isa,
            threads: threads.clone(),
            method: self.method,
        }
    }

    /// The same, computing convolutions in a chosen way: for tests and comparisons.
    #[must_use]
    pub fn with_method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// How convolutions are computed.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads in use.
    #[must_use]
    pub fn threads(&self) -> &Threads {
        &self.threads
    }
}

/// Compiles a kernel body, generic over the vector, once for each instruction set, behind one function whose
/// first argument chooses. The body must be `#[inline(always)]`, or it would be compiled without the instruction set.
///
/// The function is unsafe: the instruction set must come from [`Kernels`], and the body's own conditions hold.
macro_rules! multiversion {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        $visibility unsafe fn $name(isa: $crate::engine::lanes::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            fn avx512($($arg: $ty),*) {
                // SAFETY: the feature is on; the rest is the caller's.
                unsafe { $body::<$crate::engine::lanes::vector::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) {
                // SAFETY: the feature is on; the rest is the caller's.
                unsafe { $body::<$crate::engine::lanes::vector::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            fn neon($($arg: $ty),*) {
                // SAFETY: the feature is on; the rest is the caller's.
                unsafe { $body::<$crate::engine::lanes::vector::Neon>($($arg),*) }
            }
            // SAFETY: `Kernels` holds supported instruction sets alone; the rest is the caller's.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::engine::lanes::isa::Isa::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::engine::lanes::isa::Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::engine::lanes::isa::Isa::Neon => neon($($arg),*),
                    _ => $body::<$crate::engine::lanes::vector::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(super) use multiversion;
