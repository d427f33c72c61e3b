//! The contestants that are given everything before the first future is polled.

use futures::stream::{FuturesUnordered, StreamExt};
use futures_pool::{Pool, scope};
use tokio::task::JoinSet;

use crate::common::{Contestant, Job, Total, contestant, names};

pub(crate) fn contestants<F: Job>() -> Vec<Contestant> {
    vec![
        contestant!(Ours, Unordered, "`Pool`, `spawn_n`", |size, items| {
            F::drive(async move {
                let mut pool = Pool::new(size);
                for item in 0..items {
                    pool.spawn_n(F::from(item));
                }
                let mut total = Total::default();
                while let Some((_key, item)) = pool.next().await {
                    total.add(item);
                }
                total
            })
        }),
        contestant!(Ours, Tasks, names::SCOPE, |size, items| {
            F::drive(scope(size, async move |pool| {
                let tasks: Vec<_> = (0..items).map(|item| pool.spawn_n(F::from(item))).collect();
                let mut total = Total::default();
                for task in tasks {
                    total.add(task.await.expect("no task panics"));
                }
                total
            }))
        }),
        contestant!(Futures, Unordered, "futures `FuturesUnordered`", |_, items| {
            F::drive(async move {
                let mut futures: FuturesUnordered<_> = (0..items).map(F::from).collect();
                let mut total = Total::default();
                while let Some(item) = futures.next().await {
                    total.add(item);
                }
                total
            })
        }),
        contestant!(Tokio, Tasks, names::JOIN_SET, |_, items| {
            F::drive_tasks(async move {
                let mut tasks: JoinSet<_> = (0..items).map(F::from).collect();
                let mut total = Total::default();
                while let Some(item) = tasks.join_next().await {
                    total.add(item.expect("no task panics"));
                }
                total
            })
        }),
    ]
}
