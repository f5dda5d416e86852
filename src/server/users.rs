//! The file of users, with hashed secrets.
//!
//! ```text
//! # name  role  how  hash
//! ana read-write password $argon2id$v=19$…
//! cluster read-only token $argon2id$v=19$…
//! ```

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use argon2::Argon2;
use argon2::password_hash::phc::{PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use datafusion::common::{DataFusionError, exec_err};
use tonic::Status;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    ReadOnly,
    ReadWrite,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        })
    }
}

/// How a user proves to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// Name and password.
    Password,
    /// `Bearer NAME.SECRET`.
    Token,
}

/// One who sends requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub role: Role,
}

impl User {
    pub fn may_write(&self) -> Result<(), Status> {
        match self.role {
            Role::ReadWrite => Ok(()),
            Role::ReadOnly => Err(Status::permission_denied(format!(
                "{} may only read",
                self.name
            ))),
        }
    }
}

/// One line of the file.
#[derive(Debug, Clone)]
pub struct Entry {
    pub user: User,
    pub secret: Secret,
    hash: String,
}

impl Entry {
    /// Hashes `secret` with a salt of its own.
    ///
    /// # Errors
    /// For names that do not fit into the file or a login.
    pub fn new(user: User, secret: Secret, text: &str) -> Result<Self, DataFusionError> {
        let allowed = |c: char| c.is_alphanumeric() || "_-@".contains(c);
        if user.name.is_empty() || !user.name.chars().all(allowed) {
            return exec_err!(
                "{:?} is no name of a user: letters, digits, _, - and @ are",
                user.name
            );
        }
        match Argon2::default().hash_password(text.as_bytes()) {
            Ok(hash) => Ok(Self {
                user,
                secret,
                hash: hash.to_string(),
            }),
            Err(error) => exec_err!("the secret of {} cannot be hashed: {error}", user.name),
        }
    }

    pub fn verifies(&self, text: &str) -> bool {
        verify(&self.hash, text)
    }
}

fn verify(hash: &str, text: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(text.as_bytes(), &hash)
            .is_ok()
    })
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, secret, hash } = self;
        let secret = match secret {
            Secret::Password => "password",
            Secret::Token => "token",
        };
        write!(f, "{} {} {secret} {hash}", user.name, user.role)
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [name, role, secret, hash] = parts.as_slice() else {
            return Err("a user is a name, a role, how and a hash".to_string());
        };
        let role = match *role {
            "read-only" => Role::ReadOnly,
            "read-write" => Role::ReadWrite,
            other => {
                return Err(format!(
                    "'{other}' is no role; there are read-only and read-write"
                ));
            }
        };
        let secret = match *secret {
            "password" => Secret::Password,
            "token" => Secret::Token,
            other => return Err(format!("'{other}' is neither password nor token")),
        };
        if PasswordHash::new(hash).is_err() {
            return Err("the hash is damaged".to_string());
        }
        Ok(Self {
            user: User {
                name: name.to_string(),
                role,
            },
            secret,
            hash: hash.to_string(),
        })
    }
}

/// Reads a file of users.
///
/// # Errors
/// Name the file and the line, and never a secret.
pub fn read(path: &Path) -> Result<Vec<Entry>, DataFusionError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return exec_err!("{}: {error}", path.display()),
    };
    let mut entries: Vec<Entry> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse::<Entry>() {
            Ok(entry) if entries.iter().any(|e| e.user.name == entry.user.name) => {
                return exec_err!(
                    "{}:{}: {} is there twice",
                    path.display(),
                    i + 1,
                    entry.user.name
                );
            }
            Ok(entry) => entries.push(entry),
            Err(error) => return exec_err!("{}:{}: {error}", path.display(), i + 1),
        }
    }
    Ok(entries)
}

/// Writes a file of users, which only its owner may read, with one rename.
pub fn write(path: &Path, entries: &[Entry]) -> Result<(), DataFusionError> {
    use std::io::Write;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Such files are made for their owner only.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(
        file,
        "# Users of voxql serve: name, role, how they log in, hash of the secret"
    )?;
    for entry in entries {
        writeln!(file, "{entry}")?;
    }
    file.as_file().sync_all()?;
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(error) => exec_err!("{}: {}", path.display(), error.error),
    }
}

/// 256 random bits, as text.
pub fn random_secret() -> String {
    let halves = [Salt::generate(), Salt::generate()];
    let bytes = halves.iter().flat_map(|half| half.as_ref().to_vec());
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: Role) -> User {
        let name = name.to_string();
        User { name, role }
    }

    #[test]
    fn files_come_back_and_say_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let entries = [
            Entry::new(user("ana", Role::ReadWrite), Secret::Password, "pass:word").unwrap(),
            Entry::new(user("bot", Role::ReadOnly), Secret::Token, "bot.1234").unwrap(),
        ];
        write(&path, &entries).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("pass:word") && !text.contains("1234"),
            "{text}"
        );
        let entries = read(&path).unwrap();
        assert!(entries[0].verifies("pass:word") && !entries[0].verifies("pass:wor"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0);
        }
        for (line, said) in [
            ("ana read-write password", "a user is"),
            ("ana admin password $argon2id$", "no role"),
            ("ana read-only password 1234", "damaged"),
        ] {
            std::fs::write(&path, format!("# users\n{line}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains("users:2: ") && error.contains(said),
                "{error}"
            );
            assert!(!error.contains("1234"), "{error}");
        }
        std::fs::write(&path, format!("{text}{text}")).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("twice"));
    }
}
