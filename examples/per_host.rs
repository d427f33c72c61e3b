//! At most 6 requests at once, and of these at most 2 to each host, whatever hosts turn up; and no slot that stands empty for
//! it.
//!
//! ```text
//! cargo run --example per_host
//! ```
//!
//! The idea: `per_key`. A page of a host that has its 2 requests is set aside without taking a slot, and the next one of another
//! host starts. Hosts need not be known beforehand: some pages here are redirects to a host that nobody has heard of.
//!
//! The pitfall: a semaphore of the host inside the futures. A future that waits for the semaphore holds a slot; when the next
//! few pages are of the same host, the other hosts get nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;

use futures::channel::mpsc::{self, UnboundedSender};
use futures_pool::prelude::*;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, interval_at, sleep};

const OVERALL: usize = 6;
const PER_HOST: usize = 2;
/// How many pages each host has in the beginning.
const PAGES: [u32; 5] = [40, 30, 20, 5, 3];
const MS: Duration = Duration::from_millis(1);

struct Page {
    host: String,
    number: u32,
}

/// Of each host, how many pages are under way, and how many are still to come, those under way included.
#[derive(Default)]
struct World {
    hosts: RefCell<HashMap<String, (usize, usize)>>,
    fetched: Cell<usize>,
}

impl World {
    fn add(&self, page: Page, to: &UnboundedSender<Page>) {
        self.hosts.borrow_mut().entry(page.host.clone()).or_default().1 += 1;
        to.unbounded_send(page).expect("it is received");
    }

    /// All pages that are known in the beginning.
    fn add_all(&self, to: &UnboundedSender<Page>) {
        for (host, pages) in (0..).zip(PAGES) {
            (0..pages).for_each(|number| self.add(Page { host: format!("host-{host}.example"), number }, to));
        }
    }

    /// Fetches a page, and returns where it redirects to, if it does.
    async fn fetch(&self, Page { host, number }: Page) -> Option<Page> {
        self.hosts.borrow_mut().get_mut(&host).expect("it was added").0 += 1;
        assert!(self.hosts.borrow().values().all(|(active, _)| *active <= PER_HOST));
        assert!(self.hosts.borrow().values().map(|(active, _)| active).sum::<usize>() <= OVERALL);
        sleep((10 + number * 7 % 4 * 10) * MS).await;
        let mut hosts = self.hosts.borrow_mut();
        let (active, left) = hosts.get_mut(&host).expect("it was added");
        (*active, *left) = (*active - 1, *left - 1);
        self.fetched.set(self.fetched.get() + 1);
        (host.starts_with("host-0") && number % 8 == 7).then(|| Page { host: "new.example".into(), number })
    }

    /// Returns how many requests are under way, and how many could be, at the most.
    fn load(&self) -> (usize, usize) {
        let hosts = self.hosts.borrow();
        let possible = hosts.values().map(|(_, left)| PER_HOST.min(*left)).sum();
        (hosts.values().map(|(active, _)| active).sum(), OVERALL.min(possible))
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
        assert!(self.hosts.borrow().values().all(|counts| *counts == (0, 0)));
        assert_eq!(self.fetched.get(), PAGES.iter().sum::<u32>() as usize + 40 / 8);
        println!("{name:28} {:?}, {empty} times a slot was empty that could have been taken", start.elapsed());
        (start.elapsed(), empty)
    }
}

/// Puts a redirect into the queue; or closes that, when the last page is there.
fn follow(world: &World, redirect: Option<Page>, sender: &UnboundedSender<Page>) {
    if let Some(page) = redirect {
        world.add(page, sender);
    }
    if world.hosts.borrow().values().all(|(_, left)| *left == 0) {
        sender.close_channel();
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let world = World::default();
    let (sender, pages) = mpsc::unbounded();
    world.add_all(&sender);
    let stream = pages.pool_map(OVERALL, async |page| follow(&world, world.fetch(page).await, &sender));
    let stream = stream.unordered().per_key(PER_HOST, |page| page.host.clone());
    let (time, empty) = world.watch("per_key:", stream.for_each(async |()| ())).await;
    assert_eq!(empty, 0);

    let world = World::default();
    let (sender, pages) = mpsc::unbounded();
    world.add_all(&sender);
    let semaphores = RefCell::new(HashMap::new());
    let fetch = async |page: Page| {
        let semaphore = semaphores
            .borrow_mut()
            .entry(page.host.clone())
            .or_insert_with(|| std::rc::Rc::new(Semaphore::new(PER_HOST)))
            .clone();
        let _permit = semaphore.acquire().await.expect("nobody closes it");
        follow(&world, world.fetch(page).await, &sender);
    };
    let stream = pages.pool_map(OVERALL, fetch).unordered();
    let (naive_time, naive_empty) = world.watch("semaphores within the pool:", stream.for_each(async |()| ())).await;
    assert!(naive_empty > 0 && naive_time > time);
}
