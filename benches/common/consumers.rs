//! A consumer that is ready immediately: what it costs that the pool could make progress while it is not.

use std::cell::Cell;
use std::future::{Ready, ready};

use futures::stream::StreamExt;
use futures_pool::prelude::*;

use super::{Contestant, Job, Total, contestant, names};

pub(super) fn contestants<F: Job>() -> Vec<Contestant> {
    vec![
        contestant!(Ours, Consumed, "`pool_map(..).unordered()`, `StreamExt::for_each`", |size, items| {
            F::drive(async move {
                let total = Cell::default();
                StreamExt::for_each((0..items).pool_map(size, F::from).unordered(), add_to(&total)).await;
                total.into_inner()
            })
        }),
        contestant!(Ours, Consumed, names::POOL_FOR_EACH, |size, items| {
            F::drive(async move {
                let total = Cell::default();
                (0..items).pool_map(size, F::from).unordered().for_each(add_to(&total)).await;
                total.into_inner()
            })
        }),
        contestant!(Ours, Consumed, "`pool_map(..).unordered().consume`, `StreamExt::for_each`", |size, items| {
            F::drive(async move {
                let total = Cell::default();
                let stream = (0..items).pool_map(size, F::from).unordered();
                stream.consume(|items| items.for_each(add_to(&total))).await;
                total.into_inner()
            })
        }),
        contestant!(Ours, Consumed, "`pool_map(..).unordered().driven().for_each`", |size, items| {
            F::drive(async move {
                let total = Cell::default();
                (0..items).pool_map(size, F::from).unordered().driven().for_each(add_to(&total)).await;
                total.into_inner()
            })
        }),
    ]
}

fn add_to(total: &Cell<Total>) -> impl FnMut(u64) -> Ready<()> {
    |item| {
        Total::add_to(total, item);
        ready(())
    }
}
