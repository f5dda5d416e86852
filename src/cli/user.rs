//! `voxql user` and `voxql certificate`: what a server needs before others may reach it.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use console::Term;
use datafusion::common::{Result, exec_err};

use super::shell::Stop;
use crate::server::users::{self, Entry, Role, Secret, User};

/// A shorter password is refused.
const SHORTEST: usize = 8;

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Adds a user. The password is asked for, or read from stdin
    Add {
        #[command(flatten)]
        file: File,
        name: String,
        #[arg(long, value_enum)]
        role: Role,
        /// Make a bearer token, which is printed once, instead of a password
        #[arg(long)]
        token: bool,
    },
    /// Removes a user
    Remove {
        #[command(flatten)]
        file: File,
        name: String,
    },
    /// Lists the users and their roles
    List {
        #[command(flatten)]
        file: File,
    },
}

#[derive(Debug, Args)]
pub struct File {
    /// The file of users, as for voxql serve --users
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
}

impl File {
    fn entries(&self) -> Result<Vec<Entry>> {
        match self.users.exists() {
            true => users::read(&self.users),
            false => Ok(Vec::new()),
        }
    }
}

pub fn run(task: &Task) -> Result<(), Stop> {
    match task {
        Task::Add {
            file,
            name,
            role,
            token,
        } => Ok(add(file, name, *role, *token)?),
        Task::Remove { file, name } => Ok(remove(file, name)?),
        Task::List { file } => {
            for entry in file.entries()? {
                writeln!(std::io::stdout(), "{} {}", entry.user.name, entry.user.role)?;
            }
            Ok(())
        }
    }
}

fn add(file: &File, name: &str, role: Role, token: bool) -> Result<()> {
    let mut entries = file.entries()?;
    if entries.iter().any(|entry| entry.user.name == name) {
        return exec_err!("{name} is a user already; remove it first");
    }
    let user = User {
        name: name.to_string(),
        role,
    };
    let (secret, text) = match token {
        true => (Secret::Token, format!("{name}.{}", users::random_secret())),
        false => (Secret::Password, password(name)?),
    };
    entries.push(Entry::new(user, secret, &text)?);
    users::write(&file.users, &entries)?;
    if token {
        writeln!(std::io::stdout(), "{text}")?;
        eprintln!("This token is not shown again; clients send it as 'authorization: Bearer …'");
    }
    Ok(())
}

fn remove(file: &File, name: &str) -> Result<()> {
    let mut entries = file.entries()?;
    let before = entries.len();
    entries.retain(|entry| entry.user.name != name);
    match entries.len() == before {
        true => exec_err!("{}: there is no user {name}", file.users.display()),
        false => users::write(&file.users, &entries),
    }
}

/// Asked for twice on a terminal; else the first line of stdin.
fn password(name: &str) -> Result<String> {
    let terminal = Term::stderr();
    let password = if terminal.is_term() && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        terminal.write_str(&format!("Password of {name}: "))?;
        let password = terminal.read_secure_line()?;
        terminal.write_str("Again: ")?;
        if terminal.read_secure_line()? != password {
            return exec_err!("the two passwords differ");
        }
        password
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_string()
    };
    match password.chars().count() < SHORTEST {
        true => exec_err!("a password has at least {SHORTEST} characters"),
        false => Ok(password),
    }
}

/// `voxql certificate`
#[derive(Debug, Args)]
pub struct Certificate {
    /// Where cert.pem and key.pem are written
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// A name or address by which clients call the server; may be repeated
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: Vec<String>,
}

/// Makes a key, and a certificate signed by itself.
///
/// # Errors
/// Where there are such files already.
pub fn certificate(certificate: &Certificate) -> Result<()> {
    let Certificate { dir, host } = certificate;
    std::fs::create_dir_all(dir)?;
    let made = match rcgen::generate_simple_self_signed(host.clone()) {
        Ok(made) => made,
        Err(error) => return exec_err!("{}: {error}", host.join(", ")),
    };
    write_new(&dir.join("cert.pem"), &made.cert.pem(), 0o644)?;
    write_new(
        &dir.join("key.pem"),
        &made.signing_key.serialize_pem(),
        0o600,
    )?;
    writeln!(
        std::io::stdout(),
        "wrote {0}/cert.pem, which clients must trust, and {0}/key.pem, which stays here",
        dir.display()
    )?;
    Ok(())
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    match options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
    {
        Ok(()) => Ok(()),
        Err(error) => exec_err!("{}: {error}", path.display()),
    }
}
