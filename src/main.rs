//! The program `voxql`.

fn main() -> std::process::ExitCode {
    voxql::cli::run()
}
