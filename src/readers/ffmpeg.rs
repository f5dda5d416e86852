//! `ffmpeg` and `ffprobe`, where they are on the PATH, for codings that are not decoded in the process.
//!
//! A program is started with its arguments as they are, never through a shell. Its output is
//! read as a stream: while nobody reads, the pipe is full and the program waits. Its last
//! words on stderr become the error; other lines that it was told to write there go to who
//! listens. Dropping the stream ends the program.
//!
//! Functions give `Result<_, String>`; the message says what is wrong and what to do, and
//! the caller puts the file's name before it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

/// A program of the ffmpeg suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Ffmpeg,
    Ffprobe,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Ffprobe => "ffprobe",
        })
    }
}

impl Program {
    /// Where it is: in the first directory of the PATH that has it.
    pub fn find(self) -> Option<PathBuf> {
        self.find_in(&env::var_os("PATH")?)
    }

    fn find_in(self, path: &OsStr) -> Option<PathBuf> {
        let file = format!("{self}{}", env::consts::EXE_SUFFIX);
        env::split_paths(path)
            // An empty entry means the working directory, where the data lie: nothing from there is run.
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(&file))
            .find(|path| is_executable(path))
    }

    /// Starts it with its stdout as a stream. `why` says what it is needed for, such as
    /// `its video is coded as H.265, which is not decoded in the process`; it begins the error
    /// where the program is not there.
    pub fn start<I>(self, why: &str, arguments: I) -> Result<Output, String>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let (running, stdout) = self.start_heard(why, arguments, str::len)?;
        Ok(Output::new(running, stdout))
    }

    /// The same, and `hear` is given each line of stderr, line feed included. It says how many bytes at
    /// its beginning are words of an error: all of them, unless the line is something else.
    pub fn start_heard<I>(
        self,
        why: &str,
        arguments: I,
        hear: impl FnMut(&str) -> usize + Send + 'static,
    ) -> Result<(Running, ChildStdout), String>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let path = self.find().ok_or_else(|| self.absent(why))?;
        Running::start(self, &path, arguments, hear)
    }

    /// What to say where it is needed and not on the PATH.
    pub fn absent(self, why: &str) -> String {
        format!(
            "{why}; {self} would do it and is not on the PATH: install it (`apt install ffmpeg`, \
             `brew install ffmpeg`, https://ffmpeg.org)"
        )
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// A file as an argument: with its protocol, so that neither `-x.mp4` nor `a:b.mp4` means anything else.
pub fn input(path: &Path) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push(path);
    argument
}

/// What every call begins with: no prompts, and only errors on stderr. A file is sound or film by itself:
/// a playlist (HLS, concat, a list of pictures) would have ffmpeg open other files, which the statement did not name.
pub const QUIET: [&str; 7] = [
    "-hide_banner",
    "-loglevel",
    "error",
    "-protocol_whitelist",
    "file,pipe",
    "-format_whitelist",
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,dtshd,dv,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mov,mp3,mpc,mpc8,mpeg,\
     mpegts,mpegvideo,mxf,nut,ogg,rm,tta,truehd,vc1,voc,w64,wav,webm,wv,yuv4mpegpipe",
];

/// The bytes of stderr that are kept for the error.
const TAIL: usize = 2_000;

/// A running program; dropping it ends the program.
#[derive(Debug)]
pub struct Running {
    program: Program,
    child: Child,
    /// Empties stderr all the time: a full pipe would stop the program.
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// The program that lies at `path`.
    pub fn start<I>(
        program: Program,
        path: &Path,
        arguments: I,
        hear: impl FnMut(&str) -> usize + Send + 'static,
    ) -> Result<(Self, ChildStdout), String>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let failed = |e: io::Error| format!("cannot start {}: {e}", path.display());
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(format!("cannot read what {program} writes"));
        };
        let running = Self {
            program,
            child,
            stderr: Some(thread::spawn(move || tail(stderr, hear))),
        };
        Ok((running, stdout))
    }

    /// Waits for the program, whose stdout has ended: then all of stderr has been heard. An error
    /// where it failed.
    pub fn end(&mut self) -> io::Result<()> {
        let status = self.child.wait()?;
        let said = self.stderr.take().and_then(|thread| thread.join().ok());
        if status.success() {
            return Ok(());
        }
        let said = said.unwrap_or_default();
        let said = match said.trim() {
            "" => status.to_string(),
            words => words.replace('\n', "; "),
        };
        let program = self.program;
        Err(io::Error::other(format!("{program} failed: {said}")))
    }

    pub fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running program's stdout.
///
/// The end of the stream is `Ok(0)` only where the program ended well; else reading gives
/// an error with its last words.
#[derive(Debug)]
pub struct Output {
    running: Running,
    stdout: ChildStdout,
    ended: bool,
}

impl Output {
    fn new(running: Running, stdout: ChildStdout) -> Self {
        Self {
            running,
            stdout,
            ended: false,
        }
    }

    /// All of the output as text; an error where there is more than `limit` bytes of it.
    pub fn text(mut self, limit: usize) -> Result<String, String> {
        let mut text = String::new();
        (&mut self)
            .take(limit as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|e| e.to_string())?;
        match text.len() > limit {
            true => Err(format!(
                "{} writes more than {limit} bytes about it",
                self.running.program
            )),
            false => Ok(text),
        }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.stdout.read(buffer)?;
        if count == 0 {
            self.ended = true;
            self.running.end()?;
        }
        Ok(count)
    }
}

