//! Streams of the pool inside `tokio::spawn`, on several threads, with borrowed items.
//!
//! Most of the test is that it compiles. To tell whether an async block is `Send`, the compiler forgets what it knew of
//! lifetimes. A bound, or a projection in a field (`St::Item`, `Fut::Output`), then has to hold for any of them, and
//! correct code is refused: "implementation of `FnOnce` is not general enough", or "of `Send`" (rust-lang/rust issues
//! #89976 and #129787). `buffer_unordered` and its like are refused that way if their items are borrowed.
//!
//! The impls of `PoolMap` have no bounds that could fail there (see `src/guide/design.md`), so everything compiles on it. Each of
//! these tests takes one form, runs it in a spawned task, and checks its results: mappers that are closures, functions and
//! async closures; all views; batches; `fail_fast` and `catch_unwind`; two stages; a stream as the source; boxed and opaque
//! streams; nested pools; the other set; `Pool`. What `StreamExt` puts around a stream (`filter`, `peekable`, `chunks`) is
//! compiled by `tests/types.rs`.

use std::future::ready;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered, Stream, StreamExt};
use futures_pool::prelude::*;
use futures_pool::{Panic, Pool, UnorderedSet, yield_when};
use tokio::task::{JoinHandle, spawn, yield_now};
use tokio::time::{sleep, timeout};

/// Goes through the scheduler, and gives what it borrows.
#[allow(clippy::ptr_arg)] // `iter` gives it
async fn fetch(url: &String) -> &str {
    yield_now().await;
    url
}

/// The same, with a result; what is empty fails.
#[allow(clippy::ptr_arg)]
async fn try_fetch(url: &String) -> Result<&str, &'static str> {
    yield_now().await;
    if url.is_empty() { Err("empty") } else { Ok(url) }
}

fn urls() -> Vec<String> {
    ["a", "bc", "def", "ghij", "klmno"].map(String::from).into()
}

/// What the task has come to. The limit in time only turns a lost wake-up into a failure.
async fn outcome<T>(task: JoinHandle<T>) -> T {
    timeout(Duration::from_secs(20), task).await.expect("a wake-up was lost").unwrap()
}

/// The lengths of all URLs: what most of these come to.
const LENGTHS: [usize; 5] = [1, 2, 3, 4, 5];

