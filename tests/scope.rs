//! The scope: [`scope`], [`local_scope`], their handles and tasks.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use common::{Wakes, run};
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt, LocalBoxFuture};
use futures::stream::StreamExt;
use futures_pool::{LocalScope, Scope, Stopped, Task, iterwait, local_scope, prelude::*, scope};

fn fib<'env>(pool: LocalScope<'env>, n: u64) -> LocalBoxFuture<'env, u64> {
    async move {
        if n < 2 {
            return n;
        }
        let a = pool.spawn_n(fib(pool.clone(), n - 1));
        let b = pool.spawn_n(fib(pool.clone(), n - 2));
        a.await.unwrap() + b.await.unwrap()
    }
    .boxed_local()
}

#[test]
fn smoke_fork_join() {
    for size in [1, 2, 3, 8] {
        let out = run(local_scope(size, async |pool| pool.exec(fib(pool.clone(), 10)).await.unwrap()));
        assert_eq!(out, 55);
    }
}

#[test]
fn smoke_basic() {
    let text = String::from("hello");
    let out = run(scope(2, async |pool| {
        let a = pool.spawn(async { text.len() }).await;
        let b = pool.spawn_n(async { text.as_str() });
        let c = pool.map(0..100, async |x| x * 2).await;
        assert_eq!(c.len(), 100);
        let d: Vec<_> = pool.itermap(0..100, async |x| x * 2).map(Result::unwrap).collect().await;
        assert_eq!(d.len(), 100);
        pool.join().await;
        a.await.unwrap() + b.await.unwrap().len()
    }));
    assert_eq!(out, 10);
}
