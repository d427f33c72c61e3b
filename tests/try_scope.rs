//! The scope that ends with the first error.

#![cfg(feature = "std")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::io;
use std::num::ParseIntError;
use std::pin::pin;
use std::rc::Rc;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures_pool::{LocalTryScope, Task, TaskError, TryScope, local_try_scope, try_scope};
use tokio::time::{Duration, Instant, sleep};

use common::{poll, run, yield_now};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Counts its drops.
#[derive(Clone)]
struct Guard<'a>(&'a Cell<usize>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_the_scope_when_it_happens() {
    let (start, ended, dropped) = (Instant::now(), &Cell::new(0), &Cell::new(0));
    let work = |n: u64| {
        let guard = Guard(dropped);
        async move {
            let _guard = guard;
            sleep(ms(10 * n)).await;
            ended.set(ended.get() + 1);
            if n == 3 { Err(n) } else { Ok(n) }
        }
    };
    let group = local_try_scope(4, async |pool| {
        for task in pool.map_n(1..=100, work) {
            task.await.unwrap();
        }
        Ok::<_, u64>(())
    });
    let result = group.await;
    assert_eq!((result, start.elapsed()), (Err(3), ms(30)));
    assert_eq!((ended.get(), dropped.get()), (3, 100), "all are gone before the error is seen");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_drops_the_tasks() {
    let (start, dropped) = (Instant::now(), &Cell::new(0));
    let result = local_try_scope(2, async |pool| {
        for _ in 0..5 {
            let guard = Guard(dropped);
            pool.spawn_n(async move {
                let _guard = guard;
                pending::<Result<(), String>>().await
            });
        }
        sleep(ms(5)).await;
        // It converts by `?`.
        Err("text")?;
        Ok::<(), String>(())
    });
    assert_eq!(result.await, Err("text".to_owned()));
    assert_eq!((dropped.get(), start.elapsed()), (5, ms(5)));
}

#[test]
fn errors_convert_in_tasks_and_in_the_body() {
    #[derive(Debug)]
    enum Error {
        Io,
        Parse,
    }
    impl From<io::Error> for Error {
        fn from(_: io::Error) -> Self {
            Self::Io
        }
    }
    impl From<ParseIntError> for Error {
        fn from(_: ParseIntError) -> Self {
            Self::Parse
        }
    }
    let parse = async |pool: &LocalTryScope<'_, Error>, text: &'static str| {
        pool.exec(async move { Ok(text.parse::<u32>()?) }).await
    };
    let result = run(local_try_scope(1, async |pool| Ok(parse(&pool, "7").await.unwrap())));
    assert!(matches!(result, Ok(7)));
    let result = run(local_try_scope(1, async |pool| Ok(parse(&pool, "x").await.unwrap())));
    assert!(matches!(result, Err(Error::Parse)));
    let result = run(local_try_scope(1, async |_: LocalTryScope<'_, Error>| {
        Err(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(())
    }));
    assert!(matches!(result, Err(Error::Io)));
}

#[test]
fn without_an_error_it_gives_the_output_when_all_have_ended() {
    let ended = &Cell::new(0);
    let result = run(local_try_scope(2, async |pool| {
        for _ in 0..10 {
            pool.spawn_n(async move {
                yield_now().await;
                ended.set(ended.get() + 1);
                Ok(())
            });
        }
        Ok::<_, String>("output")
    }));
    assert_eq!((result, ended.get()), (Ok("output"), 10));
}

#[test]
fn an_error_after_the_body_has_ended_is_the_result_too() {
    let result = run(local_try_scope(2, async |pool| {
        pool.spawn_n(async {
            yield_now().await;
            Err::<(), _>("late")
        });
        Ok(())
    }));
    assert_eq!(result, Err("late"));
}

#[test]
fn nothing_is_polled_or_started_after_the_error() {
    let late = &Cell::new(0);
    let result = run(local_try_scope(8, async |pool| {
        let tasks = pool.map_n(0..64, |n| async move {
            yield_now().await;
            if n == 2 {
                return Err(n);
            }
            late.set(late.get() + usize::from(n > 2));
            Ok(())
        });
        for task in tasks {
            task.await.unwrap();
        }
        unreachable!("the body is dropped");
        #[allow(unreachable_code)]
        Ok(())
    }));
    assert_eq!((result, late.get()), (Err(2), 0));
}

#[test]
fn whoever_awaits_a_task_gets_its_output_and_a_handle_outside_is_cancelled() {
    let outside: RefCell<Vec<Task<u32>>> = RefCell::default();
    let result = run(local_try_scope(2, async |pool| {
        let seven: Result<u32, TaskError> = pool.exec(async { Ok(7) }).await;
        assert_eq!(seven.unwrap(), 7);
        let all: Vec<Result<u32, TaskError>> = pool.map(1..=3, |x| ready(Ok(x))).await;
        assert_eq!(all.into_iter().map(Result::unwrap).sum::<u32>(), 6);
        let sum = pool.itermap(1..=3, |x| ready(Ok(x))).map(Result::unwrap).fold(0, |sum, x| ready(sum + x)).await;
        assert_eq!(sum, 6);
        let started: Task<u32> = pool.spawn(ready(Ok(1))).await;
        assert_eq!(started.await.unwrap(), 1);
        assert!(pool.try_spawn(ready(Ok(1))).is_ok());
        outside.borrow_mut().push(pool.spawn_n(ready(Ok(8))));
        pool.join().await;
        outside.borrow_mut().push(pool.spawn_n(ready(Err("end"))));
        outside.borrow_mut().push(pool.spawn_n(pending()));
        pending::<Result<(), _>>().await
    }));
    assert_eq!(result, Err("end"));
    let mut outside = outside.into_inner().into_iter().map(|task| run(task));
    assert_eq!(outside.next().unwrap().unwrap(), 8);
    assert!(outside.all(|result| matches!(result, Err(TaskError::Cancelled))));
}

#[test]
fn a_map_fails_with_the_scope_also_by_what_it_has_in_hand() {
    for size in 1..4 {
        for fails in 0..5 {
            let made = &Cell::new(0);
            let result = run(local_try_scope(size, async |pool| {
                let map = pool.map(0..5, |n| {
                    made.set(n);
                    async move {
                        yield_now().await;
                        if n == fails { Err(n) } else { Ok(()) }
                    }
                });
                Ok(map.await.len())
            }));
            assert_eq!(result, Err(fails));
            assert!(made.get() <= fails + size);
        }
    }
}

#[test]
fn any_output_is_spawned_without_a_look_at_it() {
    let result = run(local_try_scope(1, async |pool| {
        let first: Task<Result<(), &str>> = pool.spawn_any_n(ready(Err("kept")));
        let second: Task<u8> = pool.spawn_any(ready(7)).await;
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Err("kept"), 7));
        Ok::<_, String>(())
    }));
    assert_eq!(result, Ok(()));
}