fn lengths<'a>(fetched: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let mut lengths: Vec<_> = fetched.into_iter().map(str::len).collect();
    lengths.sort_unstable();
    lengths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_with_a_closure_a_function_and_async_closures() {
    let task = spawn(async {
        let urls = urls();
        let closure: Vec<&str> = urls.iter().pool_map(4, |url: &String| fetch(url)).await;
        let function: Vec<&str> = urls.iter().pool_map(4, fetch).await;
        let asynchronous: Vec<usize> = urls.iter().pool_map(4, async |url| fetch(url).await.len()).await;
        let borrowing: Vec<&str> = urls.iter().pool_map(4, async |url| fetch(url).await).await;
        let moving: Vec<&str> = urls.iter().pool_map(4, async move |url: &String| fetch(url).await).await;
        let owned: Vec<String> = urls.clone().into_iter().pool_map(4, async |url| fetch(&url).await.to_owned()).await;
        assert!([&closure, &function, &borrowing, &moving].iter().all(|fetched| **fetched == urls));
        assert_eq!(owned, urls);
        asynchronous
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closures_that_borrow_what_is_around_them() {
    let task = spawn(async {
        let (urls, suffix, mut calls) = (urls(), String::from("!"), 0);
        let suffix = &suffix;
        let all: Vec<String> = urls.iter().pool_map(4, async move |url| fetch(url).await.to_owned() + suffix).await;
        let counted = urls.iter().pool_map(2, |url| {
            calls += 1;
            async move { (fetch(url).await, suffix) }
        });
        assert_eq!(counted.unordered().await.len(), 5);
        (all.concat(), calls)
    });
    assert_eq!(outcome(task).await, ("a!bc!def!ghij!klmno!".to_owned(), 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collected_by_stream_ext() {
    let task = spawn(async {
        let urls = urls();
        let ordered: Vec<&str> = urls.iter().pool_map(4, |url: &String| fetch(url)).collect().await;
        assert_eq!(ordered, urls);
        let unordered: Vec<&str> = urls.iter().pool_map(4, async |url| fetch(url).await).unordered().collect().await;
        let mapped = urls.iter().pool_map(4, fetch).map(str::len).enumerate().take(9).map(|(_, len)| len);
        assert_eq!(mapped.collect::<Vec<_>>().await, LENGTHS);
        lengths(unordered)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unordered_and_indexed() {
    let task = spawn(async {
        let urls = urls();
        let unordered: Vec<&str> = urls.iter().pool_map(4, |url: &String| fetch(url)).unordered().await;
        let indexed: Vec<(usize, &str)> = urls.iter().pool_map(4, async |url| fetch(url).await).indexed().await;
        assert!(indexed.into_iter().all(|(index, url)| urls[index] == url));
        let mut both = urls.iter().pool_map(2, async move |url| fetch(url).await).unordered().max_finished(1).indexed();
        while let Some((index, url)) = both.next().await {
            yield_now().await; // the stream is held over somebody else's `.await`
            assert_eq!(urls[index], url);
        }
        lengths(unordered)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batched_with_and_without_a_timeout() {
    let task = spawn(async {
        let urls = urls();
        let whole = urls.iter().pool_map(4, |url: &String| fetch(url)).batches(yield_when::all_completed);
        assert_eq!(whole.collect::<Vec<Vec<&str>>>().await, [&urls[..]]);
        let tries = urls.iter().pool_map(4, try_fetch).unordered().batches(yield_when::first_error);
        assert_eq!(tries.collect::<Vec<_>>().await.len(), 1);
        let timed = urls.iter().pool_map(4, async |url| fetch(url).await).batches(|url: &&str| url.len() > 3);
        let timed: Vec<Vec<&str>> = timed.timeout(|| sleep(Duration::from_secs(60))).collect().await;
        lengths(timed.into_iter().flatten())
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_fast() {
    let task = spawn(async {
        let mut urls = urls();
        let all: Result<Vec<&str>, _> = urls.iter().pool_map(4, |url: &String| try_fetch(url)).fail_fast().await;
        assert_eq!(all.map(lengths), Ok(LENGTHS.into()));
        urls.push(String::new());
        let ordered: Result<Vec<&str>, _> = urls.iter().pool_map(4, async |url| try_fetch(url).await).fail_fast().await;
        assert_eq!(ordered, Err("empty"));
        let unordered = urls.iter().pool_map(4, try_fetch).unordered().fail_fast().indexed();
        assert_eq!(unordered.collect::<Vec<_>>().await.pop(), Some((5, Err("empty"))));
        urls.iter().pool_map(4, async move |url| try_fetch(url).await).fail_fast().unordered().await.map(drop)
    });
    assert_eq!(outcome(task).await, Err("empty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catching_panics() {
    let task = spawn(async {
        let urls = urls();
        let caught: Vec<Result<&str, Panic>> = urls.iter().pool_map(4, |url: &String| fetch(url)).catch_unwind().await;
        assert_eq!(lengths(caught.into_iter().map(Result::unwrap)), LENGTHS);
        let caught = urls.iter().pool_map(4, async |url| fetch(url).await).unordered().catch_unwind().indexed();
        assert_eq!(caught.collect::<Vec<_>>().await.len(), 5);
        let all: Result<Vec<&str>, Panic> = urls.iter().pool_map(4, fetch).catch_unwind().fail_fast().await;
        lengths(all.unwrap())
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_two_stages() {
    let task = spawn(async {
        let urls = urls();
        let both = urls.iter().pool_map(4, |url: &String| fetch(url)).pool_map(2, |url: &str| async move { url.len() });
        assert_eq!(both.await, LENGTHS);
        let both = urls.iter().pool_map(4, async |url| fetch(url).await).unordered();
        let both = both.pool_map(2, async |url| (url, url.len())).unordered().map(|(url, _)| url);
        lengths(both.collect::<Vec<&str>>().await)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_stream_as_the_source() {
    let task = spawn(async {
        let urls = urls();
        let source = || stream::iter(&urls).then(async |url| fetch(url).await);
        let owned: Vec<String> = source().pool_map(4, |url: &str| ready(url.to_owned())).await;
        assert_eq!(owned, urls);
        let pages: FuturesUnordered<_> = urls.iter().map(fetch).collect();
        let fetched: Vec<&str> = pages.pool_map(4, async |url| url).unordered().collect().await;
        lengths(fetched)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_boxed_stream_and_as_an_opaque_one() {
    fn boxed(urls: &[String]) -> BoxStream<'_, &str> {
        urls.iter().pool_map(4, |url: &String| fetch(url)).unordered().boxed()
    }

    fn opaque(urls: &[String]) -> impl Stream<Item = (usize, &str)> + Send + Unpin {
        urls.iter().pool_map(4, async |url| fetch(url).await).indexed()
    }

    let task = spawn(async {
        let urls = urls();
        let indexed: Vec<_> = opaque(&urls).collect().await;
        assert_eq!(indexed[4], (4, "klmno"));
        let again: Vec<&str> = boxed(&urls).pool_map(2, async |url| url).await;
        assert_eq!(lengths(again), LENGTHS);
        lengths(boxed(&urls).collect::<Vec<_>>().await)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_boxed_future_of_any_lifetime() {
    // What an async trait makes of its methods.
    fn boxed<'a>(urls: &'a [String]) -> BoxFuture<'a, Vec<&'a str>> {
        Box::pin(async move {
            let mut stream = urls.iter().pool_map(4, |url: &'a String| fetch(url));
            let mut first = stream.by_ref().take(2).collect::<Vec<_>>().await;
            first.extend(stream.await);
            first
        })
    }

    let task = spawn(async { lengths(boxed(&urls()).await) });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_another_and_by_methods_that_borrow_their_object() {
    struct Site {
        pages: Vec<Vec<String>>,
    }

    impl Site {
        async fn page<'a>(&'a self, page: &'a [String]) -> Vec<&'a str> {
            page.iter().pool_map(2, async |url| fetch(url).await).await
        }

        async fn all(&self) -> Vec<Vec<&str>> {
            self.pages.iter().pool_map(2, |page| self.page(page)).unordered().await
        }
    }

    let task = spawn(async {
        let site = Site { pages: urls().into_iter().map(|url| vec![url]).collect() };
        let nested = site.pages.iter().pool_map(2, async |page| {
            let lens = page.iter().pool_map(2, async |url| fetch(url).await.len()).unordered();
            lens.collect::<Vec<_>>().await
        });
        assert_eq!(nested.await.concat(), LENGTHS);
        lengths(site.all().await.concat())
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_over_an_await_in_a_loop() {
    let task = spawn(async {
        let urls = urls();
        let mut stream = urls.iter().pool_map(1, async |url| fetch(url).await).unordered();
        let mut all = Vec::new();
        loop {
            tokio::select! {
                Some(url) = stream.next() => all.push(url),
                else => break,
            }
            stream.set_size(stream.size() + 1);
            yield_now().await;
        }
        assert_eq!(stream.size(), 6);
        lengths(all)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_other_set() {
    let task = spawn(async {
        let urls = urls();
        let set = UnorderedSet;
        let all: Vec<&str> = urls.iter().pool_map(4, |url: &String| fetch(url)).with_set(set).unordered().await;
        lengths(all)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_pool_spawns_executes_and_waits() {
    let task = spawn(async {
        let urls = urls();
        let mut pool = Pool::new(2);
        let first = pool.spawn(fetch(&urls[0])).await;
        let second = pool.spawn_n(fetch(&urls[1]));
        let mut all = vec![pool.exec(fetch(&urls[2])).await];
        all.extend([pool.wait(first).await.unwrap(), pool.wait(second).await.unwrap()]);
        let keys = pool.map_n(&urls[3..], fetch);
        pool.join().await;
        all.extend(keys.map(|key| pool.take_result(key).unwrap()));
        assert!(pool.next().await.is_none());
        lengths(all)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_pool_maps() {
    let task = spawn(async {
        let urls = urls();
        let mut functions = Pool::new(2);
        assert_eq!(functions.map_all(&urls, fetch).await, urls);
        assert_eq!(lengths(functions.itermap(&urls, fetch).collect::<Vec<&str>>().await), LENGTHS);
        assert_eq!(functions.itermap(&urls, fetch).keyed().collect::<Vec<_>>().await.len(), 5);
        let batches = functions.itermap(&urls, fetch).batches(yield_when::first_completed);
        assert_eq!(lengths(batches.collect::<Vec<Vec<&str>>>().await.concat()), LENGTHS);

        let mut closures = Pool::with_set(2, UnorderedSet);
        assert_eq!(closures.map_all(urls.iter(), |url: &String| fetch(url)).await, urls);
        let mut asynchronous = Pool::new(2);
        let all: Vec<&str> = asynchronous.map_all(urls.iter(), async |url| fetch(url).await).await;
        assert_eq!(all, urls);
        let mut moving = Pool::new(2);
        lengths(moving.itermap(urls.iter(), async move |url| fetch(url).await).collect::<Vec<&str>>().await)
    });
    assert_eq!(outcome(task).await, LENGTHS);
}
