//! Memory for statements, so that no query and no user has all of it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use parking_lot::Mutex;

use super::users::User;
use crate::memory::Share;

/// What is given to each statement.
pub struct Shares {
    all: Arc<dyn MemoryPool>,
    /// Bytes of one statement; no limit where the memory of all has none.
    of_query: Option<usize>,
    /// Bytes of one user, where there are several.
    of_user: Option<usize>,
    users: Mutex<HashMap<String, Arc<dyn MemoryPool>>>,
}

impl Shares {
    /// Shares of `all`: `of_query` bytes for a statement, or half of it; three quarters for a user where
    /// there are `users`, as with turns.
    pub fn new(all: Arc<dyn MemoryPool>, of_query: Option<usize>, users: bool) -> Self {
        let limit = match all.memory_limit() {
            MemoryLimit::Finite(bytes) => Some(bytes),
            _ => None,
        };
        Self {
            of_query: of_query.or(limit.map(|bytes| bytes / 2)),
            of_user: limit.filter(|_| users).map(|bytes| bytes / 4 * 3),
            all,
            users: Mutex::default(),
        }
    }

    /// The memory of a statement of this user's.
    pub fn of(&self, user: &User) -> Arc<dyn MemoryPool> {
        let above = match self.of_user {
            None => Arc::clone(&self.all),
            Some(limit) => {
                let mut users = self.users.lock();
                let share = users.entry(user.name.clone());
                let new = || Share::of_user(limit, Arc::clone(&self.all));
                Arc::clone(share.or_insert_with(new))
            }
        };
        match self.of_query {
            Some(limit) => Share::of_query(limit, above),
            None => above,
        }
    }
}
