//! Tasks with handles: a wave of four times `size` is spawned and awaited, then the next.

use std::ops::Range;

use futures::stream::StreamExt;
use futures_pool::scope;
use tokio::task::JoinSet;

use super::{Contestant, Job, Total, contestant, names};

pub(super) fn contestants<F: Job>() -> Vec<Contestant> {
    vec![
        contestant!(Tokio, Tasks, names::JOIN_SET, |size, items| {
            F::drive_tasks(async move {
                let mut total = Total::default();
                for wave in waves(size, items) {
                    let mut set = JoinSet::new();
                    for item in wave {
                        set.spawn(F::from(item));
                    }
                    while let Some(result) = set.join_next().await {
                        total.add(result.expect("no task panics"));
                    }
                }
                total
            })
        }),
        contestant!(Ours, Tasks, names::SCOPE, |size, items| {
            F::drive(scope(size, async move |pool| {
                let (mut total, mut tasks) = (Total::default(), Vec::new());
                for wave in waves(size, items) {
                    tasks.extend(wave.map(|item| pool.spawn_n(F::from(item))));
                    for task in tasks.drain(..) {
                        total.add(task.await.expect("no task panics"));
                    }
                }
                total
            }))
        }),
        contestant!(Ours, Tasks, "`scope`, `spawn`, `Task`", |size, items| {
            F::drive(scope(size, async move |pool| {
                let (mut total, mut tasks) = (Total::default(), Vec::new());
                for wave in waves(size, items) {
                    for item in wave {
                        tasks.push(pool.spawn(F::from(item)).await);
                    }
                    for task in tasks.drain(..) {
                        total.add(task.await.expect("no task panics"));
                    }
                }
                total
            }))
        }),
        contestant!(Ours, Tasks, "`scope`, `itermap`", |size, items| {
            F::drive(scope(size, async move |pool| {
                let mut total = Total::default();
                for wave in waves(size, items) {
                    let mut results = pool.itermap(wave, F::from);
                    while let Some(result) = results.next().await {
                        total.add(result.expect("no task panics"));
                    }
                }
                total
            }))
        }),
        contestant!(Ours, Tasks, "`scope`, `map`", |size, items| {
            F::drive(scope(size, async move |pool| {
                let mut total = Total::default();
                for wave in waves(size, items) {
                    for result in pool.map(wave, F::from).await {
                        total.add(result.expect("no task panics"));
                    }
                }
                total
            }))
        }),
    ]
}

fn waves(size: usize, items: u64) -> impl Iterator<Item = Range<u64>> + Clone {
    let wave = 4 * size;
    (0..items).step_by(wave).map(move |start| start..items.min(start + wave as u64))
}