/// Reads to the end and keeps the last lines of what `hear` leaves.
fn tail(from: impl Read, mut hear: impl FnMut(&str) -> usize) -> String {
    let mut from = BufReader::new(from);
    let mut kept = String::new();
    let mut line = Vec::new();
    // A line without an end is cut.
    while let Ok(1..) = (&mut from).take(TAIL as u64).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        kept.push_str(text.get(..hear(&text)).unwrap_or(&text));
        line.clear();
        if kept.len() > TAIL {
            let least = kept.len() - TAIL;
            let begin = match kept.as_bytes()[least..].iter().position(|b| *b == b'\n') {
                Some(end) if least + end + 1 < kept.len() => Some(least + end + 1),
                _ => (least..).find(|at| kept.is_char_boundary(*at)),
            };
            kept.drain(..begin.unwrap_or(0));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_says_what_to_do() {
        assert_eq!(Program::Ffmpeg.find_in(OsStr::new("")), None);
        let message = Program::Ffmpeg.absent("its sound is coded as Opus");
        assert!(message.starts_with("its sound is coded as Opus; ffmpeg would do it"));
        assert!(message.contains("not on the PATH"), "{message}");
    }

    #[test]
    fn a_file_is_never_an_option_or_a_protocol() {
        assert_eq!(input(Path::new("-y.mp4")), "file:-y.mp4");
        assert_eq!(input(Path::new("http://x")), "file:http://x");
    }

    #[test]
    fn the_last_lines_are_kept() {
        assert_eq!(tail(&b"short\n"[..], str::len), "short\n");
        let long: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        let kept = tail(long.as_bytes(), str::len);
        assert!(kept.len() <= TAIL && kept.starts_with("line ") && kept.ends_with("line 999\n"));
        let endless = "é".repeat(10_000);
        let kept = tail(endless.as_bytes(), str::len);
        assert!((TAIL - 4..=TAIL).contains(&kept.len()), "{}", kept.len());
    }

    #[test]
    fn what_is_heard_is_no_error() {
        let mut heard = vec![];
        // The second line came while the error was being written.
        let said = b"time 1\n[hevc] time 2\nbad slice\ntime 3\n";
        let kept = tail(&said[..], |line| match line.find("time") {
            Some(at) => {
                heard.push(line[at..].trim().to_string());
                at
            }
            None => line.len(),
        });
        assert_eq!(heard, ["time 1", "time 2", "time 3"]);
        assert_eq!(kept, "[hevc] bad slice\n");
    }

    #[cfg(unix)]
    mod programs {
        use super::*;

        /// A shell script in the place of ffmpeg.
        fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
            use std::os::unix::fs::PermissionsExt;
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("ffmpeg");
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            (directory, path)
        }

        fn start(path: &Path, arguments: &[&str]) -> Output {
            let (running, stdout) =
                Running::start(Program::Ffmpeg, path, arguments, str::len).unwrap();
            Output::new(running, stdout)
        }

        #[test]
        fn found_in_the_first_directory_that_has_it() {
            let (with, path) = script("exit 0");
            let without = tempfile::tempdir().unwrap();
            std::fs::write(without.path().join("ffmpeg"), "not executable").unwrap();
            let both = env::join_paths([without.path(), with.path()]).unwrap();
            assert_eq!(Program::Ffmpeg.find_in(&both), Some(path));
            assert_eq!(Program::Ffprobe.find_in(&both), None);
        }

        #[test]
        fn arguments_arrive_as_they_are() {
            let (_dir, path) = script(r#"printf '<%s>' "$@""#);
            let given = ["a b", "$HOME; echo", "*", "'"];
            let text = start(&path, &given).text(1000).unwrap();
            assert_eq!(text, "<a b><$HOME; echo><*><'>");
        }

        #[test]
        fn failure_is_an_error_after_what_was_written() {
            let (_dir, path) = script("echo part; echo no such codec >&2; exit 3");
            let mut output = start(&path, &[]);
            let mut part = [0; 5];
            output.read_exact(&mut part).unwrap();
            assert_eq!(&part, b"part\n");
            let error = output.read(&mut part).unwrap_err().to_string();
            assert_eq!(error, "ffmpeg failed: no such codec");
            assert_eq!(output.read(&mut part).unwrap(), 0);
        }

        #[test]
        fn much_on_stderr_does_not_stop_it() {
            let (_dir, path) = script(
                "i=0; while [ $i -lt 9000 ]; do echo noise noise >&2; i=$((i+1)); done; echo done",
            );
            assert_eq!(start(&path, &[]).text(10).unwrap(), "done\n");
        }

        #[test]
        fn text_is_limited() {
            let (_dir, path) = script("echo 12345");
            assert!(
                start(&path, &[])
                    .text(3)
                    .unwrap_err()
                    .contains("more than 3")
            );
        }

        #[test]
        fn dropping_ends_it() {
            let (_dir, path) = script("exec sleep 600");
            let output = start(&path, &[]);
            let id = output.running.child.id();
            drop(output);
            // Waited for, so the process is gone, not a zombie.
            assert!(!Path::new(&format!("/proc/{id}/stat")).exists());
        }
    }
}
