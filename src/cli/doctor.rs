//! `expertgrid doctor`: what this machine has, and whether its cards compute as they should.

use std::path::PathBuf;

use anyhow::Error;
use clap::Args;

use super::{
    Done, Failure,
    output::{print, size},
};
use crate::{
    card_check::{check_layers, distance_over_a_network, tolerance},
    engine::{
        cuda::{Cards, Precision},
        lanes::Isa,
        plain,
    },
    exec::{DeviceName, cores},
    store::Store,
    train::StepShape,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid doctor
  expertgrid doctor --device cuda:0 --shape 64:192:16")]
pub(super) struct Arguments {
    /// A card to check against the processor, like `cuda:0`.
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceName>,
    /// The network whose layers are checked: width, side of its input, images in a batch.
    #[arg(long, default_value = "8:64:16", value_name = "WIDTH:SIZE:BATCH")]
    shape: StepShape,
    /// Precision of convolutions on the card: `f32` or `tf32`.
    #[arg(long, default_value = "f32", value_name = "PRECISION")]
    precision: Precision,
    /// The results folder whose disk is looked at.
    #[arg(short, long, default_value = "results", value_name = "DIR")]
    results: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    print(format!("expertgrid {}", env!("CARGO_PKG_VERSION")));
    print(format!("processor: {}", processor()));
    print(format!(
        "instruction set: {} (of {})",
        Isa::detect(),
        sets()
    ));
    if let Some((available, total)) = memory() {
        let (available, total) = (size(available), size(total));
        print(format!("memory: {available} of {total} are free"));
    }
    match Store::within(&arguments.results).free_bytes() {
        Some(free) => print(format!(
            "disk of {}: {} are free",
            arguments.results.display(),
            size(free)
        )),
        None => print(format!(
            "disk of {}: not known",
            arguments.results.display()
        )),
    }
    let cards = Cards::find();
    match &cards {
        Ok(cards) => list(cards),
        Err(why) => print(format!("cards: none, since {why}")),
    }
    match arguments.device {
        None => Ok(Done::Whole),
        Some(DeviceName::Cpu) => Err(Failure::refused(
            "`--device cpu` is what cards are compared with; name a card, like `cuda:0`",
        )),
        Some(DeviceName::Cuda(number)) => check(number, arguments),
    }
}

/// The model of the processor, and the cores that this process may use.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model);
    match cores() {
        1 => format!("{model}, 1 core"),
        cores => format!("{model}, {cores} cores"),
    }
}

fn sets() -> String {
    let sets = Isa::available().into_iter().map(|isa| isa.to_string());
    sets.collect::<Vec<_>>().join(", ")
}

/// Free and all bytes of memory, where the system tells.
fn memory() -> Option<(u64, u64)> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        let kib = line.trim().trim_end_matches("kB").trim();
        Some(kib.parse::<u64>().ok()? * 1024)
    };
    Some((field("MemAvailable:")?, field("MemTotal:")?))
}

fn list(cards: &Cards) {
    match cards.driver_version() {
        Ok((major, minor)) => print(format!("NVIDIA's driver: CUDA {major}.{minor}")),
        Err(why) => print(format!("NVIDIA's driver: {why}")),
    }
    if cards.count() == 0 {
        print("cards: none");
    }
    for number in 0..cards.count() {
        print(match (cards.card(number), cards.memory(number)) {
            (Ok(card), Ok((free, total))) => {
                let (major, minor) = card.capability;
                format!(
                    "cuda:{number}: {}, compute capability {major}.{minor}, {} multiprocessors, \
                     {} of {} are free",
                    card.name,
                    card.multiprocessors,
                    size(free as u64),
                    size(total as u64)
                )
            }
            (Err(why), _) | (_, Err(why)) => format!("cuda:{number}: {why}"),
        });
    }
}

/// Compares a card with the processor.
fn check(number: usize, arguments: &Arguments) -> Result<Done, Failure> {
    let work = |error: candle_core::Error| Failure::Work(Error::msg(plain(&error)));
    let cuda = DeviceName::engine(number, arguments.precision).map_err(Failure::input)?;
    let tolerance = tolerance(arguments.precision);
    let mut wrong = 0;
    let mut verdict = |off: f64| match off < tolerance {
        true => "ok",
        false => {
            wrong += 1;
            "WRONG"
        }
    };
    let StepShape { width, size, batch } = arguments.shape;
    print(format!(
        "cuda:{number} against the processor, {} ({} of the largest number may differ)",
        arguments.precision, tolerance
    ));
    let off = distance_over_a_network(&cuda).map_err(work)?;
    print(format!(
        "{:<44} {off:>9.1e}  {}",
        "a network of width 4",
        verdict(off)
    ));
    print(format!(
        "layers of {width}:{size}:{batch}, each with its gradients"
    ));
    check_layers(&cuda, arguments.shape, &mut |layer| {
        let (name, off, ms) = (layer.layer.name(), layer.off, layer.ms);
        print(format!(
            "{name:<44} {off:>9.1e}  {:<5} {ms:>9.3} ms",
            verdict(off)
        ));
    })
    .map_err(work)?;
    match wrong {
        0 => {
            print(format!("cuda:{number} computes as the processor does"));
            Ok(Done::Whole)
        }
        _ => Err(Failure::Work(Error::msg(format!(
            "cuda:{number} computes other numbers than the processor in {wrong} of the checks \
             above; take `--device cpu`, and report this list"
        )))),
    }
}
