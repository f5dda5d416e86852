//! Memory within memory: what a query, or a user, may hold of that which the session has.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, human_readable_size, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// A share of memory: what is held in it is held in the share above it as well.
#[derive(Debug)]
pub struct Share {
    own: Box<dyn MemoryPool>,
    /// None above the share that is all.
    above: Option<Arc<dyn MemoryPool>>,
    limit: usize,
    /// Who may hold so much.
    whose: &'static str,
    /// What to do where it is not enough.
    remedy: &'static str,
}

impl Share {
    /// At most `limit` bytes for a session that runs one query at a time. Its operators that can spill have fair
    /// parts of that, and spill when theirs are full.
    pub fn of_session(limit: usize) -> Arc<dyn MemoryPool> {
        Arc::new(Self {
            own: Box::new(FairSpillPool::new(limit)),
            above: None,
            limit,
            whose: "a query",
            remedy: "a higher --memory-limit, fewer --threads or a smaller query may help",
        })
    }

    /// At most `limit` bytes for all queries of a session that runs many at once. Fairness to the operators of
    /// others would leave each of few queries little.
    pub fn of_server(limit: usize) -> Arc<dyn MemoryPool> {
        Arc::new(Self {
            own: Box::new(GreedyMemoryPool::new(limit)),
            above: None,
            limit,
            whose: "all queries together",
            remedy: "fewer of them at once, or a higher --memory-limit of the server, may help",
        })
    }

    /// At most `limit` bytes for one query. Its operators that can spill have fair parts of that, and spill when
    /// theirs are full.
    pub fn of_query(limit: usize, above: Arc<dyn MemoryPool>) -> Arc<dyn MemoryPool> {
        Arc::new(Self {
            own: Box::new(FairSpillPool::new(limit)),
            above: Some(above),
            limit,
            whose: "a query",
            remedy: "a higher --query-memory-limit of the server, or a smaller query, may help",
        })
    }

    /// At most `limit` bytes for all queries of a user.
    pub fn of_user(limit: usize, above: Arc<dyn MemoryPool>) -> Arc<dyn MemoryPool> {
        Arc::new(Self {
            own: Box::new(GreedyMemoryPool::new(limit)),
            above: Some(above),
            limit,
            whose: "all queries of one user",
            remedy: "fewer of them at once, or a higher --memory-limit of the server, may help",
        })
    }

    fn refused(
        &self,
        error: DataFusionError,
        reservation: &MemoryReservation,
        more: usize,
    ) -> DataFusionError {
        // Operators spill at this kind of error.
        let DataFusionError::ResourcesExhausted(_) = error else {
            return error;
        };
        resources_datafusion_err!(
            "{} needs {} more, and {} may hold {}, of which {} are taken; {}",
            reservation.consumer().name(),
            human_readable_size(more),
            self.whose,
            human_readable_size(self.limit),
            human_readable_size(self.own.reserved()),
            self.remedy
        )
    }
}

/// The memory of all, for what outlives the query that makes it.
pub fn of_all(pool: &Arc<dyn MemoryPool>) -> &Arc<dyn MemoryPool> {
    let any: &dyn Any = pool.as_ref();
    match any.downcast_ref::<Share>().and_then(|s| s.above.as_ref()) {
        Some(above) => of_all(above),
        None => pool,
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.above {
            Some(above) => write!(f, "{} of {above}", self.own),
            None => write!(f, "{}", self.own),
        }
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
        if let Some(above) = &self.above {
            above.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
        if let Some(above) = &self.above {
            above.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        if let Some(above) = &self.above {
            above.grow(reservation, additional);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        if let Some(above) = &self.above {
            above.shrink(reservation, shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let own = self.own.try_grow(reservation, additional);
        own.map_err(|error| self.refused(error, reservation, additional))?;
        let Some(above) = &self.above else {
            return Ok(());
        };
        let above = above.try_grow(reservation, additional);
        if above.is_err() {
            self.own.shrink(reservation, additional);
        }
        above
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(pool: &Arc<dyn MemoryPool>, spills: bool) -> MemoryReservation {
        MemoryConsumer::new("sort")
            .with_can_spill(spills)
            .register(pool)
    }

    #[test]
    fn a_share_counts_in_all_that_it_is_part_of() {
        let all = Share::of_server(100);
        let user = Share::of_user(75, Arc::clone(&all));
        let (one, two) = (
            Share::of_query(50, Arc::clone(&user)),
            Share::of_query(50, Arc::clone(&user)),
        );
        let first = consumer(&one, false);
        first.try_grow(50).unwrap();
        let error = first.try_grow(1).unwrap_err();
        assert!(matches!(error, DataFusionError::ResourcesExhausted(_)));
        assert!(
            error.to_string().contains("--query-memory-limit"),
            "{error}"
        );
        let second = consumer(&two, false);
        let error = second.try_grow(26).unwrap_err().to_string();
        assert!(error.contains("all queries of one user"), "{error}");
        second.try_grow(25).unwrap();
        assert_eq!(
            (one.reserved(), user.reserved(), all.reserved()),
            (50, 75, 75)
        );
        // Another's.
        let other = Share::of_query(50, Share::of_user(75, Arc::clone(&all)));
        let other = consumer(&other, false);
        let error = other.try_grow(26).unwrap_err().to_string();
        assert!(
            error.contains("all queries together may hold 100.0 B, of which 75.0 B are taken"),
            "{error}"
        );
        other.try_grow(25).unwrap();
        drop((first, second));
        assert_eq!(
            (one.reserved(), user.reserved(), all.reserved()),
            (0, 0, 25)
        );
        assert!(Arc::ptr_eq(of_all(&one), &all) && Arc::ptr_eq(of_all(&all), &all));
    }

    #[test]
    fn who_can_spill_has_a_fair_part_of_the_query() {
        let query = Share::of_query(100, Share::of_server(1000));
        let (one, two) = (consumer(&query, true), consumer(&query, true));
        one.try_grow(50).unwrap();
        assert!(one.try_grow(1).is_err());
        two.try_grow(50).unwrap();
    }
}
