//! `expertgrid bench`: how long a training step takes here, asked before a sweep is planned.

use std::{num::NonZeroUsize, str::FromStr, time::Instant};

use clap::Args;
use serde::Serialize;

use super::{Done, EngineChoice, Failure, output::print};
use crate::{
    engine::{AnyEngine, DiceOver, Engine},
    exec::DeviceName,
    manifest::{FirstConv, NetworkSpec, Reduction, TrainingSpec},
    net::UNet,
    seed::Seed,
    train::RAdam,
};

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid bench 8:64:16 64:192:16 --threads 2")]
pub(super) struct Arguments {
    /// Shapes: width of the network, side of its input, images in a batch.
    #[arg(value_name = "WIDTH:SIZE:BATCH", default_values = ["8:64:16", "32:96:16"])]
    shapes: Vec<StepShape>,
    /// Threads of one step.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Steps to take the median of; one more goes before, to warm up.
    #[arg(long, default_value = "10")]
    steps: NonZeroUsize,
    /// What computes.
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineChoice,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct StepShape {
    width: usize,
    size: usize,
    batch: usize,
}

impl FromStr for StepShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<usize> = text
            .split(':')
            .filter_map(|part| part.parse().ok())
            .collect();
        match numbers[..] {
            [width, size, batch] if text.split(':').count() == 3 => {
                if width == 0
                    || !width.is_multiple_of(4)
                    || size == 0
                    || !size.is_multiple_of(32)
                    || batch == 0
                {
                    return Err(
                        "the width is a multiple of 4, the size of 32, the batch at least 1".into(),
                    );
                }
                Ok(Self { width, size, batch })
            }
            _ => Err("write WIDTH:SIZE:BATCH, for example 8:64:16".into()),
        }
    }
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    shape: StepShape,
    threads: usize,
    engine: String,
    step_ms: f64,
    peak_memory_mib: Option<f64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let mut rows = Vec::new();
    for shape in &arguments.shapes {
        let row = measure(*shape, arguments).map_err(|error| Failure::Work(error.to_string()))?;
        if !arguments.json {
            if rows.is_empty() {
                print(
                    "width  size  batch  threads  engine               step (ms)  peak memory (MiB)",
                );
            }
            print(format_args!(
                "{:>5} {:>5} {:>6} {:>8}  {:<18} {:>11.2} {:>18}",
                row.shape.width,
                row.shape.size,
                row.shape.batch,
                row.threads,
                row.engine,
                row.step_ms,
                row.peak_memory_mib
                    .map_or("unknown".to_owned(), |mib| format!("{mib:.0}")),
            ));
        }
        rows.push(row);
    }
    if arguments.json {
        print(serde_json::to_string_pretty(&rows).expect("rows are plain data"));
    }
    Ok(Done::Whole)
}

fn measure(shape: StepShape, arguments: &Arguments) -> candle_core::Result<Measured> {
    let (engine, name) = arguments
        .engine
        .open(DeviceName::Cpu, arguments.threads)
        .map_err(candle_core::Error::msg)?;
    let step_ms = match &engine {
        AnyEngine::Stock(engine) => median_step_ms(engine, shape, arguments.steps)?,
        AnyEngine::Lanes(engine) => median_step_ms(engine, shape, arguments.steps)?,
    };
    Ok(Measured {
        shape,
        threads: arguments.threads.get(),
        engine: name,
        step_ms,
        peak_memory_mib: peak_memory_mib(),
    })
}

/// Packing, forward pass, loss, backward pass, update: the median over `steps`.
fn median_step_ms<E: Engine>(
    engine: &E,
    shape: StepShape,
    steps: NonZeroUsize,
) -> candle_core::Result<f64> {
    let StepShape { width, size, batch } = shape;
    let spec = NetworkSpec {
        width,
        norm_eps: 1e-5,
        first_conv: FirstConv::Uniform,
    };
    let training = TrainingSpec {
        batch,
        reduction: Reduction::Image,
        smooth: 1e-7,
        lr_end: 0.0,
        lr_power: 0.9,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
    };
    let net = UNet::init(&spec, 1, &Seed::new(0), engine.device())?;
    let mut optimiser = RAdam::new(net.parameters(), &training);
    let pixels: Vec<f32> = (0..batch * size * size)
        .map(|i| (i as f32 * 0.7).sin())
        .collect();
    let target: Vec<f32> = pixels
        .iter()
        .map(|v| f32::from(u8::from(*v > 0.5)))
        .collect();
    let experts = vec![0; batch];
    let parameters: Vec<_> = net.parameters().iter().map(|p| p.var.as_tensor()).collect();
    let mut times = Vec::new();
    for _ in 0..=steps.get() {
        let started = Instant::now();
        let x = engine.pack(&pixels, [batch, size, size])?;
        let y = engine.pack(&target, [batch, size, size])?;
        let logits = net.forward(engine, &x, &experts)?;
        let loss = engine.dice_loss(&logits, &y, batch, 1e-7, DiceOver::Image)?;
        drop((x, y, logits));
        let gradients = engine.gradients(loss, 1.0, &parameters)?;
        optimiser.step(&gradients, 1e-3)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The most memory this process has held so far, where the system says.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}