#[test]
fn a_panic_is_its_tasks_own() {
    let result = run(local_try_scope(1, async |pool| {
        let task = pool.spawn_n(async {
            if true {
                std::panic::resume_unwind(Box::new("no"));
            }
            Ok::<(), String>(())
        });
        assert!(task.await.unwrap_err().is_panic());
        Ok(pool.exec(ready(Ok(7))).await.unwrap())
    }));
    assert_eq!(result, Ok(7));
}

#[test]
fn nested_scopes_fail_alone_or_together() {
    let result = run(local_try_scope(1, async |outer| {
        let task = outer.spawn_n(async {
            let inner = local_try_scope(1, async |inner| {
                inner.spawn_n(ready(Err::<(), _>("inner")));
                pending::<Result<(), _>>().await
            });
            assert_eq!(inner.await, Err("inner"), "the outer one goes on");
            Ok::<_, &str>(1)
        });
        assert_eq!(task.await.unwrap(), 1);
        outer.spawn_n(async {
            local_try_scope(1, async |inner| {
                inner.spawn_n(ready(Err::<(), _>("both")));
                pending::<Result<(), _>>().await
            })
            .await
        });
        pending::<Result<(), _>>().await
    }));
    assert_eq!(result, Err("both"));
}

#[test]
fn tasks_spawn_more_of_them_and_lend() {
    fn count(pool: LocalTryScope<'_, u32>, depth: u32) -> LocalBoxFuture<'_, Result<u32, u32>> {
        Box::pin(async move {
            if depth == 0 {
                return Ok(1);
            }
            let branches = pool.map(0..3, |_| count(pool.clone(), depth - 1)).await;
            pool.lend(yield_now()).await;
            let sum = 1 + branches.into_iter().map(Result::unwrap).sum::<u32>();
            if sum == 13 { Err(sum) } else { Ok(sum) }
        })
    }
    for size in 1..4 {
        let nodes =
            |depth| run(local_try_scope(size, async |pool| Ok(pool.exec(count(pool.clone(), depth)).await.unwrap())));
        assert_eq!((nodes(1), nodes(2), nodes(3)), (Ok(4), Err(13), Err(13)));
    }
}

#[test]
fn of_two_errors_the_first_to_happen_counts() {
    let order = RefCell::new(Vec::new());
    let result = run(local_try_scope(2, async |pool| {
        let order = &order;
        pool.map_n(0..2, |n| async move {
            // The second is polled first.
            for _ in 0..2 - n {
                yield_now().await;
            }
            order.borrow_mut().push(n);
            Err::<(), _>(n)
        });
        pending::<Result<(), _>>().await
    }));
    assert_eq!((result, order.into_inner()), (Err(1), vec![1]));
}

#[test]
fn an_error_in_a_destructor_of_a_failed_task_changes_nothing() {
    struct Spawns<'env>(LocalTryScope<'env, u8>);
    impl Drop for Spawns<'_> {
        fn drop(&mut self) {
            let late = self.0.spawn_n(ready(Err::<(), _>(2)));
            drop(late);
            self.0.cancel_all();
        }
    }
    let result = run(local_try_scope(1, async |pool| {
        let spawns = Spawns(pool.clone());
        pool.spawn_n(async move {
            let _spawns = spawns;
            Err::<(), _>(1)
        });
        pending::<Result<(), _>>().await
    }));
    assert_eq!(result, Err(1));
}

