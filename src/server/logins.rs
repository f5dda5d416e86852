//! Who sends a request: logins that are verified slowly once, and remembered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use datafusion::common::DataFusionError;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tonic::Status;

use super::operate::Metrics;
use super::users::{Entry, Role, Secret, User, random_secret};

/// How long a login holds.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// What a failed login waits, whatever was wrong.
const PENALTY: Duration = Duration::from_secs(1);

/// Secrets that are verified at once: each takes 19 MiB and a core for some hundredths of a second.
const AT_ONCE: usize = 2;

/// A login that was verified.
struct Login {
    user: Arc<User>,
    since: Instant,
}

/// The users of a server, and who has logged in.
pub struct Logins {
    entries: Vec<Entry>,
    metrics: Arc<Metrics>,
    /// By the hash of an `authorization` header that was verified.
    sessions: Mutex<HashMap<[u8; 32], Login>>,
    verifying: Arc<Semaphore>,
    /// What the secret of a name that there is not is compared with, which takes as long.
    nobody: Entry,
}

impl Logins {
    pub fn new(entries: Vec<Entry>, metrics: Arc<Metrics>) -> Result<Self, DataFusionError> {
        let user = User {
            name: "nobody".to_string(),
            role: Role::ReadOnly,
        };
        Ok(Self {
            entries,
            metrics,
            sessions: Mutex::default(),
            verifying: Arc::new(Semaphore::new(AT_ONCE)),
            nobody: Entry::new(user, Secret::Password, &random_secret())?,
        })
    }

    /// Who sends this `authorization` header. A wrong one waits, and is logged.
    pub async fn who(self: &Arc<Self>, header: Option<&str>) -> Result<Arc<User>, Status> {
        let Some(header) = header else {
            return Err(Status::unauthenticated(
                "log in with user and password, or with a bearer token",
            ));
        };
        if let Some(user) = self.known(header) {
            return Ok(user);
        }
        let Some((name, secret, text)) = credentials(header) else {
            // A login that has ended, or none of ours.
            tokio::time::sleep(PENALTY).await;
            return Err(Status::unauthenticated(
                "the login has ended or is none; log in again",
            ));
        };
        let verified = {
            let turn = Arc::clone(&self.verifying).acquire_owned().await;
            let users = Arc::clone(self);
            let name = name.clone();
            tokio::task::spawn_blocking(move || {
                // Until the end, also when the client has gone meanwhile.
                let _turn = turn;
                users.verify(&name, secret, &text)
            })
            .await
            .unwrap_or_default()
        };
        match verified {
            Some(user) => Ok(self.remember(header, user)),
            None => {
                self.metrics.failed_logins.inc();
                tracing::warn!(user = name, "failed login");
                tokio::time::sleep(PENALTY).await;
                Err(Status::unauthenticated(
                    "user and password, or token, are wrong",
                ))
            }
        }
    }

    /// A token for a user who has logged in.
    pub fn token(&self, user: &Arc<User>) -> String {
        let token = random_secret();
        self.remember(&format!("Bearer {token}"), User::clone(user));
        token
    }

    fn verify(&self, name: &str, secret: Secret, text: &str) -> Option<User> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.user.name == name && entry.secret == secret);
        let verified = entry.unwrap_or(&self.nobody).verifies(text);
        entry.filter(|_| verified).map(|entry| entry.user.clone())
    }

    fn known(&self, header: &str) -> Option<Arc<User>> {
        let sessions = self.sessions.lock();
        let login = sessions.get(&key(header))?;
        (login.since.elapsed() < SESSION).then(|| Arc::clone(&login.user))
    }

    fn remember(&self, header: &str, user: User) -> Arc<User> {
        let user = Arc::new(user);
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, login| login.since.elapsed() < SESSION);
        let login = Login {
            user: Arc::clone(&user),
            since: Instant::now(),
        };
        sessions.insert(key(header), login);
        user
    }
}

fn key(header: &str) -> [u8; 32] {
    Sha256::digest(header.as_bytes()).into()
}

/// Name, kind and text of the secret in an `authorization` header.
fn credentials(header: &str) -> Option<(String, Secret, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let (name, _) = rest.split_once('.')?;
        return Some((name.to_string(), Secret::Token, rest.to_string()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        // Go's clients, and ADBC with them, leave the padding out.
        let bytes = BASE64_STANDARD_NO_PAD
            .decode(rest.trim_end_matches('='))
            .ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (name, password) = text.split_once(':')?;
        return Some((name.to_string(), Secret::Password, password.to_string()));
    }
    None
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn basic(name: &str, password: &str) -> String {
        format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{name}:{password}"))
        )
    }

    fn users() -> Arc<Logins> {
        let user = |name: &str, role| User {
            name: name.to_string(),
            role,
        };
        let entries = vec![
            Entry::new(user("ana", Role::ReadWrite), Secret::Password, "pass:word").unwrap(),
            Entry::new(user("bot", Role::ReadOnly), Secret::Token, "bot.1234").unwrap(),
        ];
        Arc::new(Logins::new(entries, Arc::default()).unwrap())
    }

    #[tokio::test]
    async fn logins() {
        let users = users();
        let ana = users.who(Some(&basic("ana", "pass:word"))).await.unwrap();
        assert_eq!((ana.name.as_str(), ana.role), ("ana", Role::ReadWrite));
        let unpadded = basic("ana", "pass:word").trim_end_matches('=').to_string();
        assert_eq!(users.who(Some(&unpadded)).await.unwrap(), ana);
        let token = format!("Bearer {}", users.token(&ana));
        assert_eq!(users.who(Some(&token)).await.unwrap(), ana);
        let bot = users.who(Some("Bearer bot.1234")).await.unwrap();
        assert_eq!(bot.role, Role::ReadOnly);
    }

    #[tokio::test]
    async fn wrong_logins_are_refused_slowly() {
        let users = users();
        for header in [
            basic("ana", "wrong"),
            basic("ana", ""),
            basic("nobody", "pass:word"),
            basic("bot", "bot.1234"),
            "Bearer ana.pass:word".to_string(),
            "Bearer 0123".to_string(),
            "Nonsense".to_string(),
        ] {
            let started = Instant::now();
            let error = users.who(Some(&header)).await.unwrap_err();
            assert_eq!(error.code(), tonic::Code::Unauthenticated);
            assert!(started.elapsed() >= PENALTY, "{header}");
        }
        assert!(users.who(None).await.is_err());
    }
}
