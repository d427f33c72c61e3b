//! At most 6 requests at once, and of these at most 2 to each host; and no slot that stands empty for it.
//!
//! ```text
//! cargo run --example per_host
//! ```
//!
//! The idea: the narrow limit is the outer one. Each host has a pool of its own, and what these let through queues for a
//! slot of the scope that they share. There is a queue of two for each host, so one host with a long list crowds out no
//! other; and whatever waits there may start as soon as there is a slot, so no slot waits for a host.
//!
//! The pitfall is the other way round: one pool for all, and a semaphore of the host inside its futures. A future that
//! waits for the semaphore holds a slot; when the next few pages are of the same host, the other hosts get nothing.

use std::cell::RefCell;
use std::pin::pin;

use futures_pool::{local_scope, prelude::*};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, interval_at, sleep};

const OVERALL: usize = 6;
const PER_HOST: usize = 2;
/// How many pages each host has.
const PAGES: [u32; 5] = [40, 30, 20, 5, 3];
const MS: Duration = Duration::from_millis(1);

/// Of each host, how many pages are under way, and how many have come.
#[derive(Default)]
struct World(RefCell<[(usize, u32); PAGES.len()]>);

impl World {
    async fn fetch(&self, host: usize, page: u32) {
        self.0.borrow_mut()[host].0 += 1;
        let hosts = *self.0.borrow();
        assert!(hosts[host].0 <= PER_HOST && hosts.iter().map(|(active, _)| active).sum::<usize>() <= OVERALL);
        sleep((10 + page * 7 % 4 * 10) * MS).await;
        let (active, done) = &mut self.0.borrow_mut()[host];
        (*active, *done) = (*active - 1, *done + 1);
    }

    /// Returns how many requests are under way, and how many could be, at the most.
    fn load(&self) -> (usize, usize) {
        let hosts = self.0.borrow();
        let possible = hosts.iter().zip(PAGES).map(|((_, done), pages)| PER_HOST.min((pages - done) as usize)).sum();
        (hosts.iter().map(|(active, _)| active).sum(), OVERALL.min(possible))
    }

    /// Runs the work; looks every 10 ms, between the times at which requests end. Returns the time, and the empty slots.
    async fn watch(&self, name: &str, work: impl Future<Output = ()>) -> (Duration, usize) {
        let start = Instant::now();
        let (mut work, mut looks) = (pin!(work), interval_at(start + 5 * MS, 10 * MS));
        let mut empty = 0;
        loop {
            tokio::select! {
                () = &mut work => break,
                _ = looks.tick() => { let (active, possible) = self.load(); empty += possible - active; }
            }
        }
        assert!(self.0.borrow().iter().zip(PAGES).all(|((active, done), pages)| *active == 0 && *done == pages));
        println!("{name:28} {:?}, {empty} times a slot was empty that could have been taken", start.elapsed());
        (start.elapsed(), empty)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let world = World::default();
    let pools = local_scope(OVERALL, async |slots| {
        let host = async |host| {
            let fetch =
                async |page| slots.exec(world.fetch(host, page)).await.expect("it does not panic, nor is it cancelled");
            (0..PAGES[host]).pool_map(PER_HOST, fetch).await;
        };
        (0..PAGES.len()).pool_map(usize::MAX, host).await;
    });
    let (time, empty) = world.watch("a pool for each host:", pools).await;
    assert_eq!(empty, 0);

    let world = World::default();
    let semaphores = PAGES.map(|_| Semaphore::new(PER_HOST));
    let pages = (0..PAGES.len()).flat_map(|host| (0..PAGES[host]).map(move |page| (host, page)));
    let fetch = async |(host, page): (usize, u32)| {
        let _permit = semaphores[host].acquire().await.expect("nobody closes it");
        world.fetch(host, page).await;
    };
    let one_pool = async { drop(pages.pool_map(OVERALL, fetch).await) };
    let (naive_time, naive_empty) = world.watch("semaphores within one pool:", one_pool).await;
    assert!(naive_empty > 0 && naive_time > time);
}
