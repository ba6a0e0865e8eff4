//! How kernels run. One binary holds every kernel for every instruction set and chooses at run
//! time.
//!
//! [`Kernels`] holds supported instruction sets only. Kernels take their instruction set from it.

use super::{
    isa::{Isa, Unsupported},
    threads::Threads,
};

/// How convolutions are computed. All give the same sums, rounded differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvMethod {
    /// Whichever should be fastest for the shape.
    Cheapest,
    /// Straight sums, pixel by pixel.
    Direct,
    /// Straight sums, with input channels in lanes for the weight's gradient.
    Turned,
    /// Winograd's transform for 3x3 kernels of stride 1, else as `Direct`. Its rounding errors are
    /// larger.
    Winograd,
}

/// How kernels run: the instruction set, the threads and the convolutions' method. Every operation
/// takes it as its first argument.
///
/// Results depend neither on the instruction set nor on the number of threads. They depend on the
/// method in their last bits.
#[derive(Clone, Debug)]
pub struct Kernels {
    // Private, because running an unsupported instruction set would be undefined behaviour.
    isa: Isa,
    threads: Threads,
    method: ConvMethod,
}

impl Kernels {
    /// The machine's fastest instruction set.
    #[must_use]
    pub fn new(threads: Threads) -> Self {
        Self {
            isa: Isa::detect(),
            threads,
            method: ConvMethod::Cheapest,
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
                method: ConvMethod::Cheapest,
            })
        } else {
            Err(Unsupported(isa))
        }
    }

    /// The same instruction set on other threads.
    pub(in crate::engine::lanes) fn with_threads(&self, threads: &Threads) -> Self {
        Self {
            isa: self.isa,
            threads: threads.clone(),
            method: self.method,
        }
    }

    /// The same, computing convolutions in a chosen way: for tests and comparisons.
    #[must_use]
    pub fn with_method(self, method: ConvMethod) -> Self {
        Self { method, ..self }
    }

    /// How convolutions are computed.
    #[must_use]
    pub fn method(&self) -> ConvMethod {
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

/// Compiles a kernel body, generic over the vector, once for each instruction set. The function it
/// makes takes the instruction set as its first argument. The body must be `#[inline(always)]`:
/// otherwise it would be compiled without the instruction set.
///
/// The function is unsafe: the instruction set must come from [`Kernels`], and the body's own
/// conditions must hold.
macro_rules! multiversion {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?)
    ) => {
        $(#[$meta])*
        $visibility unsafe fn $name(isa: $crate::engine::lanes::machine::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            fn avx512($($arg: $ty),*) {
                // SAFETY: the feature is on; the rest is the caller's.
                unsafe { $body::<$crate::engine::lanes::machine::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) {
                // SAFETY: the feature is on; the rest is the caller's.
                unsafe { $body::<$crate::engine::lanes::machine::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            fn neon($($arg: $ty),*) {
                // SAFETY: the feature is on; the rest is the caller's.
                unsafe { $body::<$crate::engine::lanes::machine::Neon>($($arg),*) }
            }
            // SAFETY: `Kernels` holds only supported instruction sets; the rest is the caller's.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::engine::lanes::machine::Isa::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::engine::lanes::machine::Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::engine::lanes::machine::Isa::Neon => neon($($arg),*),
                    _ => $body::<$crate::engine::lanes::machine::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(in crate::engine::lanes) use multiversion;
