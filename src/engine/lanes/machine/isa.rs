//! The instruction sets kernels are compiled for, and which of them this machine has.

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
    /// Anything else. Without an instruction for multiply-adds it is many times slower.
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

    /// Output channels in the widest register tile. Eight by three columns take 24 accumulators of
    /// 32 registers, six by two take twelve of sixteen.
    pub(in crate::engine::lanes) fn widest_block(self) -> usize {
        match self {
            Self::Avx512 | Self::Neon => 8,
            Self::Avx2 => 6,
            Self::Portable => 4,
        }
    }

    /// Samples in one of its registers.
    pub(in crate::engine::lanes) fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 => 8,
            Self::Neon | Self::Portable => 4,
        }
    }

    /// Its word, as `--isa` takes it.
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

/// This machine lacks the instruction set asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine cannot run {0} code; it can run {fastest}", fastest = Isa::detect())]
pub struct Unsupported(
    /// The instruction set asked for.
    pub Isa,
);
