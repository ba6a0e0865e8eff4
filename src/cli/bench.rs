//! `expertgrid bench`: the time of a training step on this machine.

use std::{
    num::NonZeroUsize,
    str::FromStr,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::Error;
use clap::Args;
use serde::Serialize;

use super::{Compute, Done, Engines, Failure, at_least_one, output::print};
use crate::{
    data::Expert,
    engine::{AnyEngine, lanes::Threads, plain},
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
  expertgrid bench 64:192:16 --device cuda:0
  expertgrid bench 8:64:16 --device cuda:0 --networks 1,4,16,64")]
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
    /// Networks that are trained at once; the time is that of a step of one.
    #[arg(long, default_value = "1", value_name = "COUNTS", value_delimiter = ',',
        value_parser = at_least_one)]
    networks: Vec<NonZeroUsize>,
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
    /// Networks that were trained at once.
    networks: usize,
    threads: usize,
    /// `cpu`, or a card's name and compute capability.
    device: String,
    engine: String,
    /// Of one network: all of them did one in so many times as long.
    step_ms: f64,
    peak_memory_mib: Option<f64>,
    /// Of a card's own memory: the most that was in use after a step, by this process and others.
    device_memory_mib: Option<f64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let mut rows = Vec::new();
    let together = arguments.networks.iter().any(|networks| networks.get() > 1);
    for shape in &arguments.shapes {
        for networks in &arguments.networks {
            let row = measure(*shape, *networks, arguments)?;
            if !arguments.json {
                if rows.is_empty() {
                    print(heading(&row, together));
                }
                print(line(&row, together));
            }
            rows.push(row);
        }
    }
    if arguments.json {
        print(serde_json::to_string_pretty(&rows).expect("rows are plain data"));
    }
    Ok(Done::Whole)
}

/// The head of the table, with the number of networks where some are trained `together`. A card is
/// named above it, and its memory has a column of its own.
fn heading(row: &StepTime, together: bool) -> String {
    let networks = if together { "  networks" } else { "" };
    let mut columns = format!(
        "width  size  batch{networks}  threads  engine               step (ms)  peak memory (MiB)"
    );
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

fn line(row: &StepTime, together: bool) -> String {
    let networks = match together {
        true => format!(" {:>9}", row.networks),
        false => String::new(),
    };
    let mib = |mib: Option<f64>| mib.map_or("unknown".to_owned(), |mib| format!("{mib:.0}"));
    let line = format!(
        "{:>5} {:>5} {:>6}{networks} {:>8}  {:<18} {:>11.2} {:>18}",
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

fn measure(
    shape: StepShape,
    networks: NonZeroUsize,
    arguments: &Arguments,
) -> Result<StepTime, Failure> {
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
    let engines = Engines::new(*compute, *device, Threads::new(*threads));
    let engine = engines.open().map_err(Failure::Input)?;
    engines.never_wait();
    let identity = device.identity().map_err(Failure::input)?;
    let mut device_memory = None;
    let mut look = || device_memory = device_memory.max(device.memory_in_use());
    let step_ms = match (networks.get(), &engine) {
        (1, AnyEngine::Stock(engine)) => median_step_ms(engine, shape, of, *steps, &mut look),
        (1, AnyEngine::Lanes(engine)) => median_step_ms(engine, shape, of, *steps, &mut look),
        (1, AnyEngine::Cuda(engine)) => median_step_ms(&**engine, shape, of, *steps, &mut look),
        (count, _) => {
            let together = step_ms_together(&engines, count, shape, of, *steps, &|| {
                device.memory_in_use()
            });
            together.map(|(step_ms, memory)| {
                device_memory = memory;
                step_ms
            })
        }
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
        networks: networks.get(),
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
    let (least, long_enough) = how_long(steps);
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

/// The fewest steps, and the shortest time that they are repeated.
fn how_long(steps: Option<NonZeroUsize>) -> (usize, Duration) {
    steps.map_or((LEAST, LONG_ENOUGH), |n| (n.get(), Duration::ZERO))
}

/// The time of all steps of some networks, each in a thread of its own, over their number; and the
/// card's memory in use meanwhile.
fn step_ms_together(
    engines: &Engines,
    count: usize,
    shape: StepShape,
    (method, experts): (&Method, Expert),
    steps: Option<NonZeroUsize>,
    memory: &(dyn Fn() -> Option<usize> + Sync),
) -> candle_core::Result<(f64, Option<usize>)> {
    let together = Barrier::new(count);
    let one = || {
        let entrance = Entrance(&together);
        let engine = engines.open();
        let engine = engine.map_err(|error| candle_core::Error::msg(format!("{error:#}")))?;
        let of = (method, experts);
        match engine {
            AnyEngine::Stock(engine) => timed_steps(&engine, shape, of, steps, entrance, memory),
            AnyEngine::Lanes(engine) => timed_steps(&engine, shape, of, steps, entrance, memory),
            AnyEngine::Cuda(engine) => timed_steps(&*engine, shape, of, steps, entrance, memory),
        }
    };
    let timed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|timed| timed.expect("a step does not panic"))
            .collect()
    });
    let timed = timed.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
    let begun = timed.iter().map(|timed| timed.begun).min();
    let ended = timed.iter().map(|timed| timed.ended).max();
    let steps: usize = timed.iter().map(|timed| timed.steps).sum();
    let memory = timed.iter().filter_map(|timed| timed.memory).max();
    let took = ended
        .zip(begun)
        .map_or(Duration::ZERO, |(ended, begun)| ended - begun);
    Ok((took.as_secs_f64() * 1e3 / steps as f64, memory))
}

/// Steps of one network.
struct TimedSteps {
    begun: Instant,
    ended: Instant,
    steps: usize,
    /// Of the card's, in use after the last one.
    memory: Option<usize>,
}

/// Where threads wait for each other: all go on once the last one drops it, also by an error.
struct Entrance<'a>(&'a Barrier);

impl Drop for Entrance<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Steps that begin together with those of others, after one to warm up.
fn timed_steps<E: Trains>(
    engine: &E,
    shape: StepShape,
    (method, experts): (&Method, Expert),
    steps: Option<NonZeroUsize>,
    entrance: Entrance<'_>,
    memory: &(dyn Fn() -> Option<usize> + Sync),
) -> candle_core::Result<TimedSteps> {
    let (least, long_enough) = how_long(steps);
    let probe = Probe::new(engine, shape, method, experts)?;
    let mut steps_of = probe.begin()?;
    steps_of.step()?;
    drop(entrance);
    let begun = Instant::now();
    let mut count = 0;
    while count < least || begun.elapsed() < long_enough {
        steps_of.step()?;
        engine.device().synchronize()?;
        count += 1;
    }
    Ok(TimedSteps {
        begun,
        ended: Instant::now(),
        steps: count,
        // The first to end sees that of all.
        memory: memory(),
    })
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
