//! Feeds a parser its inputs and watches time, memory and panics.
//!
//! The rule: an input is a function of its kind and number alone, so that a number is all there
//! is to report. It is noted before the input is parsed, in a file that outlives the program.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use expertgrid::seed::Seed;
use rand_chacha::ChaCha8Rng;

use crate::memory;

/// How many inputs a parser gets; a million take minutes.
const INPUTS: &str = "EXPERTGRID_FUZZ_INPUTS";
/// The number of one input, to parse it alone.
const INPUT: &str = "EXPERTGRID_FUZZ_INPUT";
/// An input that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A parser, and what it is fed.
pub trait Kind: Copy + Send + 'static {
    /// What it is fed.
    type Input;
    /// What it makes of it.
    type Output;

    /// Its name in reports.
    const NAME: &'static str;

    /// An input.
    fn input(self, rng: &mut ChaCha8Rng) -> Self::Input;

    /// The input as it is kept for the one who looks into it.
    fn shown(input: &Self::Input) -> Vec<u8>;

    /// Parses it; what this holds in memory is measured.
    fn parse(input: &Self::Input) -> Option<Self::Output>;

    /// Checks that what was accepted is sound.
    fn check(input: &Self::Input, output: Self::Output);

    /// The most bytes that parsing may hold.
    fn bound(input: &Self::Input) -> usize;
}

/// What became of all inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many there were.
    pub inputs: u64,
    /// How many were accepted.
    pub accepted: u64,
    /// The most memory, in bytes.
    pub most: usize,
    /// The most memory as a share of what was allowed.
    pub share: f64,
    /// The longest that one took, and its number.
    pub longest: (Duration, u64),
}

fn input<K: Kind>(kind: K, number: u64) -> K::Input {
    let seed = Seed::new(0).fork("fuzz").fork(K::NAME).at(number);
    kind.input(&mut seed.rng())
}

fn file<K: Kind>(what: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}.{what}", K::NAME))
}

fn keep<K: Kind>(kind: K, number: u64) -> String {
    let path = file::<K>(&number.to_string());
    let kept = fs::write(&path, K::shown(&input(kind, number)));
    let place = kept.map_or_else(|e| e.to_string(), |()| path.display().to_string());
    format!(
        "{} input {number} ({place}; {INPUT}={number} repeats it)",
        K::NAME
    )
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")),
    )
}

/// Feeds the parser as many inputs as the environment asks for, `few` where it does not.
pub fn feed<K: Kind>(kind: K, few: u64) -> Tally {
    let numbers = match setting(INPUT) {
        Some(number) => number..number + 1,
        None => 0..setting(INPUTS).unwrap_or(few),
    };
    let watch = Watch::over(kind);
    let mut note = File::create(file::<K>("last")).expect("the folder for tests can be written");
    let mut tally = Tally::default();
    for number in numbers {
        // A stack that overflows cannot be caught: the file says what was being parsed.
        note.seek(SeekFrom::Start(0))
            .expect("a file can be rewound");
        writeln!(note, "{number}").expect("the file can be written");
        watch.begin(number);
        let start = Instant::now();
        let one = panic::catch_unwind(AssertUnwindSafe(|| feed_one(kind, number)));
        let Ok((accepted, most, bound)) = one else {
            panic!("a panic at {}", keep(kind, number));
        };
        assert!(
            most <= bound,
            "{most} bytes were held, {bound} are allowed at {}",
            keep(kind, number)
        );
        tally.inputs += 1;
        tally.accepted += u64::from(accepted);
        tally.most = tally.most.max(most);
        tally.share = tally.share.max(most as f64 / bound as f64);
        tally.longest = tally.longest.max((start.elapsed(), number));
    }
    let Tally {
        inputs,
        accepted,
        most,
        share,
        longest,
    } = tally;
    println!(
        "{}: {accepted} of {inputs} accepted, {} refused; at most {most} bytes held, {:.0} % of \
         what is allowed; {} ms at the longest, for input {}",
        K::NAME,
        inputs - accepted,
        100.0 * share,
        longest.0.as_millis(),
        longest.1,
    );
    tally
}

fn feed_one<K: Kind>(kind: K, number: u64) -> (bool, usize, usize) {
    let input = input(kind, number);
    let (output, most) = memory::most(|| K::parse(&input));
    let accepted = output.is_some();
    if let Some(output) = output {
        K::check(&input, output);
    }
    (accepted, most, K::bound(&input))
}

/// A thread that ends the program when one input takes too long.
struct Watch {
    /// The number of the input, and how many have begun.
    now: Arc<[AtomicU64; 2]>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn over<K: Kind>(kind: K) -> Self {
        let now = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let over = Arc::new(AtomicBool::new(false));
        let watch = Self {
            now: now.clone(),
            over: over.clone(),
        };
        thread::spawn(move || {
            let mut begun = 0;
            let mut since = Instant::now();
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(200));
                let latest = now[1].load(Ordering::Acquire);
                if latest != begun {
                    (begun, since) = (latest, Instant::now());
                } else if begun > 0 && since.elapsed() > PATIENCE {
                    let number = now[0].load(Ordering::Acquire);
                    // A test's output is captured, and lost where the program aborts.
                    let mut out = std::io::stderr().lock();
                    let _ = writeln!(out, "a hang at {}", keep(kind, number));
                    process::abort();
                }
            }
        });
        watch
    }

    fn begin(&self, number: u64) {
        self.now[0].store(number, Ordering::Release);
        self.now[1].fetch_add(1, Ordering::Release);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
