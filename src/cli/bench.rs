//! `expertgrid bench`: how long a training step takes here, asked before a sweep is planned.

use std::{
    num::NonZeroUsize,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;

use super::{Compute, Done, Failure, output::print};
use crate::{
    engine::{AnyEngine, Engine},
    exec::DeviceName,
    train::{Probe, StepShape},
};

/// Where the user names no number of steps: the fewest that a median is taken of, and for how long they go on, so that a
/// neighbour's burst on the same core, some tenths of a second, does not decide.
const LEAST: usize = 10;
const LONG_ENOUGH: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid bench 8:64:16 64:192:16 --threads 2")]
pub(super) struct Arguments {
    /// Shapes: width of the network, side of its input, images in a batch.
    #[arg(value_name = "WIDTH:SIZE:BATCH", default_values = ["8:64:16", "32:96:16"])]
    shapes: Vec<StepShape>,
    /// Threads of one step.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Steps to take the median of, after one to warm up [default: as many as two seconds hold, at least 10].
    #[arg(long)]
    steps: Option<NonZeroUsize>,
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
    width: usize,
    size: usize,
    batch: usize,
    threads: usize,
    engine: String,
    step_ms: f64,
    peak_memory_mib: Option<f64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let mut rows = Vec::new();
    for shape in &arguments.shapes {
        let row = measure(*shape, arguments)?;
        if !arguments.json {
            if rows.is_empty() {
                print(
                    "width  size  batch  threads  engine               step (ms)  peak memory (MiB)",
                );
            }
            print(format_args!(
                "{:>5} {:>5} {:>6} {:>8}  {:<18} {:>11.2} {:>18}",
                row.width,
                row.size,
                row.batch,
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

fn measure(shape: StepShape, arguments: &Arguments) -> Result<Measured, Failure> {
    forget_peak_memory();
    let (engine, name) = arguments
        .compute
        .open(DeviceName::Cpu, arguments.threads)
        .map_err(Failure::Input)?;
    let step_ms = match &engine {
        AnyEngine::Stock(engine) => median_step_ms(engine, shape, arguments.steps),
        AnyEngine::Lanes(engine) => median_step_ms(engine, shape, arguments.steps),
    };
    Ok(Measured {
        width: shape.width,
        size: shape.size,
        batch: shape.batch,
        threads: arguments.threads.get(),
        engine: name,
        step_ms: step_ms.map_err(|error| Failure::Work(error.to_string()))?,
        peak_memory_mib: peak_memory_mib(),
    })
}

fn median_step_ms<E: Engine>(
    engine: &E,
    shape: StepShape,
    steps: Option<NonZeroUsize>,
) -> candle_core::Result<f64> {
    let (least, long_enough) = steps.map_or((LEAST, LONG_ENOUGH), |n| (n.get(), Duration::ZERO));
    let mut probe = Probe::new(engine, shape)?;
    probe.step()?;
    let mut times = Vec::new();
    let begun = Instant::now();
    while times.len() < least || begun.elapsed() < long_enough {
        let started = Instant::now();
        probe.step()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The most memory this process has held, where the system says.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Lets the peak count from here, so that a shape does not inherit that of the one before.
fn forget_peak_memory() {
    // Linux's way; where there is none, the figure is the peak so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