#[test]
fn dropped_before_its_end_it_drops_everything() {
    let dropped = &Cell::new(0);
    let mut scope = Box::pin(local_try_scope(1, async |pool: LocalTryScope<'_, ()>| {
        let inner = pool.clone();
        for _ in 0..3 {
            let (guard, inner) = (Guard(dropped), inner.clone());
            pool.spawn_n(async move {
                let _guard = guard;
                inner.exec(pending::<Result<(), ()>>()).await.unwrap();
                Ok(())
            });
        }
        pending::<Result<(), ()>>().await
    }));
    assert!(poll(&mut scope).is_pending());
    drop(scope);
    assert_eq!(dropped.get(), 3);
}

#[test]
#[should_panic(expected = "polled after its end")]
fn polling_after_the_end_panics() {
    let mut scope = Box::pin(local_try_scope(1, async |pool| {
        pool.spawn_n(ready(Err::<(), _>(1)));
        pending::<Result<(), _>>().await
    }));
    assert_eq!(run(scope.as_mut()), Err(1));
    let _ = poll(&mut scope);
}

#[test]
fn it_is_send_with_what_it_is_given() {
    fn is_shared<T: Send + Sync + Clone>() {}
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let text = String::from("1 2 x");
    let scope = is_send(try_scope(2, async |pool: TryScope<'_, ParseIntError>| {
        let tasks = pool.map_n(text.split(' '), async |word| word.parse::<u32>());
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    }));
    assert!(run(pin!(scope)).is_err());
    is_shared::<TryScope<'static, String>>();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_on_an_executor_with_threads() {
    let result = tokio::spawn(try_scope(8, async |pool| {
        for round in 0..100_u32 {
            let results = pool
                .map(0..20, |n| async move {
                    tokio::task::yield_now().await;
                    if (round, n) == (50, 7) { Err(round + n) } else { Ok(n) }
                })
                .await;
            assert_eq!(results.len(), 20);
        }
        Ok(())
    }));
    assert_eq!(result.await.unwrap(), Err(57));
}

#[test]
fn handles_of_a_scope_that_has_failed_are_empty_shells() {
    let handle = Rc::new(RefCell::new(None));
    let own = Rc::clone(&handle);
    let result = run(local_try_scope(1, async move |pool: LocalTryScope<'static, u8>| {
        own.replace(Some(pool.clone()));
        pool.spawn_n(ready(Err::<(), _>(9)));
        pending::<Result<(), _>>().await
    }));
    assert_eq!(result, Err(9));
    let pool = handle.take().unwrap();
    assert_eq!((pool.len(), pool.active(), pool.waiting()), (0, 0, 0));
    assert!(run(pool.spawn_n(ready(Err::<(), _>(1)))).unwrap_err().is_cancelled());
    run(pool.join());
}
