//! The program: everything is in the library.

use expertgrid::engine::lanes::memory::KeepPages;

#[global_allocator]
static MEMORY: KeepPages = KeepPages::new();

fn main() -> std::process::ExitCode {
    expertgrid::cli::main()
}
