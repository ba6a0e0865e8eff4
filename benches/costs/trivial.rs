//! The program with stages that compute nothing; see the feature `trivial`.

fn main() -> std::process::ExitCode {
    expertgrid::cli::main()
}
