//! `expertgrid bench`: the time of a training step on this machine.

use std::{
    num::NonZeroUsize,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::Error;
use clap::Args;
use serde::Serialize;

use super::{Compute, Done, Failure, at_least_one, output::print};
use crate::{
    data::Expert,
    engine::{AnyEngine, plain},
    exec::DeviceName,
    method::Method,
    train::{Probe, StepShape, Trains},
};

/// The fewest steps of a median, without `--steps`.
const LEAST: usize = 10;
/// The shortest time that steps are repeated, without `--steps`: bursts of other load on a core
/// last some tenths of a second.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid bench 8:64:16 64:192:16 --threads 2
  expertgrid bench 64:192:16 --device cuda:0")]
pub(super) struct Arguments {
    /// Shapes: width of the network, side of its input, images in a batch.
    #[arg(value_name = "WIDTH:SIZE:BATCH", default_values = ["8:64:16", "32:96:16"])]
    shapes: Vec<StepShape>,
    /// The method of pretraining: the name of a built-in one.
    #[arg(long, default_value = "customised", value_name = "NAME")]
    method: String,
    /// The experts on whose masks it is trained.
    #[arg(long, default_value = "1", value_name = "COUNT",
        value_parser = clap::value_parser!(Expert).range(1..=16))]
    experts: Expert,
    /// Threads per step.
    #[arg(long, default_value = "1", value_parser = at_least_one)]
    threads: NonZeroUsize,
    /// Steps to take the median of, after one to warm up [default: as many as fit into two
    /// seconds, at least 10].
    #[arg(long, value_parser = at_least_one)]
    steps: Option<NonZeroUsize>,
    /// `cpu`, or a CUDA device like `cuda:0`.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceName,
    #[command(flatten)]
    compute: Compute,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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
                        "the width is a multiple of 4, the size a multiple of 32, the \
                                batch at least 1"
                            .into(),
                    );
                }
                Ok(Self { width, size, batch })
            }
            _ => Err("write WIDTH:SIZE:BATCH, for example 8:64:16".into()),
        }
    }
}

#[derive(Serialize)]
struct StepTime {
    width: usize,
    size: usize,
    batch: usize,
    method: String,
    experts: Expert,
    threads: usize,
    /// `cpu`, or a card's name and compute capability.
    device: String,
    engine: String,
    step_ms: f64,
    peak_memory_mib: Option<f64>,
    /// Of a card's own memory: the most that was in use after a step, by this process and others.
    device_memory_mib: Option<f64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let mut rows = Vec::new();
    for shape in &arguments.shapes {
        let row = measure(*shape, arguments)?;
        if !arguments.json {
            if rows.is_empty() {
                print(heading(&row));
            }
            print(line(&row));
        }
        rows.push(row);
    }
    if arguments.json {
        print(serde_json::to_string_pretty(&rows).expect("rows are plain data"));
    }
    Ok(Done::Whole)
}

/// The head of the table. A card is named above it, and its memory has a column of its own.
fn heading(row: &StepTime) -> String {
    let mut columns =
        "width  size  batch  threads  engine               step (ms)  peak memory (MiB)".to_owned();
    if row.method != "customised" || row.experts > 1 {
        let StepTime {
            method, experts, ..
        } = row;
        columns = format!("pretraining by {method}, on the masks of {experts}\n{columns}");
    }
    match row.device.as_str() {
        "cpu" => columns,
        card => format!("{card}\n{columns}  device memory (MiB)"),
    }
}

fn line(row: &StepTime) -> String {
    let mib = |mib: Option<f64>| mib.map_or("unknown".to_owned(), |mib| format!("{mib:.0}"));
    let line = format!(
        "{:>5} {:>5} {:>6} {:>8}  {:<18} {:>11.2} {:>18}",
        row.width,
        row.size,
        row.batch,
        row.threads,
        row.engine,
        row.step_ms,
        mib(row.peak_memory_mib),
    );
    match row.device.as_str() {
        "cpu" => line,
        _ => format!("{line} {:>20}", mib(row.device_memory_mib)),
    }
}

fn measure(shape: StepShape, arguments: &Arguments) -> Result<StepTime, Failure> {
    forget_peak_memory();
    let method = Method::named(&arguments.method).map_err(Failure::refused)?;
    if !method.is_pretrained() {
        return Err(Failure::refused(format!(
            "method \"{}\" pretrains nothing; its step is that of `--method customised` on the \
             masks of one expert",
            arguments.method
        )));
    }
    let of = (&method, arguments.experts);
    let Arguments {
        threads,
        device,
        compute,
        steps,
        ..
    } = arguments;
    let engine = compute.open(*device, *threads).map_err(Failure::Input)?;
    let identity = device.identity().map_err(Failure::input)?;
    let mut device_memory = None;
    let mut look = || device_memory = device_memory.max(device.memory_in_use());
    let step_ms = match &engine {
        AnyEngine::Stock(engine) => median_step_ms(engine, shape, of, *steps, &mut look),
        AnyEngine::Lanes(engine) => median_step_ms(engine, shape, of, *steps, &mut look),
        AnyEngine::Cuda(engine) => median_step_ms(&**engine, shape, of, *steps, &mut look),
    };
    let step_ms = step_ms.map_err(|error| {
        let StepShape { width, size, batch } = shape;
        let step = format!("timing a step of {width}:{size}:{batch}");
        Failure::Work(Error::msg(plain(&error)).context(step))
    })?;
    Ok(StepTime {
        width: shape.width,
        size: shape.size,
        batch: shape.batch,
        method: arguments.method.clone(),
        experts: arguments.experts,
        threads: threads.get(),
        device: identity,
        engine: match &engine {
            AnyEngine::Stock(_) | AnyEngine::Cuda(_) => engine.name().to_owned(),
            AnyEngine::Lanes(lanes) => format!("{}, {}", engine.name(), lanes.isa()),
        },
        step_ms,
        peak_memory_mib: peak_memory_mib(),
        device_memory_mib: device_memory.map(|bytes| bytes as f64 / f64::from(1 << 20)),
    })
}

fn median_step_ms<E: Trains>(
    engine: &E,
    shape: StepShape,
    (method, experts): (&Method, Expert),
    steps: Option<NonZeroUsize>,
    after_each: &mut dyn FnMut(),
) -> candle_core::Result<f64> {
    let (least, long_enough) = steps.map_or((LEAST, LONG_ENOUGH), |n| (n.get(), Duration::ZERO));
    let probe = Probe::new(engine, shape, method, experts)?;
    let mut steps_of = probe.begin()?;
    let mut step = || {
        steps_of.step()?;
        // A card works asynchronously.
        engine.device().synchronize()
    };
    step()?;
    let mut times = Vec::new();
    let begun = Instant::now();
    while times.len() < least || begun.elapsed() < long_enough {
        let started = Instant::now();
        step()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        after_each();
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The peak memory of this process; `None` where the system does not report it.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Resets the peak memory, so that every shape has its own.
fn forget_peak_memory() {
    // On Linux only; elsewhere the figure is the peak so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
